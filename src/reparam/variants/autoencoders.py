"""Autoencoders, whose code is deterministic."""

from dataclasses import replace
from typing import Unpack

from reparam.families import POSTERIORS
from reparam.objectives import Contractive, Reconstruction
from reparam.objectives.corruption import Corruption, Kind
from reparam.priors import NoPrior
from reparam.spec import DataSpec
from reparam.utils.registry import Part
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons
from reparam.variants.specification import Composition, Specification


def autoencoder(latent_dim: int, **net: Unpack[Net]) -> Composition:
    """Return the parts of a model with a deterministic code and without a prior."""
    deterministic, no_prior = POSTERIORS["deterministic"], Part("none", NoPrior)
    return replace(perceptrons(latent_dim, **net), posterior=deterministic, prior=no_prior)


@variant("ae", year=2006, paper="Hinton & Salakhutdinov, Science 2006")
def ae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The autoencoder: a deterministic code from which x is reconstructed.

    Use it as a baseline, and to reduce dimensions.

    Limits: without a prior it has no likelihood of x and generates no examples.

    Generative process:
        .. math:: z = f(x), \qquad x \sim p(x \mid z) \qquad \text{(no prior)}

    Objective:
        .. math:: \mathcal L = \log p(x \mid z = f(x))

    Symbols:
        f (hidden): The encoder, without noise.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        net: The other options of ``vae``.

    Example:
        >>> import torch
        >>> ae(DataSpec((1, 8, 8), "binary")).model.encode(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 20])
    """
    return Specification(spec, autoencoder(latent_dim, **net), Reconstruction())


@variant("dae", year=2008, paper="Vincent et al., ICML 2008")
def dae(
    spec: DataSpec,
    latent_dim: int = 20,
    corruption: Kind = "gaussian",
    level: float = 0.5,
    **net: Unpack[Net],
) -> Specification:
    r"""The denoising autoencoder, which reconstructs x from a corrupted x.

    Use it to remove noise from data, and for codes that noise does not change.

    Limits: it removes the kind of noise that it was trained on; there is no likelihood of x.

    Generative process:
        .. math:: z = f(\tilde x), \quad \tilde x \sim C(\tilde x \mid x), \qquad
                  x \sim p(x \mid z) \qquad \text{(no prior)}

    Objective:
        .. math:: \mathcal L = \log p(x \mid z = f(\tilde x)), \qquad
                  \tilde x \sim C(\tilde x \mid x)

    Symbols:
        f (hidden): The encoder, without noise.
        C (corruption): The noise that corrupts x, of the strength ``level``.
        x̃: The corrupted example.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        corruption: The noise C: ``gaussian``, ``masking`` or ``salt-and-pepper``.
        level: The standard deviation of the noise, or the share of entries that it changes.
        net: The other options of ``vae``.

    Example:
        >>> dae(DataSpec((1, 8, 8), "binary"), corruption="masking").objective.corruption
        Corruption(kind='masking', level=0.5)
    """
    parts = autoencoder(latent_dim, **net)
    return Specification(spec, parts, Reconstruction(Corruption(corruption, level)))


@variant("cae", year=2011, paper="Rifai et al., ICML 2011")
def cae(
    spec: DataSpec,
    latent_dim: int = 20,
    weight: float = 0.1,
    n_probes: int = 0,
    **net: Unpack[Net],
) -> Specification:
    r"""The contractive autoencoder, whose code has a small derivative by x.

    Use it for codes that small changes of x do not change.

    Limits: the exact norm takes a backward pass for each latent dimension; n_probes=1 estimates it
    from one; there is no likelihood of x.

    Generative process:
        .. math:: z = f(x), \qquad x \sim p(x \mid z) \qquad \text{(no prior)}

    Objective:
        .. math:: \mathcal L = \log p(x \mid z = f(x))
                  - \lambda \Bigl\| \frac{\partial f(x)}{\partial x} \Bigr\|_F^2

    Symbols:
        f (hidden): The encoder, without noise.
        λ (weight): The weight of the squared derivative, in nats.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        weight: λ, in nats.
        n_probes: Random directions for the estimate of the norm; 0 for the exact one.
        net: The other options of ``vae``.

    Example:
        >>> cae(DataSpec((1, 8, 8), "binary"), weight=0.2).objective
        Contractive(weight=0.2, n_probes=0)
    """
    parts = autoencoder(latent_dim, **net)
    return Specification(spec, parts, Contractive(weight, n_probes))
