"""Objectives: callables (model, batch) -> Terms.

Those that can replace the objective of a variant are registered by name in the file that defines
them (``OBJECTIVES``), and declare which models they need.
"""

from reparam.objectives.adversarial import Classification as Classification
from reparam.objectives.adversarial import DensityRatio as DensityRatio
from reparam.objectives.adversarial import Discriminator as Discriminator
from reparam.objectives.adversarial import FactorVAE as FactorVAE
from reparam.objectives.adversarial import Generator as Generator
from reparam.objectives.adversarial import PerceptualEncoder as PerceptualEncoder
from reparam.objectives.autoencoding import Contractive as Contractive
from reparam.objectives.autoencoding import Reconstruction as Reconstruction
from reparam.objectives.bounds import ELBO as ELBO
from reparam.objectives.bounds import IWAE as IWAE
from reparam.objectives.bounds import DReG as DReG
from reparam.objectives.clustering_elbo import ClusteringELBO as ClusteringELBO
from reparam.objectives.corruption import Corruption as Corruption
from reparam.objectives.likelihood import MaximumLikelihood as MaximumLikelihood
from reparam.objectives.not_at_random import NotMIWAE as NotMIWAE
from reparam.objectives.prior_likelihood import FlowMatching as FlowMatching
from reparam.objectives.prior_likelihood import PriorLikelihood as PriorLikelihood
from reparam.objectives.regularized import MMD as MMD
from reparam.objectives.regularized import NaivePenalty as NaivePenalty
from reparam.objectives.regularized import TotalCorrelation as TotalCorrelation
from reparam.objectives.semi_supervised import SemiSupervised as SemiSupervised
from reparam.objectives.semi_supervised import Stacked as Stacked
from reparam.objectives.terms import OBJECTIVES as OBJECTIVES
from reparam.objectives.terms import ModelObjective as ModelObjective
from reparam.objectives.terms import Objective as Objective
from reparam.objectives.terms import Terms as Terms
from reparam.objectives.terms import as_objective as as_objective
from reparam.objectives.vector_quantized import VectorQuantized as VectorQuantized
from reparam.utils.registry import discover

__all__ = discover(__name__, __path__)
