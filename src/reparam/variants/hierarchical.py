"""Several stochastic layers."""

from collections.abc import Sequence

from reparam.conditional import Conditional
from reparam.families import Family
from reparam.families import likelihood as likelihood_of
from reparam.ladder import LadderEncoder, TopDown
from reparam.model import LatentModel
from reparam.nn import MLP
from reparam.objectives import ELBO
from reparam.spec import DataSpec
from reparam.variants.recipe import Recipe
from reparam.variants.registry import variant


@variant("ladder-vae", year=2016, paper="Sønderby et al., NeurIPS 2016")
def ladder_vae(
    spec: DataSpec,
    latent_dims: Sequence[int] = (32, 16),
    hidden: Sequence[int] = (400,),
    above: Sequence[int] = (128,),
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Recipe:
    r"""The VAE with several layers of latents, whose posterior goes down the layers as the prior.

    .. math:: p(z) = p(z_L) \prod_{l < L} p(z_l \mid z_{l+1 \dots L}), \qquad
              q(z \mid x) = q(z_L \mid x) \prod_{l < L} q(z_l \mid z_{l+1 \dots L}, x)

    In every layer q is the product of what the prior expects and what the data say. The KL of each
    layer is logged by its name.

    Use it where one layer's prior is too plain: the upper layers are a learned prior of the lower.

    Limits: an upper layer may say nothing (its KL near 0): look, and warm the KL up
    (``--kl-warmup``) or grant free bits (``--free-bits``).

    Arguments:
        spec: The shape and support of the data.
        latent_dims: The sizes of the layers, from the one next to the data upwards; any number.
        hidden: The sizes of the encoder's layers below z₁; the decoder has them in reverse order.
        above: The sizes of the layers between two stochastic ones.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Example:
        >>> ladder_vae(DataSpec((1, 28, 28), "binary"), (16, 8, 4)).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    context = spec.context
    prior = TopDown(latent_dims[::-1], above, context, activation)
    encoder = LadderEncoder(spec.shape, prior, hidden, above, context, activation)
    decoder = MLP(sum(latent_dims), *reversed(hidden), context=context, activation=activation)
    conditional = Conditional(decoder, likelihood_of(spec, likelihood))
    return Recipe(LatentModel(encoder, conditional, prior), ELBO())
