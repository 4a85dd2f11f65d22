"""Variants with tighter bounds than the ELBO, from several draws of z for each x."""

from typing import Unpack

from reparam.objectives import IWAE, DReG
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons
from reparam.variants.specification import Specification


@variant("iwae", year=2016, paper="Burda, Grosse & Salakhutdinov, ICLR 2016")
def iwae(
    spec: DataSpec, latent_dim: int = 20, n_importance: int = 5, **net: Unpack[Net]
) -> Specification:
    r"""The VAE trained with the importance-weighted bound of K draws.

    .. math:: \mathcal L_K = \mathbb E_{z_1 \dots z_K \sim q}
              \Bigl[\log \frac1K \sum_k \frac{p(x, z_k)}{q(z_k \mid x)}\Bigr]

    Use it for a better likelihood from the same networks.

    Limits: a step costs up to K times as much; the noise of the encoder's gradient grows with K.

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

    .. math:: \nabla_\phi \mathcal L_K = \mathbb E \Bigl[\sum_k \tilde w_k^2\,
              \frac{\partial \log w_k}{\partial z_k}
              \frac{\partial z_k}{\partial \phi}\Bigr]

    Use it instead of ``iwae`` for K of ten or more: the same bound with a gradient of less noise.

    Limits: the encoder runs twice in each step; the posterior has to be reparameterized.

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
