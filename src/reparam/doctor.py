"""The checks of ``reparam doctor`` by the name of the verb: ``rp.doctor.examine(run)``."""

from reparam.diagnostics import (
    DATA_CHECKS,
    RUN_CHECKS,
    Diagnosis,
    Finding,
    examine,
    examine_data,
)

__all__ = ["DATA_CHECKS", "Diagnosis", "Finding", "RUN_CHECKS", "examine", "examine_data"]
