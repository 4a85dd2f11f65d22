"""Priors: modules from a condition c to a distribution p(z | c), one prior in a file.

A file registers its prior by name (``PRIORS``). A prior declares its latent space and whether it is
learned, from which follows what it goes with.
"""

from reparam.priors.class_conditional import ClassConditional
from reparam.priors.codebook_prior import CodebookPrior
from reparam.priors.fixed import HypersphericalUniform, NoPrior, StandardNormal, UniformCodes
from reparam.priors.flow import Flow
from reparam.priors.mixture import Mixture
from reparam.priors.prior import PRIORS, Prior, StartsAtData, as_prior
from reparam.priors.vamp_prior import VampPrior
from reparam.utils.registry import discover

discover(__name__, __path__)

__all__ = [
    "ClassConditional",
    "CodebookPrior",
    "Flow",
    "HypersphericalUniform",
    "Mixture",
    "NoPrior",
    "PRIORS",
    "Prior",
    "StandardNormal",
    "StartsAtData",
    "UniformCodes",
    "VampPrior",
    "as_prior",
]
