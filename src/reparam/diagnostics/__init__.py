"""Diagnostics: problems of a run or of data, their evidence, and the setting to change."""

from reparam.diagnostics.data import DATA_CHECKS
from reparam.diagnostics.examine import RUN_CHECKS, examine, examine_data
from reparam.diagnostics.finding import Check, Diagnosis, Finding

__all__ = [
    "Check",
    "DATA_CHECKS",
    "Diagnosis",
    "Finding",
    "RUN_CHECKS",
    "examine",
    "examine_data",
]
