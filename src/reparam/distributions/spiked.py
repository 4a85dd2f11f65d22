r"""Columns of which many values are one number, as the zeros of a sum of money.

.. math:: P(x) = \pi \, 1[x = s] + (1 - \pi) \, P_{\mathrm{rest}}(x)
"""

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution, support_of


class Spiked(DeclaredDistribution):
    r"""A mixture of one value and of other values, for entries that have such a value.

    The entry is rounded, so that both parts are probabilities of cells. Other entries have the
    distribution of the rest.

    Arguments:
        base: The distribution of the rest, with independent entries.
        logits: The logits of π, with the batch shape of ``base``.
        spike: s, which broadcasts with the batch of ``base``.
        width: The width of the cell around s; 0 for entries without such a value.

    References:
        Lambert, Zero-inflated Poisson regression, Technometrics 1992.

    Example:
        >>> from reparam.distributions import RoundedNormal
        >>> rest = RoundedNormal(torch.zeros(1), torch.ones(1), torch.ones(1))
        >>> p = Spiked(rest, torch.zeros(1), torch.tensor([3.0]), torch.ones(1))
        >>> p.log_prob(torch.tensor([3.0])).exp()  # ½ + ½ (Φ(3.5) - Φ(2.5))
        tensor([0.5030])
    """

    def __init__(self, base: Distribution, logits: Tensor, spike: Tensor, width: Tensor) -> None:
        self.base, self.logits, self.spike, self.width = base, logits, spike, width
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The values of the rest."""
        return support_of(self.base)

    @property
    def share(self) -> Tensor:
        """The probability π of the value, 0 for entries without one."""
        return torch.where(self.width > 0, self.logits.sigmoid(), 0.0)

    @property
    def mean(self) -> Tensor:
        """Return π s + (1 - π) E[x of the rest]."""
        return torch.lerp(self.base.mean, self.spike.expand_as(self.base.mean), self.share)

    @property
    def variance(self) -> Tensor:
        """Return the variance of the mixture."""
        between = self.share * (1 - self.share) * (self.base.mean - self.spike).square()
        return (1 - self.share) * self.base.variance + between

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> "Spiked":
        """Return the distribution over a larger batch."""
        logits = self.logits.expand(batch_shape)
        return Spiked(self.base.expand(batch_shape), logits, self.spike, self.width)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each entry in nats."""
        of_rest = self.base.log_prob(value)
        rest = logsigmoid(-self.logits) + of_rest
        either = torch.where(
            self.is_spike(value), torch.logaddexp(logsigmoid(self.logits), rest), rest
        )
        return torch.where(self.width > 0, either, of_rest)

    def is_spike(self, value: Tensor) -> Tensor:
        """Return whether each entry lies in the cell around s."""
        return (value - self.spike).abs() < 0.5 * self.width

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws."""
        with torch.no_grad():
            draws = self.base.sample(sample_shape)
            return torch.where(torch.rand_like(draws) < self.share, self.spike, draws)
