"""Variants for sequences of tokens, such as text."""

from functools import partial

from torch import nn

from reparam.errors import SupportError
from reparam.nn import TextDecoder, TextEncoder
from reparam.nn.sequence import EncoderKind
from reparam.objectives import ELBO
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.specification import Composition, Specification


def text_networks(
    spec: DataSpec, latent_dim: int, width: int, encoder: EncoderKind, dropout: float
) -> tuple[nn.Module, nn.Module]:
    """Create an encoder of tokens, and a decoder that returns p(x | z) itself.

    Raises:
        SupportError: Data that are not sequences of tokens.
    """
    if spec.support != "tokens" or len(spec.shape) != 1 or spec.levels is None:
        raise SupportError(
            f"{spec.name!r} has {spec.support} examples of shape {spec.shape}, and this "
            "variant reads sequences of tokens: give a text, data='text' with path=..., or "
            "integers of shape (N, T) with support='tokens'"
        )
    n, length = spec.levels, spec.dim
    return (
        TextEncoder(n, length, width, encoder, spec.context),
        TextDecoder(latent_dim, n, length, width, dropout, spec.context),
    )


@variant("text-vae", year=2016, paper="Bowman et al., CoNLL 2016")
def text_vae(
    spec: DataSpec,
    latent_dim: int = 16,
    width: int = 256,
    encoder: EncoderKind = "conv",
    dropout: float = 0.1,
    free_bits: float = 0.25,
) -> Specification:
    r"""The VAE of text with an autoregressive decoder.

    An autoregressive decoder can ignore z. Dropout of its input tokens, free bits and a warm-up of
    the KL (kl_warmup) prevent that.

    Use it for short texts of one kind, to generate them and to interpolate between them.

    Limits: windows of one length; z describes the content coarsely.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x_t \sim p(x_t \mid x_{<t}, z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}\Bigl[\sum_t \log p(x_t \mid x_{<t}, z)\Bigr]
                  - \sum_j \max(\mathrm{KL}_j, \lambda)

    Symbols:
        x_t: Token t of a text; x_{<t} are the tokens before it.
        KL_j: The mean KL of latent dimension j.
        λ (free_bits): The nats of KL that cost nothing, for each latent dimension.

    Arguments:
        spec: The shape and support of the data, which must be sequences of tokens.
        latent_dim: The number of dimensions of z.
        width: The filters or the state of the encoder, and the state of the decoder.
        encoder: The encoder's network: conv, or recurrent (a GRU in each direction).
        dropout: The share of tokens that is hidden from the decoder in training.
        free_bits: λ, the nats of KL that cost nothing, for each latent dimension.

    Raises:
        SupportError: Data that are not sequences of tokens.

    Example:
        >>> recipe = text_vae(DataSpec((64,), "tokens", levels=66), latent_dim=2, width=32)
        >>> recipe.model.sample(3).shape
        torch.Size([3, 64])
    """
    networks = partial(text_networks, width=width, encoder=encoder, dropout=dropout)
    parts = Composition(networks=networks, latent_dim=latent_dim, has_likelihood=False)
    return Specification(spec, parts, ELBO(free_bits=free_bits))
