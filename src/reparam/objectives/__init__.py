"""Objectives: (model, batch) -> Terms. What models of the same parts differ in."""

from reparam.objectives.bounds import ELBO, IWAE
from reparam.objectives.likelihood import MaximumLikelihood
from reparam.objectives.terms import Objective, Terms

__all__ = ["ELBO", "IWAE", "MaximumLikelihood", "Objective", "Terms"]
