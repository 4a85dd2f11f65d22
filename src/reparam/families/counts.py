"""Likelihoods of counts: the Poisson, and the negative binomial with a larger variance.

A raw parameter is the logarithm of a mean, and the encoder reads log(1 + x), because counts differ
by factors.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam import distributions
from reparam.errors import unknown
from reparam.families.family import Family, Shape, as_likelihood

# The logarithm of three million. Larger raw parameters are compressed.
_LIMIT = 15.0

Dispersion = Literal["entry", "learned"]
"""The variables that θ depends on."""


class _Counts(Family):
    """Abstract: a family whose first raw parameter is the logarithm of each entry's mean."""

    supports = ("counts",)
    starts_at_mean = True
    exact_head = True

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the raw parameter of a mean, the inverse of ``compressed``; at least log 0.001.

        >>> compressed(Poisson(2).raw_of_mean(torch.tensor([0.5, 1e9]))).exp()
        tensor([5.0000e-01, 1.0000e+09])
        """
        log_mean = mean.clamp(min=1e-3).log()
        over = (log_mean - _LIMIT).clamp(min=0)
        return log_mean.clamp(max=_LIMIT) + over.expm1()

    def transformed(self, x: Tensor) -> Tensor:
        """Return log(1 + x), with negative values, as of noise on small counts, set to 0."""
        return x.clamp(min=0).log1p()


def compressed(raw: Tensor) -> Tensor:
    r"""Return raw parameters compressed to logarithms whose exponentials are finite.

    The gradient is above zero everywhere.

    .. math:: f(r) = r \text{ for } |r| \le 15, \qquad
              f(r) = \pm (15 + \log(1 + |r| - 15)) \text{ beyond}

    >>> compressed(torch.tensor([3.0, -1e6]))
    tensor([  3.0000, -28.8155])
    """
    over = (raw.abs() - _LIMIT).clamp(min=0)
    return raw.clamp(-_LIMIT, _LIMIT) + raw.sign() * over.log1p()


@as_likelihood("poisson")
class Poisson(_Counts):
    r"""Independent Poisson counts.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d - \mu_d - \log x_d!

    A raw parameter is log μ; large ones are compressed so that μ does not overflow. The encoder
    reads log(1 + x), because counts differ by factors.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> p = Poisson(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Poisson with these logarithms of rates."""
        (log_rate,) = self.parameters_of(raw)
        return self.independent(distributions.Poisson(compressed(log_rate), validate_args=False))


@as_likelihood("negative-binomial")
class NegativeBinomial(_Counts):
    r"""Independent negative binomials, by their mean μ and inverse dispersion θ.

    .. math:: \mathrm{Var}[x_d] = \mu_d + \mu_d^2 / \theta_d

    Raw parameters are log μ and log θ; large ones are compressed so that nothing overflows. The
    encoder reads log(1 + x), because counts differ by factors.

    Arguments:
        event_shape: The shape of the event.
        dispersion: ``entry``: θ is one learned number for each entry of the event.
            ``learned``: θ depends on the features of each example, as μ does.

    Raises:
        OptionError: A dispersion that is neither.

    References:
        Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 2018.

    Example:
        >>> p = NegativeBinomial(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    def __init__(self, event_shape: Shape, dispersion: Dispersion = "entry") -> None:
        if dispersion not in get_args(Dispersion):
            raise unknown("dispersion", str(dispersion), get_args(Dispersion))
        super().__init__(event_shape, 1 if dispersion == "entry" else 2)
        self.dispersion = dispersion
        if dispersion == "entry":
            self.log_inverse_dispersion = nn.Parameter(torch.zeros(self.event_shape))

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the negative binomial with these logarithms of means."""
        log_mean, *rest = self.parameters_of(raw)
        log_theta = rest[0] if rest else self.log_inverse_dispersion.to(raw)
        return self.independent(
            distributions.NegativeBinomial(
                compressed(log_mean), compressed(log_theta), validate_args=False
            )
        )
