r"""Distributions of counts, by the logarithms of their parameters: Poisson and negative binomial.

.. math:: \mathrm{Var}[x] = \mu \quad\text{and}\quad \mathrm{Var}[x] = \mu + \mu^2 / \theta

Terms are summed in float64, because they cancel where counts are large.
"""

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

    The parameter is log μ, and the terms are summed in float64: for a count of a million they are
    above 10⁷ and cancel, which costs a nat in float32.

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
        x, log_rate = upcast(value), upcast(self.log_rate)
        log_prob = x * log_rate - log_rate.exp() - torch.lgamma(x + 1)
        return log_prob.to(self.log_rate.dtype)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, as floating-point numbers."""
        with torch.no_grad():
            rate = self.mean.expand(self._extended_shape(sample_shape))
            return torch.poisson(rate.clamp(max=_LARGEST_RATE))


_STIRLING, _POISSON = 5.0, 90.0
"""The smallest log θ at which Stirling's series is used, whose error there is below 1e-9, and the
largest: above it the distribution is a Poisson in every digit."""


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
        x, log_mean = upcast(value), upcast(self.log_mean)
        log_theta = upcast(self.log_inverse_dispersion).clamp(max=_POISSON)
        theta, log_odds = log_theta.exp(), log_mean - log_theta
        ways = torch.lgamma(x + theta) - torch.lgamma(theta)
        small = ways - theta * softplus(log_odds) - x * softplus(-log_odds)
        # log Γ(x + θ) / Γ(θ) by Stirling's series, where the difference of both would cancel.
        series = (1 / (x + theta) - 1 / theta) / 12 - ((x + theta) ** -3 - theta**-3) / 360
        gap = (x / theta).log1p() - log_odds.exp().log1p()
        large = (x + theta) * gap - 0.5 * (x / theta).log1p() - x + x * log_mean + series
        log_prob = torch.where(log_theta > _STIRLING, large, small) - torch.lgamma(x + 1)
        return log_prob.to(self.log_mean.dtype)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, as floating-point numbers."""
        with torch.no_grad():
            log_theta = upcast(self.log_inverse_dispersion)
            shape = Gamma(log_theta.exp(), torch.ones_like(log_theta), validate_args=False)
            share = shape.sample(torch.Size(sample_shape)).log() - log_theta
            rate = Poisson(upcast(self.log_mean) + share, validate_args=False)
            return rate.sample().to(self.log_mean.dtype)
