"""The parts of a variant that can be chosen by name, and the options that parts declare."""

from collections.abc import Mapping
from typing import Any

from reparam.families import POSTERIORS
from reparam.objectives import OBJECTIVES
from reparam.priors import PRIORS
from reparam.utils.registry import Part, Registry

__all__ = ["KINDS", "OBJECTIVES", "POSTERIORS", "PRIORS", "part_option_names"]

KINDS: Mapping[str, Registry[Part[Any]]] = {
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
}
"""The parts that can be chosen by name, by kind."""


def part_option_names() -> dict[str, str]:
    """Return the options that parts declare, each with the kind of part."""
    return {
        option: kind
        for kind, registry in KINDS.items()
        for part in registry.values()
        for option in part.kind.options
    }
