"""Objectives: (model, batch) -> Terms. What models of the same parts differ in."""

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
from reparam.objectives.terms import Objective, Terms
from reparam.objectives.vector_quantized import VectorQuantized

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
    "NaivePenalty",
    "Objective",
    "PerceptualEncoder",
    "Reconstruction",
    "SemiSupervised",
    "Stacked",
    "Terms",
    "TotalCorrelation",
    "VectorQuantized",
]
