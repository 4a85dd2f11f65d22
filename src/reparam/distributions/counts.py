r"""Distributions of counts, by the logarithms of their parameters: Poisson and negative binomial.

.. math:: \mathrm{Var}[x] = \mu \quad\text{and}\quad \mathrm{Var}[x] = \mu + \mu^2 / \theta

Terms are summed in float64, because they cancel where counts are large. Of a count of 0 there is
one term, in the precision of the parameters: most counts of genes and words are 0.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Gamma, constraints
from torch.nn.functional import softplus
from torch.types import _size

from reparam.distributions.declared import Parametric
from reparam.distributions.precision import upcast

_LARGEST_RATE = 1e9
"""Above this rate a draw exceeds the integers that torch.poisson computes in."""


class Poisson(Parametric):
    r"""Counts of independent events.

    .. math:: \log p(x) = x \log \mu - \mu - \log x!

    The parameter is log μ, and the terms of counts above 0 are summed in float64: for a count of a
    million they are above 10⁷ and cancel, which costs a nat in float32.

    Arguments:
        log_rate: log μ, with shape (\*, *event).

    Example:
        >>> Poisson(torch.tensor([0.0, 3.0])).log_prob(torch.tensor([0.0, 20.0]))
        tensor([-1.0000, -2.4212])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"log_rate": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, log_rate: Tensor, validate_args: bool | None = None) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return μ."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        """Return μ."""
        return self.mean

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each count, in nats."""
        return _by_count(value, -self.log_rate.exp(), _log_poisson, self.log_rate)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, as floating-point numbers."""
        with torch.no_grad():
            rate = self.mean.expand(self._extended_shape(sample_shape))
            return torch.poisson(rate.clamp(max=_LARGEST_RATE))


def _log_poisson(x: Tensor, log_rate: Tensor) -> Tensor:
    """Return log p of counts above 0 in nats, in float64."""
    return x * log_rate - log_rate.exp() - torch.lgamma(x + 1)


_STIRLING, _LARGEST_THETA = 5.0, 80.0
"""The smallest log θ at which Stirling's series is used, whose error there is below 1e-9, and the
largest log θ: above it the distribution is a Poisson in every digit."""


class NegativeBinomial(Parametric):
    r"""Counts with more variance than a Poisson: a Poisson whose rate has a gamma distribution.

    .. math:: p(x) = \frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
              \Bigl(\frac{\theta}{\theta + \mu}\Bigr)^{\theta}
              \Bigl(\frac{\mu}{\theta + \mu}\Bigr)^{x}, \qquad
              \mathrm{Var}[x] = \mu + \frac{\mu^2}{\theta}

    As the inverse dispersion θ grows, the distribution becomes a Poisson. Terms are summed in
    float64.

    Arguments:
        log_mean: log μ, with shape (\*, *event).
        log_inverse_dispersion: log θ, with a shape that broadcasts with that of log μ.

    References:
        Hilbe, Negative Binomial Regression, 2011, section 8.2 (NB2); Lopez et al., Nature Methods
        2018 (for counts of gene expression).

    Example:
        >>> p = NegativeBinomial(torch.zeros(2), torch.zeros(2))
        >>> p.log_prob(torch.tensor([0.0, 3.0])).exp(), p.variance
        (tensor([0.5000, 0.0625]), tensor([2., 2.]))
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "log_mean": constraints.real,
        "log_inverse_dispersion": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        log_mean: Tensor,
        log_inverse_dispersion: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        self.log_mean, self.log_inverse_dispersion = torch.broadcast_tensors(
            log_mean, log_inverse_dispersion
        )
        super().__init__(self.log_mean.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return μ."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """Return μ + μ² / θ."""
        return self.mean + (2 * self.log_mean - self.log_inverse_dispersion).exp()

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each count, in nats."""
        log_mean = self.log_mean
        log_theta = self.log_inverse_dispersion.clamp(max=_LARGEST_THETA)
        of_zero = -log_theta.exp() * softplus(log_mean - log_theta)
        return _by_count(value, of_zero, _log_negative_binomial, log_mean, log_theta)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, as floating-point numbers."""
        with torch.no_grad():
            log_theta = upcast(self.log_inverse_dispersion)
            shape = Gamma(log_theta.exp(), torch.ones_like(log_theta), validate_args=False)
            share = shape.sample(torch.Size(sample_shape)).log() - log_theta
            rate = Poisson(upcast(self.log_mean) + share, validate_args=False)
            return rate.sample().to(self.log_mean.dtype)


def _log_negative_binomial(x: Tensor, log_mean: Tensor, log_theta: Tensor) -> Tensor:
    """Return log p of counts above 0 in nats, in float64."""
    theta, log_odds = log_theta.exp(), log_mean - log_theta
    ways = torch.lgamma(x + theta) - torch.lgamma(theta)
    small = ways - theta * softplus(log_odds) - x * softplus(-log_odds)
    # log Γ(x + θ) / Γ(θ) by Stirling's series, where the difference of both would cancel.
    last, first = 1 / (x + theta), 1 / theta
    series = (last - first) / 12 - (last * last * last - first * first * first) / 360
    gap = (x / theta).log1p() - log_odds.exp().log1p()
    large = (x + theta) * gap - 0.5 * (x / theta).log1p() - x + x * log_mean + series
    return torch.where(log_theta > _STIRLING, large, small) - torch.lgamma(x + 1)


def _by_count(
    x: Tensor, of_zero: Tensor, of_other: Callable[..., Tensor], *parameters: Tensor
) -> Tensor:
    r"""Return log p of counts in nats, with the type of ``of_zero``.

    On a CPU the terms of other counts than 0 are computed for these alone; other devices would have
    to wait for their number.

    Arguments:
        x: The counts, with shape (\*, *batch).
        of_zero: log p(0), with the shape of the batch.
        of_other: A function from counts and parameters, in float64, to log p.
        parameters: The parameters, with the shape of the batch.
    """
    x, of_zero, *given = torch.broadcast_tensors(x, of_zero, *parameters)
    if x.device.type != "cpu":
        others = of_other(upcast(x), *map(upcast, given))
        return torch.where(x == 0, of_zero, others.to(of_zero.dtype))
    places = x.flatten().nonzero()[:, 0]
    found = of_other(*(upcast(each.flatten()[places]) for each in (x, *given)))
    return of_zero.flatten().index_copy(0, places, found.to(of_zero.dtype)).view(x.shape)
