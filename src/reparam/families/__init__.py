"""Families: from features, or raw parameters, to a distribution; one family in a file.

A family states the number of raw parameters of each entry of its event (``raw_shape``) and creates
the distribution with these parameters (``distribution``). ``attach`` creates the head, the layer
from a network's features to raw parameters. A file registers its family as a likelihood
(``LIKELIHOODS``), as a posterior (``POSTERIORS``), or as both.
"""

from reparam.families.bernoulli import Bernoulli, ContinuousBernoulli, CrossEntropy
from reparam.families.bounded import Deterministic, Uniform
from reparam.families.categorical import Categorical, QuantizedGray
from reparam.families.counts import NegativeBinomial, Poisson
from reparam.families.discretized_logistic_mixture import DiscretizedLogisticMixture
from reparam.families.family import (
    LIKELIHOODS,
    POSTERIORS,
    Family,
    as_likelihood,
    as_posterior,
)
from reparam.families.flow import Flow
from reparam.families.gaussian import FullCovarianceGaussian, Gaussian
from reparam.families.gumbel_softmax import GumbelSoftmax
from reparam.families.likelihoods import default_likelihood, likelihood
from reparam.families.vector_quantized import Quantized
from reparam.families.von_mises_fisher import VonMisesFisher
from reparam.utils.registry import discover

discover(__name__, __path__)

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
    "POSTERIORS",
    "Poisson",
    "Quantized",
    "QuantizedGray",
    "Uniform",
    "VonMisesFisher",
    "as_likelihood",
    "as_posterior",
    "default_likelihood",
    "likelihood",
]
