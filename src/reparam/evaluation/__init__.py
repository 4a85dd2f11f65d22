"""Evaluation: the figures of a model, in nats with standard errors."""

from reparam.evaluation.classification import accuracy, class_log_prob
from reparam.evaluation.evaluate import evaluate
from reparam.evaluation.figure import Facts, Figure, mean_and_stderr
from reparam.evaluation.latents.activity import (
    active_units,
    code_usage,
    encode_means,
    interpolate,
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
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.evaluation.metric import METRICS, Measured, Metric, Needs, Quantity, Section
from reparam.evaluation.per_example import data_sha256
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import (
    NamedFeatures,
    features_of,
    fid,
    frechet_distance,
    kid,
    psnr,
    sample_quality,
)

__all__ = [
    "METRICS",
    "Annealing",
    "Evaluation",
    "Facts",
    "Figure",
    "Measured",
    "Metric",
    "NamedFeatures",
    "Needs",
    "Quantity",
    "Section",
    "accuracy",
    "active_units",
    "aggregate_kl",
    "annealed_importance",
    "assigned_clusters",
    "bidirectional",
    "class_log_prob",
    "clustering",
    "code_usage",
    "data_sha256",
    "decompose",
    "encode_means",
    "evaluate",
    "features_of",
    "fid",
    "frechet_distance",
    "hungarian_accuracy",
    "importance_sample",
    "interpolate",
    "kid",
    "knn_accuracy",
    "linear_probe",
    "majority_accuracy",
    "mean_and_stderr",
    "principal_components",
    "probe",
    "psnr",
    "sample_quality",
    "total_correlation",
]
