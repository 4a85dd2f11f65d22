"""The doctor: what is amiss with a run or with data, what shows it, and what to change."""

from reparam.diagnostics.examine import RUN_CHECKS, examine, examine_data
from reparam.diagnostics.finding import Diagnosis, Finding
from reparam.diagnostics.sample import DATA_CHECKS

__all__ = ["DATA_CHECKS", "Diagnosis", "Finding", "RUN_CHECKS", "examine", "examine_data"]
