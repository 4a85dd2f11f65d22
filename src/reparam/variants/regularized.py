"""Variants with other penalties on the code than the KL."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from reparam.families import POSTERIORS, Bernoulli
from reparam.models.conditional import Conditional
from reparam.nn import MLP
from reparam.objectives import MMD, NaivePenalty, TotalCorrelation
from reparam.objectives.adversarial import DensityRatio, FactorVAE
from reparam.objectives.recipe import Player
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons
from reparam.variants.specification import Specification


def code_discriminator(critic: Sequence[int], spec: DataSpec, latent_dim: int) -> Conditional:
    """Create the discriminator of codes, by the sizes of its layers."""
    return Conditional(MLP(latent_dim, *critic, activation="leaky-relu"), Bernoulli(()))


@variant("tc-vae", year=2018, paper="Chen et al., NeurIPS 2018")
def tc_vae(
    spec: DataSpec, latent_dim: int = 10, beta: float = 6.0, **net: Unpack[Net]
) -> Specification:
    r"""The VAE with a weight on the total correlation of its latent dimensions (β-TC-VAE).

    Use it for independent latent dimensions, at a lower cost to the reconstruction than
    ``beta-vae``.

    Limits: the total correlation is estimated from a batch, which should be large; independent
    dimensions need not be interpretable.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathrm{ELBO} - (\beta - 1)\, \mathrm{KL}\Bigl(q(z) \Big\|
                  \prod_j q(z_j)\Bigr), \qquad q(z) = \mathbb E_x[q(z \mid x)]

    Symbols:
        β (beta): The weight of the total correlation; 1 for the VAE.
        q(z): The aggregate posterior: the distribution of the codes of all examples.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        beta: β.
        net: The other options of ``vae``.

    Example:
        >>> tc_vae(DataSpec((1, 28, 28), "binary")).objective
        TotalCorrelation(beta=6.0)
    """
    return Specification(spec, perceptrons(latent_dim, **net), TotalCorrelation(beta))


@variant("factor-vae", year=2018, paper="Kim & Mnih, ICML 2018")
def factor_vae(
    spec: DataSpec,
    latent_dim: int = 10,
    gamma: float = 6.0,
    critic: Sequence[int] = (200, 200),
    critic_lr: float = 1e-3,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE with a penalty on the total correlation, estimated by a discriminator.

    D learns to distinguish codes from codes whose dimensions were shuffled over the batch. Its
    logit estimates the total correlation.

    Use it in place of ``tc-vae`` where batches are too small for that estimate.

    Limits: the penalty is wrong while the discriminator learns more slowly than the encoder.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathrm{ELBO} - \gamma\, \mathbb E_{q(z)} \Bigl[
                  \log \frac{D(z)}{1 - D(z)}\Bigr]

    Symbols:
        γ (gamma): The weight of the total correlation.
        D (critic): The discriminator: the probability that z is a code and was not shuffled.
        q(z): The aggregate posterior: the distribution of the codes of all examples.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        gamma: γ.
        critic: The sizes of the discriminator's layers.
        critic_lr: Its learning rate.
        net: The other options of ``vae``.

    Example:
        >>> factor_vae(DataSpec((1, 28, 28), "binary")).players[0].module
        'discriminator'
    """
    discriminator = partial(code_discriminator, critic)
    parts = replace(perceptrons(latent_dim, **net), parts={"discriminator": discriminator})
    players = (Player("discriminator", DensityRatio(), critic_lr),)
    return Specification(spec, parts, FactorVAE(gamma), players)


@variant("info-vae", year=2019, paper="Zhao, Song & Ermon, AAAI 2019")
def info_vae(
    spec: DataSpec,
    latent_dim: int = 20,
    mmd_weight: float = 10.0,
    kl_weight: float = 0.5,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE with a maximum mean discrepancy between all codes and the prior (InfoVAE).

    Use it for informative codes that can still be drawn from the prior. α here is 1 - α in the
    source.

    Limits: for α < 1 the objective is not a bound; the discrepancy is estimated from a batch, and
    with a large weight its noise dominates the gradient.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \alpha\, \mathrm{KL}(q(z \mid x) \| p(z)) - \lambda\, \mathrm{MMD}^2(q(z), p(z))

    Symbols:
        α (kl_weight): The weight of the KL.
        λ (mmd_weight): The weight of the discrepancy, in nats.
        q(z): The aggregate posterior: the distribution of the codes of all examples.
        MMD: The maximum mean discrepancy between two distributions.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        mmd_weight: λ, in nats.
        kl_weight: α.
        net: The other options of ``vae``.

    Example:
        >>> info_vae(DataSpec((1, 28, 28), "binary")).objective
        MMD(weight=10.0, kl_weight=0.5)
    """
    return Specification(spec, perceptrons(latent_dim, **net), MMD(mmd_weight, kl_weight))


@variant("wae", year=2018, paper="Tolstikhin et al., ICLR 2018")
def wae(
    spec: DataSpec, latent_dim: int = 10, mmd_weight: float = 10.0, **net: Unpack[Net]
) -> Specification:
    r"""The Wasserstein autoencoder: deterministic codes whose distribution matches the prior.

    Use it for sharp reconstructions from a model that can generate.

    Limits: a deterministic code has no ELBO and no likelihood of x; with more latent dimensions
    than the data need, regions of the prior remain without codes.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \log p(x \mid z = f(x))
                  - \lambda\, \mathrm{MMD}^2(q(z), p(z)), \qquad
                  q(z) = \mathbb E_x[\delta(z - f(x))]

    Symbols:
        f (hidden): The encoder, without noise.
        λ (mmd_weight): The weight of the discrepancy, in nats.
        q(z): The distribution of the codes of all examples.
        MMD: The maximum mean discrepancy between two distributions.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        mmd_weight: λ, in nats.
        net: The other options of ``vae``.

    Example:
        >>> wae(DataSpec((1, 28, 28), "binary")).objective
        MMD(weight=10.0, kl_weight=0.0)
    """
    parts = replace(perceptrons(latent_dim, **net), posterior=POSTERIORS["deterministic"])
    return Specification(spec, parts, MMD(mmd_weight))


@variant("naive-vae", year=2018, paper="Su, Scientific Spaces 5253, 2018")
def naive_vae(
    spec: DataSpec, latent_dim: int = 20, weight: float = 1.0, **net: Unpack[Net]
) -> Specification:
    r"""The VAE with a penalty that resembles a KL and is none, for comparison.

    Use it to measure the effect of the KL: the same networks with the ELBO reach a better bound.

    Limits: it bounds no likelihood; its weight has to be tuned.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \lambda \bigl(\|\mu\|^2 + \|\log \sigma^2\|^2\bigr)

    Symbols:
        λ (weight): The weight of the penalty.
        μ, σ: The mean and the standard deviation that the encoder gives for x.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        weight: λ.
        net: The other options of ``vae``.

    Example:
        >>> naive_vae(DataSpec((1, 28, 28), "binary")).objective
        NaivePenalty(weight=1.0)
    """
    return Specification(spec, perceptrons(latent_dim, **net), NaivePenalty(weight))
