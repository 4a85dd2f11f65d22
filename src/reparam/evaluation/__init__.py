"""Evaluation: what a model is worth, in nats with standard errors."""

from reparam.evaluation.classification import accuracy, class_log_prob
from reparam.evaluation.evaluate import evaluate
from reparam.evaluation.latent import (
    active_units,
    aggregate_kl,
    encode_means,
    principal_components,
)
from reparam.evaluation.result import Evaluation

__all__ = [
    "Evaluation",
    "accuracy",
    "active_units",
    "aggregate_kl",
    "class_log_prob",
    "encode_means",
    "evaluate",
    "principal_components",
]
