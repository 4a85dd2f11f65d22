"""The Poisson distribution by the logarithm of its rate."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from reparam.distributions.declared import Elementwise
from reparam.distributions.precision import upcast

_LARGEST_RATE = 1e9
"""Above this rate a draw exceeds the integers that torch.poisson computes in."""


class Poisson(Elementwise):
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

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each count, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        x, log_rate = upcast(value), upcast(self.log_rate)
        log_prob = x * log_rate - log_rate.exp() - torch.lgamma(x + 1)
        return log_prob.to(self.log_rate.dtype)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, as floating-point numbers."""
        with torch.no_grad():
            rate = self.mean.expand(self._extended_shape(sample_shape))
            return torch.poisson(rate.clamp(max=_LARGEST_RATE))
