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
from reparam.objectives.clustering import ClusteringELBO
from reparam.objectives.likelihood import MaximumLikelihood
from reparam.objectives.quantized import VectorQuantized
from reparam.objectives.regularized import MMD, NaivePenalty, TotalCorrelation
from reparam.objectives.semi_supervised import SemiSupervised, Stacked
from reparam.objectives.terms import Objective, Terms

__all__ = [
    "Classification",
    "ClusteringELBO",
    "Contractive",
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
