"""VAEs trained by the ELBO, and by tighter bounds from several draws of z for each x."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

from torch import nn

from reparam.families import Family
from reparam.nn import ConvDecoder, ConvEncoder
from reparam.nn.conv import Norm
from reparam.objectives import ELBO, IWAE, DReG
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons
from reparam.variants.specification import Composition, Specification


@variant("vae", year=2014, paper="Kingma & Welling, ICLR 2014")
def vae(
    spec: DataSpec,
    latent_dim: int = 20,
    hidden: Sequence[int] | None = None,
    likelihood: str | Family | None = None,
    activation: str | None = None,
    skip: bool | None = None,
    dropout: float | None = None,
) -> Specification:
    r"""The variational autoencoder: Gaussian posterior, standard normal prior, ELBO.

    Use it first: it is the simplest variant, and the baseline of the others.

    Limits: the posterior factorizes over dimensions, and the prior is fixed.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Posterior:
        .. math:: q(z \mid x) = \mathcal N(\mu(x), \mathrm{diag}(\sigma^2(x)))

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        μ, σ (hidden): The mean and the standard deviation that the encoder gives for x.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        hidden: The sizes of the encoder's layers; the decoder has them in reverse order. None for
            (128, 128) for a table of real numbers, and (400,) for other data.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity; None for silu for a table, and relu for other data.
        skip: Whether the features of encoder and decoder contain their input, so that a linear
            model is a part of the model; None for yes for a table.
        dropout: The share of features that are set to 0 in training; None for 0.5 for a table,
            less for a table with more than 32 rows for each column, and 0 for other data.

    Example:
        >>> vae(DataSpec((1, 28, 28), "binary"), latent_dim=2).model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """
    parts = perceptrons(
        latent_dim,
        hidden=hidden,
        likelihood=likelihood,
        activation=activation,
        skip=skip,
        dropout=dropout,
    )
    return Specification(spec, parts)


@variant("beta-vae", year=2017, paper="Higgins et al., ICLR 2017")
def beta_vae(
    spec: DataSpec,
    latent_dim: int = 16,
    beta: float = 4.0,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE with a weight on its KL.

    Use β > 1 for latent dimensions that describe one factor each, at the cost of the
    reconstruction, and β < 1 for sharper reconstructions, at the cost of samples. Use it with care
    in comparisons: evaluation always reports β = 1.

    Limits: for β < 1 the objective is not a lower bound of log p(x).

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \beta\, \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        β (beta): The weight of the KL; 1 for the VAE.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        beta: β, where the reconstruction is summed over pixels, not averaged.
        net: The other options of ``vae``.

    Example:
        >>> beta_vae(DataSpec((1, 28, 28), "binary")).objective.beta
        4.0
    """
    return Specification(spec, perceptrons(latent_dim, **net), ELBO(beta=beta))


def convolutions(
    spec: DataSpec,
    latent_dim: int,
    channels: Sequence[int],
    activation: str,
    norm: Norm | None,
    padding: int,
    skip: bool,
) -> tuple[nn.Module, nn.Module]:
    """Create convolutional networks, the decoder's layers in reverse order."""
    shared: dict[str, Any] = {"context": spec.context, "activation": activation, "norm": norm}
    return (
        ConvEncoder(spec.shape, channels, padding=padding, skip=skip, **shared),
        ConvDecoder(latent_dim, spec.shape[1:], channels[::-1], **shared),
    )


@variant("conv-vae", year=2015, paper="Salimans, Kingma & Welling, ICML 2015")
def conv_vae(
    spec: DataSpec,
    latent_dim: int = 20,
    channels: Sequence[int] | None = None,
    likelihood: str | Family | None = None,
    activation: str = "relu",
    norm: Norm | None = None,
    padding: int = 0,
    skip: bool = True,
) -> Specification:
    r"""The VAE with convolutional networks, for images.

    The encoder has strided 3 × 3 convolutions, the decoder transposed ones, for images of any size.
    Use it for images, above all larger ones.

    Limits: images only; pixels are independent given z.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        channels: The filters of the encoder's layers; the decoder has them in reverse order. None
            for 32 and 64, after a layer of 16 for each time that a side of 32 pixels is doubled.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity.
        norm: batch for batch normalization before every nonlinearity.
        padding: The zeros around the maps of the encoder: with 1, 32 pixels become 16, 8, 4, 2;
            with 0 they become 15, 7, 3, 1.
        skip: Whether the posterior also depends on the pixels by a linear layer, beside the
            convolutions.

    Example:
        >>> conv_vae(DataSpec((3, 32, 32), "real"), latent_dim=2).model.sample(3).shape
        torch.Size([3, 3, 32, 32])
    """
    options: dict[str, Any] = {
        "channels": channels,
        "activation": activation,
        "norm": norm,
        "padding": padding,
        "skip": skip,
    }
    networks = partial(convolutions, **options)
    parts = Composition(networks=networks, latent_dim=latent_dim, likelihood=likelihood)
    return Specification(spec, parts)


@variant("iwae", year=2016, paper="Burda, Grosse & Salakhutdinov, ICLR 2016")
def iwae(
    spec: DataSpec, latent_dim: int = 20, n_importance: int = 5, **net: Unpack[Net]
) -> Specification:
    r"""The VAE trained with the importance-weighted bound of K draws.

    Use it for a better likelihood from the same networks.

    Limits: a step costs up to K times as much; the noise of the encoder's gradient grows with K.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L_K = \mathbb E_{z_1 \dots z_K \sim q}
                  \Bigl[\log \frac1K \sum_k \frac{p(x, z_k)}{q(z_k \mid x)}\Bigr]

    Symbols:
        K (n_importance): The number of draws of z for each x; with one draw the bound is the ELBO.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        n_importance: The number K of draws for each example.
        net: The other options of ``vae``.

    Example:
        >>> iwae(DataSpec((1, 28, 28), "binary")).objective
        IWAE(n_importance=5)
    """
    return Specification(spec, perceptrons(latent_dim, **net), IWAE(n_importance))


@variant("dreg", year=2019, paper="Tucker et al., ICLR 2019")
def dreg(
    spec: DataSpec, latent_dim: int = 20, n_importance: int = 5, **net: Unpack[Net]
) -> Specification:
    r"""The importance-weighted VAE with doubly reparameterized gradients for the encoder.

    Use it instead of ``iwae`` for K of ten or more: the same bound with a gradient of less noise.

    Limits: the encoder runs twice in each step; the posterior has to be reparameterized.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L_K = \mathbb E_{z_1 \dots z_K \sim q}
                  \Bigl[\log \frac1K \sum_k w_k\Bigr], \qquad
                  \nabla_\phi \mathcal L_K = \mathbb E \Bigl[\sum_k \tilde w_k^2\,
                  \frac{\partial \log w_k}{\partial z_k}
                  \frac{\partial z_k}{\partial \phi}\Bigr]

    Symbols:
        K (n_importance): The number of draws of z for each x.
        w_k: The weight p(x, z_k) / q(z_k | x) of draw k; with a tilde divided by the sum of all.
        φ (hidden): The parameters of the encoder.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        n_importance: The number K of draws for each example.
        net: The other options of ``vae``.

    Example:
        >>> dreg(DataSpec((1, 28, 28), "binary")).objective
        DReG(n_importance=5)
    """
    return Specification(spec, perceptrons(latent_dim, **net), DReG(n_importance))
