"""The Poisson distribution, for counts whose variance is their mean."""

from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import Poisson as PoissonDistribution
from reparam.families.family import Family, Shape, as_likelihood

# The logarithm of three million. Larger raw parameters are compressed.
_LIMIT = 15.0


@as_likelihood("poisson")
class Poisson(Family):
    r"""Independent Poisson counts.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d - \mu_d - \log x_d!

    A raw parameter is log μ; large ones are compressed so that μ does not overflow. The encoder
    reads log(1 + x), because counts differ by factors.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> import torch
        >>> p = Poisson(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    supports = ("counts",)
    starts_at_mean = True
    exact_head = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Poisson with these logarithms of rates."""
        (log_rate,) = self.parameters_of(raw)
        return self.independent(PoissonDistribution(compressed(log_rate), validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logarithm of the mean."""
        return raw_of_count(mean)

    def as_input(self, x: Tensor) -> Tensor:
        """Return log(1 + x), with negative values, as of noise on small counts, set to 0."""
        return x.clamp(min=0).log1p()


def compressed(raw: Tensor) -> Tensor:
    r"""Return raw parameters compressed to logarithms whose exponentials are finite.

    The gradient is above zero everywhere.

    .. math:: f(r) = r \text{ for } |r| \le 15, \qquad
              f(r) = \pm (15 + \log(1 + |r| - 15)) \text{ beyond}

    >>> import torch
    >>> compressed(torch.tensor([3.0, -1e6]))
    tensor([  3.0000, -28.8155])
    """
    over = (raw.abs() - _LIMIT).clamp(min=0)
    return raw.clamp(-_LIMIT, _LIMIT) + raw.sign() * over.log1p()


def raw_of_count(mean: Tensor) -> Tensor:
    """Return the raw parameter of a mean, the inverse of ``compressed``; at least log 0.001.

    >>> import torch
    >>> compressed(raw_of_count(torch.tensor([0.5, 1e9]))).exp()
    tensor([5.0000e-01, 1.0000e+09])
    """
    log_mean = mean.clamp(min=1e-3).log()
    over = (log_mean - _LIMIT).clamp(min=0)
    return log_mean.clamp(max=_LIMIT) + over.expm1()
