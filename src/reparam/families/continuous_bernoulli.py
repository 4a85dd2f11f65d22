"""The continuous Bernoulli, the normalized form of the cross-entropy on grey pixels."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from reparam.families.bernoulli import clamped
from reparam.families.family import Family, Shape, as_likelihood


@as_likelihood("continuous-bernoulli")
class ContinuousBernoulli(Family):
    r"""The continuous Bernoulli: the cross-entropy of grey pixels in [0, 1], normalized.

    Arguments:
        event_shape: The shape of the event.

    References:
        Loaiza-Ganem & Cunningham, NeurIPS 2019.

    Example:
        >>> p = ContinuousBernoulli(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 0.5)).shape
        torch.Size([5])
    """

    supports = ("unit",)
    starts_at_mean = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the continuous Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(ContinuousBernoulliDistribution(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit whose continuous Bernoulli has this mean, by bisection."""
        mean = clamped(mean)
        low, high = torch.full_like(mean, -200.0), torch.full_like(mean, 200.0)
        for _ in range(40):
            middle = (low + high) / 2
            is_below = ContinuousBernoulliDistribution(middle, validate_args=False).mean < mean
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2
