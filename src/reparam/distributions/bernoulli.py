r"""Values in [0, 1] by the cross-entropy of a Bernoulli, with and without a normalizing constant.

.. math:: p(x) = C(l)\, \sigma(l)^x (1 - \sigma(l))^{1 - x}

The continuous Bernoulli is normalized by C(l). The cross-entropy has C(l) = 1: it is the loss of
many tutorials, and no likelihood.
"""

import torch
from torch import Tensor
from torch.distributions import Bernoulli, constraints
from torch.types import _size

from reparam.distributions.declared import Parametric

_NEAR_ZERO = 0.1
"""Below this logit the formulas divide zero by zero; a Taylor polynomial is exact to rounding."""


class ContinuousBernoulli(Parametric):
    r"""A density on [0, 1] whose logarithm is the cross-entropy plus a normalizing constant.

    .. math:: p(x) = C(l)\, \sigma(l)^x (1 - \sigma(l))^{1 - x}, \qquad
              C(l) = \frac{l}{\tanh(l / 2)}

    The parameter is the logit. torch's own ``ContinuousBernoulli`` clamps the probability, which
    costs up to a nat per entry where the logit exceeds 16, as on the black border of an image.

    Arguments:
        logits: l, with shape (\*, *event).

    References:
        Loaiza-Ganem & Cunningham, The continuous Bernoulli, NeurIPS 2019, eq. 6 to 8.

    Example:
        >>> p = ContinuousBernoulli(torch.tensor([-2.0, 0.0, 30.0]))
        >>> p.mean
        tensor([0.3435, 0.5000, 0.9667])
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    @property
    def _safe(self) -> tuple[Tensor, Tensor]:
        # The logit is replaced by 1 where the polynomial is used, so that no gradient is NaN.
        near = self.logits.abs() < _NEAR_ZERO
        return near, torch.where(near, torch.ones_like(self.logits), self.logits)

    @property
    def log_normalizer(self) -> Tensor:
        """Return log C(l), with the shape of the logits."""
        near, safe = self._safe
        small = self.logits.clamp(-_NEAR_ZERO, _NEAR_ZERO).square()
        polynomial = 0.6931471805599453 + small / 12 - small.square() * 7 / 1440
        exact = safe.abs().log() - (safe.abs() / 2).tanh().log()
        return torch.where(near, polynomial, exact)

    @property
    def mean(self) -> Tensor:
        """Return E[x], with the shape of the logits."""
        near, safe = self._safe
        small = self.logits.clamp(-_NEAR_ZERO, _NEAR_ZERO)
        polynomial = 0.5 + small / 12 - small**3 / 720
        # Computed for |l|, then mirrored: expm1 of a large l would overflow.
        size = safe.abs()
        exact = -1 / torch.expm1(-size) - 1 / size
        return torch.where(near, polynomial, torch.where(safe > 0, exact, 1 - exact))

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x) of each entry, in nats, with the shape of x."""
        log_unnormalized = self.logits * value - torch.nn.functional.softplus(self.logits)
        return log_unnormalized + self.log_normalizer

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, by the inverse of the distribution function."""
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        near, safe = self._safe
        # F(x) = expm1(l x) / expm1(l); written with -|l|, so that nothing overflows, then mirrored.
        size = safe.abs()
        x = 1 + torch.log(u + (1 - u) * torch.exp(-size)) / size
        # Near zero the inverse is the cumulant series of a Bernoulli(u), over l.
        small, v = self.logits.clamp(-_NEAR_ZERO, _NEAR_ZERO), u * (1 - u)
        series = 1 / 2 + small * (1 - 2 * u) / 6 + small.square() * (1 - 6 * v) / 24
        x = torch.where(safe > 0, x, 1 - x)
        return torch.where(near, u + small * v * series, x).clamp(0, 1)


class CrossEntropy(Parametric):
    r"""Binary cross-entropy against values in [0, 1], as if it were a log-likelihood.

    .. math:: \log \tilde p(x) = x \log \mu + (1 - x) \log (1 - \mu), \qquad \mu = \sigma(l)

    Its exponential does not integrate to one over [0, 1]. Figures that are computed from it can be
    compared with other cross-entropies, not with a log-likelihood; ``is_normalized`` is False, and
    every report marks them. The same formula on pixels in {0, 1} is the ``Bernoulli``; with a
    normalizing constant on [0, 1] it is the ``ContinuousBernoulli``.

    Arguments:
        logits: l, with shape (\*, *event).

    Example:
        >>> p = CrossEntropy(torch.zeros(2))
        >>> p.log_prob(torch.tensor([0.0, 0.5])), p.is_normalized
        (tensor([-0.6931, -0.6931]), False)
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012
    support = constraints.unit_interval
    is_normalized = False
    unnormalized_because = "cross-entropy on grey values"

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return μ, the x at which the derivative of the cross-entropy in l is zero."""
        return self.logits.sigmoid()

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return the negative cross-entropy of each entry, in nats, with the shape of x."""
        return Bernoulli(logits=self.logits, validate_args=False).log_prob(value)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws in {0, 1}, on which the formula is a likelihood."""
        return Bernoulli(logits=self.logits, validate_args=False).sample(sample_shape)
