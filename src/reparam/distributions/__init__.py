"""Distributions that torch lacks, one file each."""

from torch.distributions import Distribution, Independent

from reparam.distributions.continuous_bernoulli import ContinuousBernoulli
from reparam.distributions.cross_entropy import CrossEntropy
from reparam.distributions.optimal_normal import OptimalNormal
from reparam.distributions.quantized import QuantizedCategorical

__all__ = [
    "ContinuousBernoulli",
    "CrossEntropy",
    "OptimalNormal",
    "QuantizedCategorical",
    "base",
    "is_normalized",
]


def base(distribution: Distribution) -> Distribution:
    """Return the distribution of single entries below any ``Independent``.

    >>> import torch
    >>> from torch.distributions import Normal
    >>> base(Independent(Normal(torch.zeros(3), 1.0), 1))
    Normal(loc: torch.Size([3]), scale: torch.Size([3]))
    """
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


def is_normalized(distribution: Distribution) -> bool:
    """Return whether ``log_prob`` is the logarithm of a density or mass that sums to one.

    >>> import torch
    >>> is_normalized(CrossEntropy(torch.zeros(3)))
    False
    """
    return bool(getattr(base(distribution), "is_normalized", True))
