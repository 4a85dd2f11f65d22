"""The doctor: what is amiss with a run or with data, what shows it, and what to change."""

from reparam.doctor.examine import RUN_CHECKS, examine, examine_data
from reparam.doctor.finding import Diagnosis, Finding
from reparam.doctor.sample import DATA_CHECKS

__all__ = ["DATA_CHECKS", "Diagnosis", "Finding", "RUN_CHECKS", "examine", "examine_data"]
