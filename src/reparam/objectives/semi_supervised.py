"""Objectives for few labels: an unknown label is a latent variable."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.distributions import OneHotCategorical
from torch.nn.functional import one_hot

from reparam.batch import Batch
from reparam.distributions import Chain, rsample
from reparam.divergence import CLOSED_FORM, kl
from reparam.errors import DataError
from reparam.models.label_inference import StackedDecoder, StackedEncoder, StackedPrior
from reparam.models.latent import LatentModel
from reparam.objectives.terms import ModelObjective, Terms, check_share
from reparam.priors import StandardNormal
from reparam.utils.arguments import numbers


@numbers(alpha=0)
@dataclass(frozen=True)
class SemiSupervised(ModelObjective):
    r"""The bounds of M2, for examples with and without a label, and a classification term.

    .. math:: \mathcal L(x, y) &= \mathbb E_{q(z \mid x, y)}[\log p(x \mid y, z)] + \log p(y)
              - \mathrm{KL}(q(z \mid x, y) \| p(z)) \\
              \mathcal U(x) &= \sum_y q(y \mid x)\, \mathcal L(x, y) + \mathcal H(q(y \mid x)) \\
              \mathcal J &= \overline{\mathcal L \text{ or } \mathcal U}
              + \alpha\, \overline{\log q(y \mid x)}

    The first mean is over all examples of the batch, the second over those with a label. The sum
    over the K labels is exact, with a draw of z for each. An unknown label is -1. Labeled examples
    are repeated, so that every batch has some, and so have more weight than their share.

    Arguments:
        alpha: α, in nats of an example; 0.1 in the source.

    Raises:
        OptionError: A negative or infinite weight.
        DataError: A batch without labels, when called.

    References:
        Kingma, Rezende, Mohamed & Welling, Semi-supervised learning with deep generative models,
        NeurIPS 2014, eq. 6 to 9.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.ss_vae(DataSpec((1, 8, 8), "binary", n_classes=3), latent_dim=2)
        >>> batch = Batch(torch.zeros(5, 1, 8, 8), y=torch.tensor([-1, 2, -1, 0, -1]))
        >>> SemiSupervised()(recipe.model, batch).bound.shape
        torch.Size([5])
    """

    repeats_labeled = True

    alpha: float = 0.1

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        if batch.y is None:
            raise DataError(
                "y=None: a semi-supervised model learns from labels; give y, with -1 for unknown "
                "labels"
            )
        x, y = model.as_event(batch.x), batch.y
        known, unknown = y >= 0, y < 0
        penalties, parts = {}, []
        if bool(unknown.any()):
            parts.append(marginal(model, x[unknown]))
        if bool(known.any()):
            q = cast(Chain, model.posterior(x[known]))
            q_y = label_of(q, x)
            c = one_hot(y[known], q_y.event_shape[0]).to(q_y.probs)
            parts.append(_of_label(model, q, x[known], c))
            penalties["classification"] = -self.alpha * q_y.log_prob(c).mean()
        # Back into the order of the batch.
        place = torch.cat([unknown.nonzero(), known.nonzero()]).flatten().argsort()
        reconstruction, of_z, of_y = (torch.cat(part)[place] for part in zip(*parts, strict=True))
        return Terms(
            bound=reconstruction - of_z - of_y,
            reconstruction=reconstruction,
            kl={"z": of_z, "y": of_y},
            kl_method=CLOSED_FORM,
            penalties=penalties,
        )


@numbers(alpha=0, beta=0)
@dataclass(frozen=True)
class Stacked(ModelObjective):
    r"""The bounds of M1 and of M2 on its features, both in every step.

    .. math:: \mathcal J = \overline{\mathbb E_{q(h \mid x)}[\log p(x \mid h)]
              - \beta\, \mathrm{KL}(q(h \mid x) \| \mathcal N(0, I))} + \mathcal J_{M2}(h, y)

    M2 learns from draws h of q(h | x) without a gradient to M1, as if M1 had been trained before,
    and starts after a share of the steps. M1 learns from the examples without a label, if there are
    any: the labeled ones are repeated in every batch, and M1 would overfit to them.

    Arguments:
        alpha: α of M2.
        start: The share of the steps after which M2 learns.
        beta: β; 1 in the source. A lower weight keeps more of x in the features.

    Raises:
        OptionError: A weight that is negative or infinite, or a share outside [0, 1).

    References:
        Kingma, Rezende, Mohamed & Welling, NeurIPS 2014, section 2.1 and section 3 (M1 + M2).

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> spec = DataSpec((1, 8, 8), "binary", n_classes=3)
        >>> recipe = variants.ss_vae_stacked(spec, latent_dim=2, hidden=(8,))
        >>> batch = Batch(torch.zeros(2, 1, 8, 8), y=torch.tensor([-1, 2]))
        >>> list(Stacked()(recipe.model, batch).kl)
        ['features']
    """

    repeats_labeled = True

    alpha: float = 0.1
    start: float = 0.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_share("start", self.start)

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of M1, with the loss of M1 and M2."""
        x = model.as_event(batch.x)
        encoder, prior = cast(StackedEncoder, model.encoder), cast(StackedPrior, model.prior)
        decoder = cast(StackedDecoder, model.decoder)
        q = encoder.features(model.as_input(x))
        h = rsample(q, 1, x.device)[0]
        reconstruction = decoder.features(h).log_prob(x)
        divergence = kl(q, StandardNormal(encoder.n_features).to(x.device)(), h[None])
        learned = reconstruction - self.beta * divergence.value
        loss = -learned[_representative(batch)].mean()
        if batch.progress >= self.start:
            second = LatentModel(encoder.labels, prior.features, prior.labels)
            loss = loss + SemiSupervised(self.alpha)(second, Batch(h.detach(), batch.y)).loss
        return Terms(
            bound=reconstruction - divergence.value,
            reconstruction=reconstruction,
            kl={"features": divergence.value},
            kl_method=divergence.method,
            surrogate=loss,
        )


def _representative(batch: Batch) -> Tensor | slice:
    """Return the index of the examples that M1 learns from."""
    if batch.y is None or bool((batch.y >= 0).all()):
        return slice(None)
    return batch.y < 0


def label_of(q: Chain, like: Tensor) -> OneHotCategorical:
    """Return the first group, q(y | x)."""
    return cast(OneHotCategorical, q.factors["y"](like.new_empty(*q.batch_shape, 0)))


def marginal(model: LatentModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return reconstruction, KL of z and KL of y of U(x), each with shape (B,)."""
    q, p = cast(Chain, model.posterior(x)), cast(Chain, model.prior_distribution())
    q_y = label_of(q, x)
    labels = torch.eye(q_y.event_shape[0]).to(q_y.probs)[:, None].expand(-1, len(x), -1)
    reconstruction, of_z, _ = _of_label(model, q, x, labels)
    weight = q_y.probs.T
    of_y = kl(q_y, label_of(p, x)).value
    return (weight * reconstruction).sum(0), (weight * of_z).sum(0), of_y


def _of_label(model: LatentModel, q: Chain, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return reconstruction, KL of z and -log p(y) of L(x, y), for y with shape (\*, B, K)."""
    p = cast(Chain, model.prior_distribution())
    q_z, p_z = q.factors["z"](c), p.factors["z"](c)
    z = rsample(q_z, 1, x.device)[0]
    reconstruction = model.likelihood(torch.cat([c, z], -1)).log_prob(x)
    return reconstruction, kl(q_z, p_z, z[None]).value, -p.factors["y"](c[..., :0]).log_prob(c)
