"""Distributions that torch lacks, one file each."""

from copy import copy

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, OneHotCategorical

from reparam.distributions.autoregressive import Autoregressive
from reparam.distributions.chain import Chain
from reparam.distributions.continuous_bernoulli import ContinuousBernoulli
from reparam.distributions.cross_entropy import CrossEntropy
from reparam.distributions.delta import Delta
from reparam.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from reparam.distributions.flow import Flow
from reparam.distributions.gaussian_mixture import GaussianMixture
from reparam.distributions.hyperspherical_uniform import HypersphericalUniform, sphere
from reparam.distributions.negative_binomial import NegativeBinomial
from reparam.distributions.one_hot_codes import OneHotCodes
from reparam.distributions.optimal_normal import OptimalNormal
from reparam.distributions.poisson import Poisson
from reparam.distributions.quantized_categorical import QuantizedCategorical
from reparam.distributions.quantized_codes import (
    CodeSequence,
    CodeVectors,
    QuantizedCodes,
    nearest_code,
)
from reparam.distributions.reordered import Reordered
from reparam.distributions.triangular_normal import TriangularNormal
from reparam.distributions.von_mises_fisher import VonMisesFisher
from reparam.utils.arguments import as_int

__all__ = [
    "Autoregressive",
    "Chain",
    "CodeSequence",
    "CodeVectors",
    "ContinuousBernoulli",
    "CrossEntropy",
    "Delta",
    "DiscretizedLogisticMixture",
    "Flow",
    "GaussianMixture",
    "HypersphericalUniform",
    "NegativeBinomial",
    "OneHotCodes",
    "OptimalNormal",
    "Poisson",
    "QuantizedCategorical",
    "QuantizedCodes",
    "Reordered",
    "TriangularNormal",
    "VonMisesFisher",
    "base",
    "center",
    "constant",
    "is_normalized",
    "nearest_code",
    "rsample",
    "sphere",
]


def base(distribution: Distribution) -> Distribution:
    """Return the distribution of single entries below any ``Independent``.

    >>> from torch.distributions import Normal
    >>> base(Independent(Normal(torch.zeros(3), 1.0), 1))
    Normal(loc: torch.Size([3]), scale: torch.Size([3]))
    """
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


def center(distribution: Distribution) -> Tensor:
    """Return the mean of a distribution; where that is no value of it, the likeliest one.

    Classes have no mean, that of codes lies between them and that of directions within the sphere.
    Relaxed codes, which lie between classes anyway, have theirs, and so gradients.

    >>> from torch.distributions import Categorical
    >>> center(Categorical(torch.tensor([0.1, 0.7, 0.2])))
    tensor(1)
    """
    single = base(distribution)
    if isinstance(single, OneHotCodes) and single.has_rsample:
        return single.mean
    if isinstance(
        single, Categorical | OneHotCategorical | Autoregressive | OneHotCodes | VonMisesFisher
    ):
        return single.mode
    return distribution.mean


def constant(distribution: Distribution) -> Distribution | None:
    """Return the same distribution with parameters that no gradient goes to.

    None where its density is a network's, or a function's, whose weights are no attributes of it.

    >>> from torch.distributions import Normal
    >>> loc = torch.zeros(3, requires_grad=True)
    >>> constant(Independent(Normal(loc, 1.0), 1)).log_prob(torch.ones(3)).requires_grad
    False
    """
    same = copy(distribution)
    if isinstance(same, TriangularNormal):
        same = TriangularNormal(same.loc, same.scale_tril)
    for name, value in vars(same).items():
        if isinstance(value, Tensor):
            setattr(same, name, value.detach())
        elif isinstance(value, Distribution):
            inner = constant(value)
            if inner is None:
                return None
            setattr(same, name, inner)
        elif not isinstance(value, torch.Size | bool | int | float | str | type | None):
            return None  # a network, a function or a collection may hold anything
    return same


def rsample(distribution: Distribution, n_samples: int, device: torch.device) -> Tensor:
    """Return draws with shape (K, B, D) in full precision, whatever autocast is about.

    A Gaussian with full covariance draws by a matrix product, which autocast would round.

    >>> from torch.distributions import Normal
    >>> rsample(Normal(torch.zeros(5, 2), 1.0), 3, torch.device("cpu")).shape
    torch.Size([3, 5, 2])
    """
    shape = torch.Size([as_int("n_samples", n_samples)])
    with torch.autocast(device.type, enabled=False):
        return (
            distribution.rsample(shape) if distribution.has_rsample else distribution.sample(shape)
        )


def is_normalized(distribution: Distribution) -> bool:
    """Return whether ``log_prob`` is the logarithm of a density or mass that sums to one.

    >>> is_normalized(CrossEntropy(torch.zeros(3)))
    False
    """
    return bool(getattr(base(distribution), "is_normalized", True))
