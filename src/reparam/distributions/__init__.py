"""Distributions that torch lacks, one file each, and functions of any torch distribution.

Every class here is a ``torch.distributions.Distribution``: a batch of events, with ``log_prob`` in
nats and ``sample`` or, with gradients, ``rsample``.
"""

import reparam.distributions.closed_forms  # noqa: F401  (registers them)
from reparam.distributions.autoregressive import Autoregressive
from reparam.distributions.chain import Chain
from reparam.distributions.continuous_bernoulli import ContinuousBernoulli
from reparam.distributions.cross_entropy import CrossEntropy
from reparam.distributions.declared import DeclaredDistribution, Elementwise
from reparam.distributions.delta import Delta
from reparam.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from reparam.distributions.flow import Flow
from reparam.distributions.gaussian_mixture import GaussianMixture
from reparam.distributions.hyperspherical_uniform import HypersphericalUniform, Sphere, sphere
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
from reparam.distributions.queries import (
    base_distribution,
    detached,
    is_normalized,
    mean_or_mode,
    rsample,
)
from reparam.distributions.reordered import Reordered
from reparam.distributions.triangular_normal import TriangularNormal
from reparam.distributions.von_mises_fisher import VonMisesFisher

__all__ = [
    "Autoregressive",
    "Chain",
    "CodeSequence",
    "CodeVectors",
    "ContinuousBernoulli",
    "CrossEntropy",
    "DeclaredDistribution",
    "Delta",
    "DiscretizedLogisticMixture",
    "Elementwise",
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
    "Sphere",
    "TriangularNormal",
    "VonMisesFisher",
    "base_distribution",
    "mean_or_mode",
    "detached",
    "is_normalized",
    "nearest_code",
    "rsample",
    "sphere",
]
