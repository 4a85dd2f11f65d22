"""Families: modules from features, or raw parameters, to a distribution.

A family states the number of raw parameters of each entry of its event (``raw_shape``) and creates
the distribution with these parameters (``distribution``). ``attach`` creates the head, the layer
from a network's features to raw parameters. A file registers its family as a likelihood
(``LIKELIHOODS``), as a posterior (``POSTERIORS``), or as both. A new family is one file.
"""

from reparam.families.bernoulli import Bernoulli as Bernoulli
from reparam.families.bernoulli import ContinuousBernoulli as ContinuousBernoulli
from reparam.families.bernoulli import CrossEntropy as CrossEntropy
from reparam.families.bounded import Deterministic as Deterministic
from reparam.families.bounded import Uniform as Uniform
from reparam.families.categorical import Categorical as Categorical
from reparam.families.categorical import QuantizedGray as QuantizedGray
from reparam.families.counts import Counts as Counts
from reparam.families.counts import NegativeBinomial as NegativeBinomial
from reparam.families.counts import Poisson as Poisson
from reparam.families.cycles import Cycles as Cycles
from reparam.families.discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from reparam.families.discretized_logistic_mixture import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixture,
)
from reparam.families.family import LIKELIHOODS as LIKELIHOODS
from reparam.families.family import POSTERIORS as POSTERIORS
from reparam.families.family import Family as Family
from reparam.families.family import as_likelihood as as_likelihood
from reparam.families.family import as_posterior as as_posterior
from reparam.families.flow import Flow as Flow
from reparam.families.gaussian import FullCovarianceGaussian as FullCovarianceGaussian
from reparam.families.gaussian import Gaussian as Gaussian
from reparam.families.gumbel_softmax import GumbelSoftmax as GumbelSoftmax
from reparam.families.heaps import Heaps as Heaps
from reparam.families.likelihoods import default_likelihood as default_likelihood
from reparam.families.likelihoods import likelihood as likelihood
from reparam.families.mixed import Mixed as Mixed
from reparam.families.vector_quantized import Quantized as Quantized
from reparam.families.von_mises_fisher import VonMisesFisher as VonMisesFisher
from reparam.utils.registry import discover

__all__ = discover(__name__, __path__)
