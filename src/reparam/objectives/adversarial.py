"""Objectives of several players: a discriminator, or a classifier, trains other parts."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from reparam.batch import Batch
from reparam.distributions import base_distribution, mean_or_mode
from reparam.errors import OptionError
from reparam.models.latent import LatentModel
from reparam.nn.context import with_condition
from reparam.objectives.bounds import forward_pass
from reparam.objectives.terms import ModelObjective, Terms
from reparam.utils.arguments import numbers


@numbers(gamma=0)
@dataclass(frozen=True)
class FactorVAE(ModelObjective):
    r"""The ELBO, and the total correlation of the codes as a discriminator D estimates it.

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

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        forward = forward_pass(model, batch)
        total = logits(model, forward.z[0]).mean()
        return forward.terms(forward.elbo, total_correlation=self.gamma * total)


@dataclass(frozen=True)
class DensityRatio(ModelObjective):
    r"""The objective of a discriminator of codes from codes with shuffled dimensions.

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

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        with torch.no_grad():
            z = model.posterior(model.as_event(batch.x), batch.c).rsample()
            # Shuffled dimension by dimension: draws from the product of the marginals.
            shuffled = z.gather(0, torch.rand_like(z).argsort(0))
        return discrimination(logits(model, z), logits(model, shuffled))


@dataclass(frozen=True)
class _Perceptual(ModelObjective):
    """Abstract: an objective with a similarity in the features of the discriminator."""

    gamma: float = 1.0
    pixels: float = 1.0

    def similarity(self, log_prob: Tensor, distance: Tensor) -> Tensor:
        r"""Return :math:`w \log p(x \mid z) - \tfrac\gamma2 d^2`, with shape (B,)."""
        return self.pixels * log_prob - 0.5 * self.gamma * distance


@numbers(gamma=0, pixels=0)
@dataclass(frozen=True)
class PerceptualEncoder(_Perceptual):
    r"""The objective of the encoder of a VAE-GAN: similarity in the discriminator's features.

    .. math:: \mathcal L = \mathbb E_q \Bigl[ w \log p(x \mid z)
              - \tfrac\gamma2 \bigl\| h_D(x) - h_D(\hat x(z)) \bigr\|^2 \Bigr]
              - \mathrm{KL}(q(z \mid x) \| p(z))

    h_D is the discriminator's first layer and x̂(z) the mean of p(x | z). The reconstruction in the
    terms is log p(x | z), so that the ELBO can be compared.

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

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        forward = forward_pass(model, batch)
        squared = distance(
            model, model.as_event(batch.x), mean_or_mode(forward.likelihood)[0], batch.c
        )
        similarity = self.similarity(forward.reconstruction, squared)
        return forward.terms(similarity - forward.divergence.value)


@numbers(gamma=0, pixels=0)
@dataclass(frozen=True)
class Generator(_Perceptual):
    r"""The objective of the decoder of a VAE-GAN: to deceive the discriminator and to reconstruct.

    .. math:: \mathcal L = \log D(\hat x(z_p)) + \log D(\hat x(z)) + w \log p(x \mid z)
              - \tfrac\gamma2 \bigl\| h_D(x) - h_D(\hat x(z)) \bigr\|^2, \qquad
              z \sim q(z \mid x), \quad z_p \sim p(z)

    In a model with a part ``classifier`` its features are matched too, for each example and in the
    mean of a batch. The source, CVAE-GAN, matches the mean of each class.

    Arguments:
        gamma: γ, the weight of the similarity.
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

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x, c = model.as_event(batch.x), batch.c
        with torch.no_grad():
            z = model.posterior(x, c).rsample()
            z_prior = model.draw_prior(len(x), c)
        p = model.likelihood(z, c)
        rebuilt, drawn = mean_or_mode(p), model.decode(z_prior, c)
        deceived = logsigmoid(logits(model, rebuilt, c)) + logsigmoid(logits(model, drawn, c))
        squared, penalties = distance(model, x, rebuilt, c), {}
        if "classifier" in dict(model.named_children()):
            network = model.part("classifier").network
            h_real, h_drawn = network(x), network(drawn)
            squared = squared + (h_real - network(rebuilt)).square().sum(-1)
            penalties["class_features"] = 0.5 * (h_real.mean(0) - h_drawn.mean(0)).square().sum()
        reconstruction = p.log_prob(x)
        return Terms(
            bound=deceived + self.similarity(reconstruction, squared),
            reconstruction=reconstruction,
            penalties=penalties,
        )


@dataclass(frozen=True)
class Discriminator(ModelObjective):
    r"""The objective of the discriminator of a VAE-GAN between data and decoded examples.

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

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x, c = model.as_event(batch.x), batch.c
        with torch.no_grad():
            z = model.posterior(x, c).rsample()
            decoded = model.decode(z, c), model.decode(model.draw_prior(len(x), c), c)
        fake = torch.stack([logits(model, value, c) for value in decoded])
        return discrimination(logits(model, x, c), fake)


@dataclass(frozen=True)
class Classification(ModelObjective):
    r"""The objective of a classifier within a model, :math:`\log q(y \mid x)`.

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

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch.

        Raises:
            OptionError: A batch without labels.
        """
        if batch.y is None:
            raise OptionError("y=None: the classifier of this model learns from labels; give y")
        log_prob = model.part("classifier")(model.as_event(batch.x)).log_prob(batch.y)
        return Terms(bound=log_prob, reconstruction=log_prob)


def logits(model: LatentModel, value: Tensor, c: Tensor | None = None) -> Tensor:
    """Return log D / (1 - D) of codes or examples, with shape (B,)."""
    c = model.as_condition(c)
    p: Any = base_distribution(with_condition(model.part("discriminator"), value, c))
    return p.logits


def distance(model: LatentModel, x: Tensor, other: Tensor, c: Tensor | None) -> Tensor:
    """Return the squared distance in the discriminator's first features, with shape (B,)."""
    first, c = model.part("discriminator").network.first, model.as_condition(c)
    difference = with_condition(first, x, c) - with_condition(first, other, c)
    return difference.square().flatten(1).sum(1)


def discrimination(real: Tensor, fake: Tensor) -> Terms:
    """Return the terms of a discriminator, given its logits of real and of fake examples."""
    log_prob = logsigmoid(real) + logsigmoid(-fake).reshape(-1, len(real)).mean(0)
    return Terms(bound=log_prob, reconstruction=log_prob)
