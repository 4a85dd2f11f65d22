"""The parts of a variant that can be chosen by name."""

from collections.abc import Mapping
from typing import Any

from reparam.families import POSTERIORS
from reparam.objectives import OBJECTIVES
from reparam.priors import PRIORS
from reparam.utils.registry import Part, Registry

__all__ = ["KINDS", "OBJECTIVES", "POSTERIORS", "PRIORS"]

KINDS: Mapping[str, Registry[Part[Any]]] = {
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
}
"""The parts that can be chosen by name, by kind."""
