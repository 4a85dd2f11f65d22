"""Pixels in {0, 1} or [0, 1] by their logits: a likelihood, another, and none."""

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution

from reparam.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from reparam.distributions import CrossEntropy as CrossEntropyDistribution
from reparam.families.family import Family, Shape

_NEVER = 0.01
"""The mean at which an entry starts that is always 0: further out it would hardly move again."""


class Bernoulli(Family):
    r"""Independent coins, the likelihood of binary data.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d + (1 - x_d) \log(1 - \mu_d)

    Arguments:
        event_shape: The shape of the event.

    References:
        Kingma & Welling, ICLR 2014, appendix C.1.

    Example:
        >>> p = Bernoulli((1, 28, 28)).attach((400,))(torch.zeros(5, 400))
        >>> p.log_prob(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5])
    """

    supports = ("binary",)

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(TorchBernoulli(logits=logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return _logit(mean)


class ContinuousBernoulli(Family):
    r"""The normalised likelihood of grey pixels in [0, 1] that looks like the cross-entropy.

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

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the continuous Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(ContinuousBernoulliDistribution(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit whose continuous Bernoulli has this mean, by bisection."""
        mean = _within(mean)
        low, high = torch.full_like(mean, -200.0), torch.full_like(mean, 200.0)
        for _ in range(40):
            middle = (low + high) / 2
            is_below = ContinuousBernoulliDistribution(middle, validate_args=False).mean < mean
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2


class CrossEntropy(Family):
    """The tutorials' loss on grey pixels in [0, 1]: no likelihood, and every number says so.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> from reparam.distributions import is_normalized
        >>> is_normalized(CrossEntropy(3).attach((8,))(torch.zeros(5, 8)))
        False
    """

    supports = ("unit",)

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the pseudo-distribution with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(CrossEntropyDistribution(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return _logit(mean)


def _within(mean: Tensor) -> Tensor:
    return mean.clamp(_NEVER, 1 - _NEVER)


def _logit(mean: Tensor) -> Tensor:
    return _within(mean).logit()
