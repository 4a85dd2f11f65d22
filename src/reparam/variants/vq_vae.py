"""Variants whose latent variables are codes of a learned codebook."""

from collections.abc import Sequence
from typing import Any, cast

from reparam.batch import Batch
from reparam.distributions import QuantizedCodes
from reparam.families import Family, Quantized
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import CausalTransformer, Codebook, ConvDecoder, ConvEncoder
from reparam.objectives import VectorQuantized
from reparam.objectives.recipe import Milestone
from reparam.priors import CodebookPrior
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import latent_model
from reparam.variants.specification import Specification


def start_codebook(model: LatentModel, examples: Batch) -> None:
    """Start the codes of a model at the encoder's vectors of examples."""
    q = cast(QuantizedCodes, model.posterior(model.as_event(examples.x), examples.c))
    cast(Codebook, model.codebook).start(q.vectors)


@variant("vq-vae", year=2017, paper="van den Oord et al., NeurIPS 2017")
def vq_vae(
    spec: DataSpec,
    n_codes: int = 64,
    code_dim: int = 16,
    channels: Sequence[int] = (16, 32, 64),
    commitment: float = 0.25,
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""The VAE with discrete codes from a learned codebook, and an autoregressive prior over them.

    Convolutions reduce an image to a small map with a code at each place: 4 × 4 codes for 28 × 28
    pixels. Two layers, channels=(32, 64), give 7 × 7 codes, which are more informative and harder
    to sample. Codes are moving averages of the encoder's vectors. The prior, a small causal
    transformer, is trained together with the autoencoder. The ELBO, log p(x | z) + log p(z), is a
    lower bound of log p(x).

    Use it to represent images by few symbols, for compression or for a sequence model.

    Limits: images only; the posterior is a point mass, so that more draws do not tighten the bound.

    Generative process:
        .. math:: k_i \sim p(k_i \mid k_{<i}), \quad z = (e_{k_1}, \dots, e_{k_P}), \qquad
                  x \sim p(x \mid z)

    Posterior:
        .. math:: k_i = \arg\min_k \|v_i - e_k\|

    Objective:
        .. math:: \mathcal L = \log p(x \mid z) + \sum_{i=1}^P \log p(k_i \mid k_{<i})
                  - \beta \sum_i \|v_i - \mathrm{sg}[e_{k_i}]\|^2

    Symbols:
        k_i (n_codes): The index of the code at place i, one of so many.
        e_k (code_dim): Code k of the codebook; the number of its dimensions.
        P (channels): The number of places; every layer of the encoder halves the image.
        v_i: The vector that the encoder gives at place i.
        β (commitment): The weight of the distance between the vectors and their codes.
        sg: Stop gradient: e is a constant in this term.

    Arguments:
        spec: The shape and support of the data.
        n_codes: The number of codes.
        code_dim: The number of dimensions of a code.
        channels: The filters of the encoder's layers, each of which halves the image.
        commitment: β, the weight of the encoder's distance from the codes.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Example:
        >>> vq_vae(DataSpec((1, 28, 28), "binary")).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    shared: dict[str, Any] = {"context": spec.context, "activation": activation, "spatial": True}
    encoder = ConvEncoder(spec.shape, channels, padding=1, **shared)
    _, *places = encoder.out_shape
    codebook = Codebook(n_codes, code_dim)
    posterior = Quantized(codebook, places)
    decoder = ConvDecoder(posterior.event_shape[0], spec.shape[1:], channels[::-1], **shared)
    network = CausalTransformer(n_codes, posterior.n_positions, context=spec.context)
    prior = CodebookPrior(codebook, posterior.n_positions, network)
    conditional = Conditional(encoder, posterior)
    model = latent_model(spec, conditional, decoder, prior, likelihood, codebook=codebook)
    start = Milestone(start_codebook, at=0, n_examples=1000)
    return Specification(spec, model, VectorQuantized(commitment), milestones=(start,))
