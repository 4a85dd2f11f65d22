"""Evaluation: what a model is worth, in nats with standard errors."""

from reparam.evaluation.classification import accuracy, class_log_prob
from reparam.evaluation.evaluate import evaluate
from reparam.evaluation.latents.activity import (
    active_units,
    code_usage,
    encode_means,
    principal_components,
)
from reparam.evaluation.latents.clustering import (
    assigned_clusters,
    clustering,
    hungarian_accuracy,
    majority_accuracy,
)
from reparam.evaluation.latents.decomposition import aggregate_kl, decompose, total_correlation
from reparam.evaluation.latents.probes import knn_accuracy, linear_probe, probe
from reparam.evaluation.likelihood.annealed import Annealing, annealed_importance, bidirectional
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import (
    NamedFeatures,
    fid,
    frechet_distance,
    kid,
    sample_quality,
)

__all__ = [
    "Annealing",
    "Evaluation",
    "NamedFeatures",
    "accuracy",
    "active_units",
    "aggregate_kl",
    "annealed_importance",
    "assigned_clusters",
    "bidirectional",
    "class_log_prob",
    "code_usage",
    "clustering",
    "decompose",
    "encode_means",
    "evaluate",
    "fid",
    "frechet_distance",
    "hungarian_accuracy",
    "kid",
    "knn_accuracy",
    "linear_probe",
    "majority_accuracy",
    "principal_components",
    "probe",
    "sample_quality",
    "total_correlation",
]
