"""Proposals: the distributions that an importance-sampled likelihood draws z from.

Any distribution that is positive where p(x, z) is gives an unbiased estimate of p(x). A better one
gives a less noisy estimate, and a smaller gap below log p(x).
"""

from collections.abc import Sequence
from math import log
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints

from reparam.distributions import Delta, QuantizedCodes, base_distribution
from reparam.divergence import check_comparable
from reparam.errors import OptionError, SupportError, unknown
from reparam.evaluation.model import as_event
from reparam.models.latent import LatentModel
from reparam.objectives.bounds import frozen
from reparam.utils.arguments import numbers

Proposal = Literal["posterior", "defensive", "tuned"]
POSTERIOR: Final = "posterior"
DEFENSIVE: Final = "defensive"
TUNED: Final = "tuned"
PROPOSALS = (POSTERIOR, DEFENSIVE, TUNED)
"""The names of the proposals: q(z | x), a mixture of it with the prior, and q tuned on each x."""


def proposed(
    name: str, model: LatentModel, x: Tensor, c: Tensor | None = None, max_rows: int = 2**12
) -> Distribution:
    """Return the proposal of this name for every example.

    Arguments:
        name: ``posterior``, ``defensive`` or ``tuned``.
        model: The model, in evaluation mode.
        x: The examples, with shape (B, *event).
        c: Their condition, with shape (B, C).
        max_rows: The approximate number of z that are decoded at once; it changes no figure.

    Returns:
        A distribution with batch shape (B,).

    Raises:
        OptionError: A name that is none of these.
        SupportError: The posterior is a point or has another form than the proposal needs.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
        >>> proposed("defensive", model, torch.zeros(5, 1, 8, 8)).sample((3,)).shape
        torch.Size([3, 5, 2])
    """
    q = model.posterior(x, c)
    check_proposal(name, q)
    if name == TUNED:
        return tuned(model, x, c, max_rows=max_rows)
    return q if name == POSTERIOR else Defensive(q, model.prior_distribution(c))


def check_proposal(name: str, q: Distribution | None = None) -> None:
    """Refuse a proposal that does not exist, or that this posterior has no use for.

    Arguments:
        name: The name of a proposal.
        q: q(z | x), where it is known.

    Raises:
        OptionError: A name that is none of these.
        SupportError: A posterior that is a point.

    Example:
        >>> check_proposal("prior")
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown proposal 'prior': did you mean 'posterior'? ...
    """
    if name not in PROPOSALS:
        raise unknown("proposal", name, PROPOSALS)
    if name != POSTERIOR and isinstance(q, Delta | QuantizedCodes):
        raise SupportError(
            f"proposal={name!r}: the posterior puts all its mass on one code, so that it has no "
            f"draws to improve: use {POSTERIOR!r}"
        )


def is_tunable(q: Distribution) -> bool:
    """Return whether a posterior is a diagonal Gaussian, which ``tuned`` starts at.

    >>> is_tunable(Independent(Normal(torch.zeros(2), 1.0), 1)), is_tunable(Normal(0.0, 1.0))
    (True, False)
    """
    return isinstance(q, Independent) and isinstance(base_distribution(q), Normal)


class Defensive(Distribution):
    r"""The posterior mixed with the prior, so that no weight is far above the likelihood.

    .. math:: r(z) = \alpha\, q(z \mid x) + (1 - \alpha)\, p(z), \qquad
              \frac{p(x \mid z)\, p(z)}{r(z)} \le \frac{p(x \mid z)}{1 - \alpha}

    A posterior with lighter tails than the true one gives, seldom, a weight without bound; then the
    standard error of the estimate does not exist. Here it does, wherever the likelihood is bounded.

    Arguments:
        q: q(z | x), with batch shape (B,).
        prior: p(z), with batch shape (B,) or ().
        share: α, the probability of a draw from q.

    Raises:
        OptionError: A share that is not between 0 and 1.
        SupportError: q is a point, or lives in another space than the prior.

    References:
        Hesterberg, Weighted average importance sampling and defensive mixture distributions,
        Technometrics 1995, section 2; Owen & Zhou, Safe and effective importance sampling,
        JASA 2000.

    Example:
        >>> unit = Independent(Normal(torch.zeros(1), 1.0), 1)
        >>> narrow = Independent(Normal(torch.zeros(4, 1), 0.1), 1)
        >>> r = Defensive(narrow, unit, share=0.5)
        >>> far = torch.full((1,), 9.0)
        >>> round((unit.log_prob(far) - r.log_prob(far)).exp().max().item(), 3)
        2.0
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, q: Distribution, prior: Distribution, share: float = 0.9) -> None:
        if not 0 < share < 1:
            raise OptionError(f"share={share}: the share of draws from q must be between 0 and 1")
        check_proposal(DEFENSIVE, q)
        check_comparable(q, prior)
        self.q, self.prior, self.share = q, prior, share
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint | None:
        """The support of the prior, which has that of q inside."""
        return self.prior.support

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z, with shape (*sample_shape, B, D)."""
        shape = torch.Size(sample_shape)
        z = self.q.sample(shape)
        # A prior without a batch shape is drawn once for every example.
        of_prior = self.prior.sample(shape if self.prior.batch_shape else shape + self.batch_shape)
        is_q = torch.rand(z.shape[:-1], device=z.device) < self.share
        return torch.where(is_q[..., None], z, of_prior.to(z))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log r(z), in nats with shape (*, B)."""
        of_q = self.q.log_prob(value) + log(self.share)
        return torch.logaddexp(of_q, self.prior.log_prob(value) + log(1 - self.share))


@numbers(n_steps=1, n_importance=1)
def tuned(
    model: LatentModel,
    x: Tensor,
    c: Tensor | None = None,
    *,
    n_steps: int = 100,
    n_importance: int = 8,
    lr: float = 0.1,
    max_rows: int = 2**12,
) -> Distribution:
    r"""Return the diagonal Gaussian that is tuned to each example, starting at q(z | x).

    .. math:: r = \mathcal N(\mu + \sigma a, \mathrm{diag}(\sigma^2 e^{2 b})), \qquad
              \nabla_{a, b} \mathcal L_K = \mathbb E \Bigl[\sum_k \tilde w_k^2\,
              \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial (a, b)}\Bigr]

    μ and σ are the encoder's; a and b maximize the importance-weighted bound of this one example
    with Adam, the model held fixed. Tuning uses separate draws, so that an estimate of p(x) from
    new draws is unbiased. It costs about as much as decoding 3 · n_steps · n_importance draws of
    each example.

    Arguments:
        model: The model, in evaluation mode.
        x: The examples, with shape (B, *event).
        c: Their condition, with shape (B, C).
        n_steps: The number of steps of Adam.
        n_importance: K, the number of draws in the bound.
        lr: The first step's length, in standard deviations of q; it falls linearly to zero.
        max_rows: The approximate number of z that are decoded at once; it changes no figure.

    Returns:
        A diagonal Gaussian with batch shape (B,) and event shape (D,).

    Raises:
        OptionError: Fewer than one step or draw, or a step without length.
        SupportError: The posterior is no diagonal Gaussian.

    References:
        Tucker et al., Doubly reparameterized gradient estimators, ICLR 2019, eq. 8; Cremer, Li &
        Duvenaud, Inference suboptimality in variational autoencoders, ICML 2018, section 3.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model.eval()
        >>> tuned(model, torch.zeros(5, 1, 8, 8), n_steps=2).batch_shape
        torch.Size([5])
    """
    if not lr > 0:
        raise OptionError(f"lr={lr}: the length of a step must be above 0")
    x = as_event(model, x)
    with frozen(model), torch.no_grad():
        q = model.posterior(x, c)
        check_proposal(TUNED, q)
        normal = base_distribution(q)
        if not isinstance(normal, Normal) or not is_tunable(q):
            raise SupportError(
                f"proposal={TUNED!r}: a diagonal Gaussian is tuned, and this posterior is a "
                f"{type(normal).__name__}: use proposal={DEFENSIVE!r}, or a larger n_samples="
            )
        loc, scale = normal.loc.clone(), normal.scale.clone()
        prior = model.prior_distribution(c)
        # a and b of every example; Adam treats each entry for itself, so examples do not mix.
        a, b = (torch.zeros_like(loc, requires_grad=True) for _ in range(2))
        # Gradients shrink as the weights become even; averages over large ones would stop Adam.
        optimizer = torch.optim.Adam([a, b], lr=lr, betas=(0.9, 0.9))
        size = max(1, max_rows // n_importance)
        pieces = [slice(first, first + size) for first in range(0, len(x), size)]
        for step in range(n_steps):
            optimizer.param_groups[0]["lr"] = lr * (1 - step / n_steps)
            noise = torch.randn(n_importance, *loc.shape, dtype=loc.dtype, device=loc.device)
            with torch.enable_grad():
                z = loc + scale * (a + b.exp() * noise)
                # The density of r is held constant: gradients pass through z only.
                center, width = loc + scale * a.detach(), scale * b.detach().exp()
                r = Independent(Normal(center, width, validate_args=False), 1, validate_args=False)
                log_ratio = prior.log_prob(z) - r.log_prob(z)
                a.grad = b.grad = None
                for piece in pieces:
                    likelihood = model.likelihood(z[:, piece], None if c is None else c[piece])
                    log_weight = log_ratio[:, piece] + likelihood.log_prob(x[piece])
                    weight = log_weight.detach().softmax(0)
                    loss = -(weight.square() * log_weight).sum()
                    loss.backward(retain_graph=piece is not pieces[-1])
            optimizer.step()
    loc, scale = (loc + scale * a).detach(), (scale * b.exp()).detach()
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
