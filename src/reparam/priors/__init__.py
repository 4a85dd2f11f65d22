"""Priors: modules from a condition c to a distribution p(z | c).

A file registers its prior by name (``PRIORS``). A prior declares its latent space and whether it is
learned; the rules of ``variants.compatibility`` read these declarations.
"""

from reparam.priors.class_conditional import ClassConditional as ClassConditional
from reparam.priors.codebook_prior import CodebookPrior as CodebookPrior
from reparam.priors.diffusion import Diffusion as Diffusion
from reparam.priors.fixed import HypersphericalUniform as HypersphericalUniform
from reparam.priors.fixed import NoPrior as NoPrior
from reparam.priors.fixed import StandardNormal as StandardNormal
from reparam.priors.fixed import UniformCodes as UniformCodes
from reparam.priors.flow import Flow as Flow
from reparam.priors.gate import Gate as Gate
from reparam.priors.mixture import Mixture as Mixture
from reparam.priors.prior import PRIORS as PRIORS
from reparam.priors.prior import Prior as Prior
from reparam.priors.prior import StartsAtData as StartsAtData
from reparam.priors.prior import as_prior as as_prior
from reparam.priors.standardized import Standardized as Standardized
from reparam.priors.vamp_prior import VampPrior as VampPrior
from reparam.utils.registry import discover

__all__ = discover(__name__, __path__)
