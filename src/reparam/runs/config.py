"""The configuration of a run, and the recipe that it describes.

It is flat and plain: the names are those of the arguments in Python, of the options on the command
line and of the keys in YAML. ``recorded`` holds what a run stores beside its options: its data, its
versions and its machine.
"""

import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from reparam.errors import RunError
from reparam.objectives import Objective
from reparam.objectives.recipe import Recipe, replace
from reparam.runs.options import DataOptions
from reparam.spec import DataSpec
from reparam.training.checkpoint import FORMAT
from reparam.training.kl_warmup import WeightsKL, weighted
from reparam.training.options import MachineOptions, TrainingOptions
from reparam.utils.files import stored_path
from reparam.utils.seeding import seeded
from reparam.variants import build, get
from reparam.variants.options import options_of
from reparam.version import __version__

MOVABLE_KEYS = ("data_dir", "path")
"""The options that may differ when a run goes on: the data may have been moved."""

_NOT_OF_THE_WEIGHTS = {*MOVABLE_KEYS, *(f.name for f in fields(MachineOptions)), "recorded"}


def flat(
    recipe: Recipe,
    data_options: Mapping[str, Any] | None,
    training: TrainingOptions,
    machine: MachineOptions,
) -> dict[str, Any]:
    """Return the flat configuration of a recipe, its data, its training and its machine."""
    source = recipe.source
    named = dict(data_options or {})
    config = {"variant": source.variant if source else None, "data": named.pop("name", None)}
    config |= {f.name: named[f.name] for f in fields(DataOptions) if f.name in named}
    config["condition"] = None if recipe.spec is None else recipe.spec.condition
    config |= dict(source.options) if source else {}
    config |= asdict(training)
    beta = recipe.objective.beta if isinstance(recipe.objective, WeightsKL) else None
    if isinstance(beta, int | float):
        config.setdefault("beta", beta)
    return config | asdict(machine)


def recorded(spec: DataSpec, objective: Objective) -> dict[str, Any]:
    """Return the facts that a run stores beside its options: versions, machine and spec."""
    return {
        "format": FORMAT,
        "reparam": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "command": " ".join(map(stored_path, [Path(sys.argv[0]).name, *sys.argv[1:]])),
        "objective": described(objective),
        "spec": spec.to_dict(),
    }


def described(part: object) -> str:
    """Return the repr of a part without the addresses that those of plain functions have."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(part))


def config_sha256(config: Mapping[str, Any]) -> str:
    """Return the checksum of the options and data that determine the trained weights.

    The place of the data, the machine and the versions may change while a run goes on.

    Arguments:
        config: A configuration as it is read from its file.

    Example:
        >>> one = {"seed": 0, "data_dir": "/a", "recorded": {"torch": "2.13"}}
        >>> config_sha256(one) == config_sha256({**one, "data_dir": "/b"})
        True
        >>> config_sha256(one) == config_sha256({**one, "seed": 1})
        False
    """
    stored = config.get("recorded", {})
    data = stored.get("data")
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if key not in MOVABLE_KEYS}
    identity = {
        "options": {k: value for k, value in config.items() if k not in _NOT_OF_THE_WEIGHTS},
        "data": data,
        **{key: stored.get(key) for key in ("objective", "spec", "n_train")},
    }
    # Not as JSON: a file that was edited may hold keys and values that JSON does not have.
    return sha256(ascii(_sorted(identity)).encode("ascii")).hexdigest()


def _sorted(value: Any) -> Any:
    """Return plain values with lists of pairs for dictionaries, which have no order."""
    if isinstance(value, dict):
        return sorted((str(key), ascii(_sorted(item))) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def recipe_of(config: Mapping[str, Any], spec: DataSpec) -> Recipe:
    """Build the recipe of a configuration; its weights follow from the seed.

    Raises:
        RunError: The configuration names no variant.
        OptionError: An unknown variant, or an impossible value of one of its options.
    """
    if config.get("variant") is None:
        raise RunError(
            "this run's model was composed by hand: give it, as in reparam.load(run, model=model)"
        )
    variant = get(config["variant"])
    options = {name: config[name] for name in options_of(variant.name) if name in config}
    with seeded(torch.get_default_device(), config.get("seed", 0)):
        recipe = build(variant.name, spec.conditioned(config.get("condition")), **options)
    if config.get("beta") is not None and "beta" not in variant.options:
        recipe = replace(recipe, objective=weighted(recipe.objective, config["beta"]))
    return recipe
