"""The parts of a variant that can be chosen by name."""

from collections.abc import Mapping
from typing import Any

from reparam.families import POSTERIORS
from reparam.objectives import OBJECTIVES
from reparam.priors import PRIORS
from reparam.utils.registry import Part, PartRegistry

__all__ = ["KINDS", "OBJECTIVES", "POSTERIORS", "PRIORS"]

KINDS: Mapping[str, PartRegistry[Any]] = {
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
}
"""The parts that can be chosen by name, by kind."""


def options_of_parts() -> dict[str, tuple[str, list[Part[Any]]]]:
    """Return the options that parts declare: the kind of part and the parts that have the option.

    >>> kind, parts = options_of_parts()["n_components"]
    >>> kind, [part.name for part in parts]
    ('prior', ['mixture', 'vamp'])
    """
    found: dict[str, tuple[str, list[Part[Any]]]] = {}
    for kind, registry in KINDS.items():
        for part in registry.values():
            for option in part.kind.options:
                found.setdefault(option, (kind, []))[1].append(part)
    return found
