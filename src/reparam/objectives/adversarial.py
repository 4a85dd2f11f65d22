"""Objectives of two and more players: a discriminator says what another part should change."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from reparam.batch import Batch
from reparam.distributions import base_distribution, mean_or_mode
from reparam.errors import OptionError
from reparam.models.latent import LatentModel
from reparam.objectives.bounds import passed
from reparam.objectives.terms import Terms, check_weights, of_latents
from reparam.utils.arguments import numbers


@numbers()
@dataclass(frozen=True)
class FactorVAE:
    r"""The ELBO, less the dependence of latent dimensions as a discriminator D sees it.

    .. math:: \mathcal L = \mathrm{ELBO} - \gamma\, \mathbb E_{q(z)} \Bigl[
              \log \frac{D(z)}{1 - D(z)}\Bigr]

    The model has a part ``discriminator``, whose player has the objective ``DensityRatio``.

    Arguments:
        gamma: γ.

    Raises:
        OptionError: A negative weight.

    References:
        Kim & Mnih, Disentangling by factorising, ICML 2018, eq. 2 and 3.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.factor_vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> list(recipe.objective(recipe.model, Batch(torch.zeros(4, 1, 8, 8))).penalties)
        ['total_correlation']
    """

    gamma: float = 6.0

    def __post_init__(self) -> None:
        check_weights(gamma=self.gamma)

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        made = passed(model, batch)
        total = logits(model, made.z[0]).mean()
        return made.terms(made.elbo, total_correlation=self.gamma * total)


@dataclass(frozen=True)
class DensityRatio:
    r"""What a discriminator of codes maximizes: to tell them from codes with shuffled dimensions.

    .. math:: \mathcal L_D = \mathbb E_{q(z)}[\log D(z)]
              + \mathbb E_{\bar q(z)}[\log(1 - D(z))], \qquad \bar q(z) = \prod_j q(z_j)

    References:
        Kim & Mnih, Disentangling by factorising, ICML 2018, algorithms 1 and 2 (there with a second
        batch for the shuffled codes).

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.factor_vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> DensityRatio()(recipe.model, Batch(torch.zeros(4, 1, 8, 8))).bound.shape
        torch.Size([4])
    """

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        with torch.no_grad():
            z = model.posterior(model.as_event(batch.x), batch.c).sample()
            # Every dimension in an order of its own: draws from the product of the margins.
            order = torch.rand_like(z).argsort(0)
            shuffled = z.gather(0, order)
        return told(logits(model, z), logits(model, shuffled))


@numbers()
@dataclass(frozen=True)
class PerceptualEncoder:
    r"""What the encoder of a VAE-GAN maximizes: likeness in the discriminator's eyes.

    .. math:: \mathcal L = \mathbb E_q \Bigl[ w \log p(x \mid z)
              - \tfrac\gamma2 \bigl\| h_D(x) - h_D(\hat x(z)) \bigr\|^2 \Bigr]
              - \mathrm{KL}(q(z \mid x) \| p(z))

    h_D is the discriminator's first layer and x̂(z) the mean of p(x | z). The reconstruction that is
    reported is log p(x | z) itself, so that the ELBO can be compared.

    Arguments:
        gamma: γ.
        pixels: w; the source has 0.

    Raises:
        OptionError: A negative weight.

    References:
        Larsen et al., Autoencoding beyond pixels using a learned similarity metric, ICML 2016,
        eq. 8 and algorithm 1.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae_gan(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> PerceptualEncoder()(recipe.model, Batch(torch.zeros(4, 1, 8, 8))).bound.shape
        torch.Size([4])
    """

    gamma: float = 1.0
    pixels: float = 1.0

    def __post_init__(self) -> None:
        check_weights(gamma=self.gamma, pixels=self.pixels)

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        made = passed(model, batch)
        unlike = distance(model, model.as_event(batch.x), mean_or_mode(made.likelihood)[0], batch.c)
        likeness = self.pixels * made.reconstruction - 0.5 * self.gamma * unlike
        return made.terms(likeness - made.divergence.value)


@numbers()
@dataclass(frozen=True)
class Generator:
    r"""What the decoder of a VAE-GAN maximizes: to be taken for real, and to reconstruct.

    .. math:: \mathcal L = \log D(\hat x(z_p)) + \log D(\hat x(z)) + w \log p(x \mid z)
              - \tfrac\gamma2 \bigl\| h_D(x) - h_D(\hat x(z)) \bigr\|^2, \qquad
              z \sim q(z \mid x), \quad z_p \sim p(z)

    With a part ``classifier`` its features are matched too, example by example and in the mean of a
    batch, after the CVAE-GAN, which takes the mean of each class.

    Arguments:
        gamma: γ, what likeness counts beside being taken for real.
        pixels: w; the source of the VAE-GAN has 0.

    Raises:
        OptionError: A negative weight.

    References:
        Larsen et al., ICML 2016, section 3.3; Bao et al., CVAE-GAN, ICCV 2017, eq. 4, 5 and 7.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae_gan(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> Generator()(recipe.model, Batch(torch.zeros(4, 1, 8, 8))).bound.shape
        torch.Size([4])
    """

    gamma: float = 1.0
    pixels: float = 1.0

    def __post_init__(self) -> None:
        check_weights(gamma=self.gamma, pixels=self.pixels)

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x, c = model.as_event(batch.x), batch.c
        with torch.no_grad():
            z = model.posterior(x, c).sample()
            z_prior = model.draw_prior(len(x), c)
        p = model.likelihood(z, c)
        rebuilt, made = mean_or_mode(p), model.decode(z_prior, c)
        real = logsigmoid(logits(model, rebuilt, c)) + logsigmoid(logits(model, made, c))
        unlike = distance(model, x, rebuilt, c)
        penalties = {}
        if hasattr(model, "classifier"):
            network = model.part("classifier").network
            h_real, h_made = (network(v) for v in (x, made))
            unlike = unlike + (h_real - network(rebuilt)).square().sum(-1)
            penalties["class_features"] = 0.5 * (h_real.mean(0) - h_made.mean(0)).square().sum()
        reconstruction = p.log_prob(x)
        return Terms(
            bound=real + self.pixels * reconstruction - 0.5 * self.gamma * unlike,
            reconstruction=reconstruction,
            penalties=penalties,
        )


@dataclass(frozen=True)
class Discriminator:
    r"""What the discriminator of a VAE-GAN maximizes: to tell data from what the decoder makes.

    .. math:: \mathcal L_D = \log D(x) + \tfrac12 \log(1 - D(\hat x(z)))
              + \tfrac12 \log(1 - D(\hat x(z_p)))

    References:
        Goodfellow et al., NeurIPS 2014, eq. 1; Larsen et al., ICML 2016, eq. 7.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae_gan(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> Discriminator()(recipe.model, Batch(torch.zeros(4, 1, 8, 8))).bound.shape
        torch.Size([4])
    """

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x, c = model.as_event(batch.x), batch.c
        with torch.no_grad():
            z = model.posterior(x, c).sample()
            rebuilt, made = model.decode(z, c), model.decode(model.draw_prior(len(x), c), c)
        false = torch.stack([logits(model, rebuilt, c), logits(model, made, c)])
        return told(logits(model, x, c), false)


@dataclass(frozen=True)
class Classification:
    r"""What a classifier within a model maximizes, :math:`\log q(y \mid x)`.

    References:
        Bao et al., CVAE-GAN, ICCV 2017, eq. 6.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> spec = DataSpec((1, 8, 8), "binary", n_classes=3).conditioned("label")
        >>> model = variants.cvae_gan(spec, latent_dim=2).model
        >>> batch = Batch(torch.zeros(4, 1, 8, 8), y=torch.tensor([0, 1, 2, 0]))
        >>> Classification()(model, batch).bound.shape
        torch.Size([4])
    """

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch.

        Raises:
            OptionError: A batch without labels.
        """
        if batch.y is None:
            raise OptionError("the classifier of this model learns from labels: give y")
        log_prob = model.part("classifier")(model.as_event(batch.x)).log_prob(batch.y)
        return Terms(bound=log_prob, reconstruction=log_prob)


def logits(model: LatentModel, value: Tensor, c: Tensor | None = None) -> Tensor:
    """Return log D / (1 - D) of codes or examples, with shape (B,)."""
    given = (value,) if c is None else (value, c)
    judged: Any = base_distribution(model.part("discriminator")(*given))
    return judged.logits


def distance(model: LatentModel, x: Tensor, other: Tensor, c: Tensor | None) -> Tensor:
    """Return the squared distance of two examples in the discriminator's eyes, with shape (B,)."""
    first = model.part("discriminator").network.first
    given = () if c is None else (c,)
    return (first(x, *given) - first(other, *given)).square().flatten(1).sum(1)


def told(true: Tensor, false: Tensor) -> Terms:
    """Return the terms of a discriminator with these logits of true and of false examples."""
    log_prob = logsigmoid(true) + logsigmoid(-false).reshape(-1, len(true)).mean(0)
    return Terms(bound=log_prob, reconstruction=log_prob)
