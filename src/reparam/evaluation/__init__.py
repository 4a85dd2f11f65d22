"""Evaluation: what a model is worth, in nats with standard errors."""

from reparam.evaluation.classification import accuracy, class_log_prob
from reparam.evaluation.clustering import (
    assigned_clusters,
    clustering,
    hungarian_accuracy,
    majority_accuracy,
)
from reparam.evaluation.evaluate import evaluate
from reparam.evaluation.latent import (
    active_units,
    aggregate_kl,
    code_usage,
    encode_means,
    principal_components,
    total_correlation,
)
from reparam.evaluation.result import Evaluation

__all__ = [
    "Evaluation",
    "accuracy",
    "active_units",
    "aggregate_kl",
    "assigned_clusters",
    "class_log_prob",
    "code_usage",
    "clustering",
    "encode_means",
    "evaluate",
    "hungarian_accuracy",
    "majority_accuracy",
    "principal_components",
    "total_correlation",
]
