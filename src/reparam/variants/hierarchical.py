"""Variants with several layers of latent variables."""

from collections.abc import Sequence
from math import prod
from typing import Any

from reparam.errors import OptionError
from reparam.families import Family, Gaussian
from reparam.models.conditional import Conditional
from reparam.models.hierarchy import (
    BottomUpEncoder,
    LadderEncoder,
    TopDownPrior,
    gaussian_layers,
    layer_family,
)
from reparam.nn import MLP, Downsample, Pyramid, TakeLast
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import latent_model
from reparam.variants.specification import Specification


@variant("hierarchical-vae", year=2016, paper="Burda, Grosse & Salakhutdinov, ICLR 2016")
def hierarchical_vae(
    spec: DataSpec,
    latent_dims: Sequence[int] = (100, 50),
    hidden: Sequence[int] = (200, 200),
    above: Sequence[int] = (100, 100),
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""The VAE with a Markov chain of latent layers and a bottom-up posterior.

    Use it for the two-layer networks of the paper, whose sizes are the defaults: with
    activation='tanh', objective='iwae' and n_importance=50 it is their importance-weighted
    autoencoder.

    Limits: the upper layers depend on x through draws of the lower ones only, and can collapse to
    the prior; the KL is estimated from draws, as a whole and not layer by layer.

    Generative process:
        .. math:: z_L \sim \mathcal N(0, I), \quad z_l \sim p(z_l \mid z_{l+1}), \qquad
                  x \sim p(x \mid z_1)

    Posterior:
        .. math:: q(z \mid x) = q(z_1 \mid x) \prod_{l > 1} q(z_l \mid z_{l-1})

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        z_l (latent_dims): The latent variables of layer l, from the one next to the data upwards.
        L: The number of layers.

    Arguments:
        spec: The shape and support of the data.
        latent_dims: The sizes of the layers, from the one next to the data upwards; any number.
        hidden: The sizes of the layers between x and z₁; the decoder has them in reverse order.
        above: The sizes of the layers between two stochastic ones; the prior has them in reverse.
        likelihood: p(x | z₁) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Example:
        >>> hierarchical_vae(DataSpec((1, 28, 28), "binary")).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    shared: dict[str, Any] = {"context": spec.context, "activation": activation}
    if not latent_dims:
        raise OptionError("latent_dims=(): a hierarchy needs at least one layer")
    network = MLP(spec.input_shape, *hidden, **shared)
    first = Conditional(network, layer_family(latent_dims[0]))
    encoder = BottomUpEncoder(first, gaussian_layers(latent_dims, above, **shared, markov=True))
    sizes = latent_dims[::-1]
    prior = TopDownPrior(sizes, gaussian_layers(sizes, above[::-1], **shared, markov=True))
    decoder = TakeLast(MLP(sizes[-1], *reversed(hidden), **shared), sizes[-1])
    return Specification(spec, latent_model(spec, encoder, decoder, prior, likelihood))


@variant("ladder-vae", year=2016, paper="Sønderby et al., NeurIPS 2016")
def ladder_vae(
    spec: DataSpec,
    latent_dims: Sequence[int] = (32, 16),
    hidden: Sequence[int] = (400,),
    above: Sequence[int] = (128,),
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""The VAE with several latent layers and a top-down posterior (ladder VAE).

    In every layer q is the normalized product of the prior's Gaussian and one from the data. The KL
    of each layer is logged by its name.

    Use it where a standard normal prior is too simple: the upper layers are a learned prior of the
    lower ones.

    Limits: an upper layer can collapse to the prior (its KL is near 0); warm up the KL (kl_warmup)
    or use free bits (free_bits).

    Generative process:
        .. math:: z_L \sim \mathcal N(0, I), \quad
                  z_l \sim p(z_l \mid z_{l+1 \dots L}), \qquad x \sim p(x \mid z_1, \dots, z_L)

    Posterior:
        .. math:: q(z \mid x) = q(z_L \mid x) \prod_{l < L} q(z_l \mid z_{l+1 \dots L}, x)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        z_l (latent_dims): The latent variables of layer l, from the one next to the data upwards.
        L: The number of layers.

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
    sizes = latent_dims[::-1]
    prior = TopDownPrior(sizes, gaussian_layers(sizes, above, context, activation))
    up = [MLP(spec.input_shape, *hidden, context=context, activation=activation)]
    for _ in latent_dims[1:]:
        up.append(MLP(up[-1].out_shape, *above, activation=activation))
    encoder = LadderEncoder(prior, up, [layer_family(size) for size in latent_dims])
    decoder = MLP(sum(latent_dims), *reversed(hidden), context=context, activation=activation)
    return Specification(spec, latent_model(spec, encoder, decoder, prior, likelihood))


@variant("conv-ladder-vae", year=2017, paper="Gulrajani et al., ICLR 2017 (its hierarchy)")
def conv_ladder_vae(
    spec: DataSpec,
    maps: Sequence[int] = (8, 16),
    channels: int = 64,
    out_channels: int = 16,
    depth: int = 1,
    likelihood: str | Family | None = None,
    activation: str = "silu",
) -> Specification:
    r"""The VAE with several convolutional latent layers, each of half the size of the one below.

    The networks are convolutional. z₁ has half the height and width of the image and describes the
    details; the layers above it are its learned prior. Given x the layers are independent: a
    posterior that starts at the prior, as that of ``ladder-vae``, is slow to use a layer of
    thousands of dimensions.

    Use it for the likelihood of color images: with likelihood='logistic-mixture' and data loaded
    with dequantize=False its bits per dimension are those of the stored levels.

    Limits: images only, of at least 2 × 2 pixels for each layer; the range of a layer is that of
    its convolutions, so that samples from few layers lack large shapes.

    Generative process:
        .. math:: z_L \sim \mathcal N(0, I), \quad
                  z_l \sim p(z_l \mid z_{l+1 \dots L}), \qquad x \sim p(x \mid z_1, \dots, z_L)

    Posterior:
        .. math:: q(z \mid x) = \prod_l q(z_l \mid x)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        z_l (maps): The latent maps of layer l, from the one next to the data upwards; their number.
        L: The number of layers.

    Arguments:
        spec: The shape and support of the data.
        maps: The numbers of latent maps of the layers, from the one next to the data upwards.
        channels: The number of feature maps in every network.
        out_channels: The number of feature maps at the full size of the image.
        depth: The residual layers of each step up or down.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.

    Example:
        >>> conv_ladder_vae(DataSpec((3, 32, 32), "real"), channels=8).model.sample(3).shape
        torch.Size([3, 3, 32, 32])
    """
    if not maps:
        raise OptionError(f"maps={tuple(maps)}: give the maps of at least one layer")
    shared: dict[str, Any] = {"depth": depth, "activation": activation}
    up = [Downsample(spec.shape, channels, context=spec.context, **shared)]
    for _ in maps[1:]:
        up.append(Downsample(up[-1].out_shape, channels, **shared))
    shapes = [(n, *net.out_shape[1:]) for n, net in zip(maps, up, strict=True)]
    latents = [
        Gaussian(prod(shape), min_scale=0.01, max_scale=10.0, places=shape[1:])
        for shape in [*shapes, *shapes[-2::-1]]
    ]
    opinions, priors, shapes = latents[: len(maps)], latents[len(maps) :], shapes[::-1]
    shared |= {"channels": channels, "context": spec.context}
    below = [
        Conditional(Pyramid(shapes[: i + 1], shapes[i + 1][1:], **shared), family)
        for i, family in enumerate(priors)
    ]
    prior = TopDownPrior([prod(shape) for shape in shapes], below)
    decoder = Pyramid(shapes, spec.shape[1:], out_channels=out_channels, **shared)
    encoder = LadderEncoder(prior, up, opinions, with_prior=False)
    return Specification(spec, latent_model(spec, encoder, decoder, prior, likelihood))
