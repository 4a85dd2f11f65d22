r"""Likelihoods with one logit for each entry: Bernoulli, continuous Bernoulli, cross-entropy.

.. math:: \log p(x) = \sum_d x_d \log \mu_d + (1 - x_d) \log(1 - \mu_d) + \log C(\mu_d)

The Bernoulli has C = 1 and binary x. On grey values in [0, 1] the continuous Bernoulli is
normalized by C; the cross-entropy has C = 1 and is not normalized.
"""

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution

from reparam import distributions
from reparam.families.family import Family, Shape, as_likelihood


class _OneLogit(Family):
    """Abstract: a family whose raw parameter is the logit of each entry's mean."""

    starts_at_mean = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return clamped(mean).logit()


def clamped(mean: Tensor) -> Tensor:
    """Return means clamped to [0.01, 0.99], where gradients of their logits do not vanish.

    >>> clamped(torch.tensor([0.0, 0.3, 1.0]))
    tensor([0.0100, 0.3000, 0.9900])
    """
    return mean.clamp(0.01, 0.99)


@as_likelihood("bernoulli")
class Bernoulli(_OneLogit):
    r"""Independent Bernoulli variables, the likelihood of binary data.

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

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(TorchBernoulli(logits=logits, validate_args=False))


@as_likelihood("continuous-bernoulli")
class ContinuousBernoulli(_OneLogit):
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

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the continuous Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(distributions.ContinuousBernoulli(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit whose continuous Bernoulli has this mean, by bisection."""
        mean = clamped(mean)
        low, high = torch.full_like(mean, -200.0), torch.full_like(mean, 200.0)
        for _ in range(40):
            middle = (low + high) / 2
            is_below = distributions.ContinuousBernoulli(middle, validate_args=False).mean < mean
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2


@as_likelihood("cross-entropy")
class CrossEntropy(_OneLogit):
    """The loss of many tutorials on grey pixels in [0, 1], which is not a normalized likelihood.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> from reparam.distributions import is_normalized
        >>> is_normalized(CrossEntropy(3).attach((8,))(torch.zeros(5, 8)))
        False
    """

    supports = ("unit",)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the pseudo-distribution with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(distributions.CrossEntropy(logits, validate_args=False))
