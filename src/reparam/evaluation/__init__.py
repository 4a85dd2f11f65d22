"""Evaluation: what a model is worth, in nats with standard errors."""

from reparam.evaluation.annealed import annealed_importance, bidirectional
from reparam.evaluation.classification import accuracy, class_log_prob
from reparam.evaluation.clustering import (
    assigned_clusters,
    clustering,
    hungarian_accuracy,
    majority_accuracy,
)
from reparam.evaluation.compare import compare
from reparam.evaluation.comparison import Comparison
from reparam.evaluation.decomposition import aggregate_kl, decompose, total_correlation
from reparam.evaluation.evaluate import evaluate
from reparam.evaluation.latent import (
    active_units,
    code_usage,
    encode_means,
    principal_components,
)
from reparam.evaluation.probes import linear_probe, neighbor_accuracy, probe
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import fid, frechet_distance, kid, sample_quality

__all__ = [
    "Comparison",
    "Evaluation",
    "accuracy",
    "active_units",
    "annealed_importance",
    "aggregate_kl",
    "assigned_clusters",
    "bidirectional",
    "class_log_prob",
    "code_usage",
    "clustering",
    "compare",
    "decompose",
    "encode_means",
    "evaluate",
    "fid",
    "frechet_distance",
    "hungarian_accuracy",
    "kid",
    "linear_probe",
    "majority_accuracy",
    "neighbor_accuracy",
    "principal_components",
    "probe",
    "sample_quality",
    "total_correlation",
]
