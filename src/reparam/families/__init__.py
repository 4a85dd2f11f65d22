"""Families: from features, or raw parameters, to a distribution, one concept a file.

A family says how many raw numbers each entry of its event needs (``raw_shape``) and what
distribution they make (``distribution``). ``attach`` gives it the head that makes those numbers
out of a network's features.
"""

from reparam.families.bernoulli import Bernoulli
from reparam.families.categorical import Categorical
from reparam.families.continuous_bernoulli import ContinuousBernoulli
from reparam.families.cross_entropy import CrossEntropy
from reparam.families.deterministic import Deterministic
from reparam.families.discretized_logistic_mixture import DiscretizedLogisticMixture
from reparam.families.family import Family
from reparam.families.flow import Flow
from reparam.families.full_covariance_gaussian import FullCovarianceGaussian
from reparam.families.gaussian import Gaussian
from reparam.families.gumbel_softmax import GumbelSoftmax
from reparam.families.likelihoods import LIKELIHOODS, default_likelihood, likelihood
from reparam.families.negative_binomial import NegativeBinomial
from reparam.families.poisson import Poisson
from reparam.families.quantized_gray import QuantizedGray
from reparam.families.uniform import Uniform
from reparam.families.vector_quantized import Quantized
from reparam.families.von_mises_fisher import VonMisesFisher

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "CrossEntropy",
    "Deterministic",
    "DiscretizedLogisticMixture",
    "Family",
    "Flow",
    "FullCovarianceGaussian",
    "Gaussian",
    "GumbelSoftmax",
    "LIKELIHOODS",
    "NegativeBinomial",
    "Poisson",
    "Quantized",
    "QuantizedGray",
    "Uniform",
    "VonMisesFisher",
    "default_likelihood",
    "likelihood",
]
