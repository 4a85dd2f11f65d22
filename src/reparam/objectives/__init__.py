"""Objectives: callables (model, batch) -> Terms.

Those that can replace the objective of a variant are registered by name in the file that defines
them (``OBJECTIVES``), and declare which models they need.
"""

from reparam.objectives.adversarial import (
    Classification,
    DensityRatio,
    Discriminator,
    FactorVAE,
    Generator,
    PerceptualEncoder,
)
from reparam.objectives.autoencoding import Contractive, Reconstruction
from reparam.objectives.bounds import ELBO, IWAE, DReG
from reparam.objectives.clustering_elbo import ClusteringELBO
from reparam.objectives.corruption import Corruption
from reparam.objectives.likelihood import MaximumLikelihood
from reparam.objectives.regularized import MMD, NaivePenalty, TotalCorrelation
from reparam.objectives.semi_supervised import SemiSupervised, Stacked
from reparam.objectives.terms import OBJECTIVES, ModelObjective, Objective, Terms, as_objective
from reparam.objectives.vector_quantized import VectorQuantized
from reparam.utils.registry import discover

discover(__name__, __path__)

__all__ = [
    "Classification",
    "ClusteringELBO",
    "Contractive",
    "Corruption",
    "DReG",
    "DensityRatio",
    "Discriminator",
    "ELBO",
    "FactorVAE",
    "Generator",
    "IWAE",
    "MMD",
    "MaximumLikelihood",
    "ModelObjective",
    "NaivePenalty",
    "OBJECTIVES",
    "Objective",
    "PerceptualEncoder",
    "Reconstruction",
    "SemiSupervised",
    "Stacked",
    "Terms",
    "TotalCorrelation",
    "VectorQuantized",
    "as_objective",
]
