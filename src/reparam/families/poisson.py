"""Counts whose variance is their mean."""

from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import Poisson as PoissonDistribution
from reparam.families.family import Family, Shape

# The logarithm of three million: up to there a raw parameter is the logarithm itself.
_BEND = 15.0


class Poisson(Family):
    r"""Independent Poisson counts.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d - \mu_d - \log x_d!

    A raw parameter is log μ, but for the ends, where it is bent so that no μ overflows. An encoder
    is given log(1 + x), since counts differ by factors.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> import torch
        >>> p = Poisson(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    supports = ("counts",)
    exact_head = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Poisson with these logarithms of rates."""
        (log_rate,) = self.parameters_of(raw)
        return self.independent(PoissonDistribution(bent(log_rate), validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logarithm of the mean."""
        return straight(mean)

    def as_input(self, x: Tensor) -> Tensor:
        """Return log(1 + x); what noise has made of a small count may lie below 0."""
        return x.clamp(min=0).log1p()


def bent(raw: Tensor) -> Tensor:
    r"""Return raw parameters as logarithms with finite exponentials and gradients above zero.

    .. math:: f(r) = r \text{ for } |r| \le 15, \qquad
              f(r) = \pm (15 + \log(1 + |r| - 15)) \text{ beyond}

    >>> import torch
    >>> bent(torch.tensor([3.0, -1e6]))
    tensor([  3.0000, -28.8155])
    """
    over = (raw.abs() - _BEND).clamp(min=0)
    return raw.clamp(-_BEND, _BEND) + raw.sign() * over.log1p()


def straight(mean: Tensor) -> Tensor:
    """Return the raw parameter of a mean; of zero, one that is not too far to move from.

    >>> import torch
    >>> bent(straight(torch.tensor([0.5, 1e9]))).exp()
    tensor([5.0000e-01, 1.0000e+09])
    """
    log_mean = mean.clamp(min=1e-3).log()
    over = (log_mean - _BEND).clamp(min=0)
    return log_mean.clamp(max=_BEND) + over.expm1()
