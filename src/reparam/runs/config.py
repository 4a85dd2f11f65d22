"""A run's configuration: flat and plain, the same names on the command line, in YAML and here."""

import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from dataclasses import replace as with_changes
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from reparam.errors import DataError, OptionError, RunError, unknown
from reparam.objectives.bounds import ELBO
from reparam.spec import DataSpec
from reparam.training.checkpoint import FORMAT
from reparam.training.options import TrainingOptions
from reparam.training.schedules import linear
from reparam.utils.files import as_path, read_yaml, reason, stored_path
from reparam.utils.seeding import seeded
from reparam.variants import Recipe, build, get, replace
from reparam.variants.options import part_options
from reparam.version import __version__

FILE_KEYS = ("path", "unit", "window", "stride", "test_share", "size", "image_channels")
IMAGE_KEYS = ("binarize", "dequantize", "validation", "labels_per_class")
DATA_KEYS = ("data", "data_dir", *IMAGE_KEYS, *FILE_KEYS)
MACHINE_KEYS = ("device", "precision", "devices", "nodes")
TRAINING_KEYS = tuple(field.name for field in fields(TrainingOptions))
OF_OLD_IMAGES = {"image_channels": 3}
"""What runs on folders of images lack that began when all images became RGB."""

MOVABLE_KEYS = ("data_dir", "path")
"""What may differ when a run goes on: the data may lie elsewhere by now."""


def recorded(spec: DataSpec, recipe: Recipe, **facts: Any) -> dict[str, Any]:
    """Return what a run remembers beside its options: versions, machine and data."""
    return {
        "format": FORMAT,
        "reparam": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "command": " ".join(map(stored_path, [Path(sys.argv[0]).name, *sys.argv[1:]])),
        # Without the addresses that the names of plain functions hold.
        "objective": re.sub(r" at 0x[0-9a-f]+", "", repr(recipe.objective)),
        "spec": spec.to_dict(),
        **facts,
    }


def config_sha256(config: Mapping[str, Any]) -> str:
    """Return the checksum of what a configuration says of the weights that come out of it.

    Where the data lie and what computes may change while a run goes on; versions, too.

    Arguments:
        config: A configuration as it is read from its file.

    Example:
        >>> one = {"seed": 0, "data_dir": "/a", "recorded": {"torch": "2.13"}}
        >>> config_sha256(one) == config_sha256({**one, "data_dir": "/b"})
        True
        >>> config_sha256(one) == config_sha256({**one, "seed": 1})
        False
    """
    moving = {*MOVABLE_KEYS, *MACHINE_KEYS, "recorded"}
    stored = config.get("recorded", {})
    data = stored.get("data")
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if key not in MOVABLE_KEYS}
    identity = {
        "options": {key: value for key, value in config.items() if key not in moving},
        "data": data,
        **{key: stored.get(key) for key in ("objective", "spec", "n_train")},
    }
    # Not as JSON: a file that was edited may hold keys and values that JSON does not have.
    return sha256(ascii(_sorted(identity)).encode("ascii")).hexdigest()


def _sorted(value: Any) -> Any:
    """Return plain values without dictionaries, whose order says nothing."""
    if isinstance(value, dict):
        return sorted((str(key), ascii(_sorted(item))) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def variant_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the variant's builder among all those of a configuration."""
    names = (*get(config["variant"]).options, *part_options())
    return {name: config[name] for name in names if name in config}


def recipe_of(config: Mapping[str, Any], spec: DataSpec) -> Recipe:
    """Build the recipe of a configuration; its weights follow from the seed.

    Raises:
        RunError: The configuration names no variant.
        OptionError: An unknown variant, or a value that one of its options cannot have.
    """
    if config.get("variant") is None:
        raise RunError(
            "this run's model was composed by hand: give it, as in reparam.load(run, model=model)"
        )
    spec = spec.conditioned(config.get("condition"))
    with seeded(torch.get_default_device(), config.get("seed", 0)):
        recipe = build(config["variant"], spec, **variant_options(config))
    if config.get("beta") is not None and "beta" not in get(config["variant"]).options:
        recipe = replace(recipe, objective=weighted(recipe.objective, config["beta"]))
    return recipe


def weighted(objective: Any, beta: Any) -> Any:
    """Return an objective with another weight β.

    Raises:
        OptionError: The objective has no KL to weigh.
    """
    if not hasattr(objective, "beta") or (callable(beta) and not isinstance(objective, ELBO)):
        raise OptionError(
            f"objective {type(objective).__name__} has no KL to weigh in this way: drop --beta and "
            "--kl-warmup"
        )
    return with_changes(objective, beta=beta)


def warmed_up(recipe: Recipe, epochs: float, steps_per_epoch: int) -> Recipe:
    """Return a recipe whose KL weight rises from zero over so many epochs.

    Raises:
        OptionError: The objective has no KL, or a schedule of its own already.
    """
    if not epochs:
        return recipe
    beta = getattr(recipe.objective, "beta", None)
    if callable(beta):
        raise OptionError(
            f"kl_warmup={epochs}: the objective has a schedule of its own for beta: drop one"
        )
    steps = max(1, round(epochs * steps_per_epoch))
    schedule = linear(0.0, beta, steps) if beta is not None else None
    return replace(recipe, objective=weighted(recipe.objective, schedule))


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return, in words, the options that were changed between a run and a wish to resume it.

    A run from before there was an option has what is now its default.

    >>> differences({"lr": 0.1, "seed": 0}, {"lr": 0.2, "seed": 0, "optimizer": "adam"})
    ['lr (0.1 in the run, 0.2 now)']
    """
    defaults = {f.name: f.default for f in fields(TrainingOptions)}
    defaults |= {option.name: option.default for option in part_options().values()}
    defaults |= OF_OLD_IMAGES
    stored = defaults | dict(stored)
    asked = defaults | dict(asked)
    names = [name for name in (stored | asked) if name not in (*MOVABLE_KEYS, "recorded")]
    return [
        f"{name} ({stored.get(name)} in the run, {asked.get(name)} now)"
        for name in names
        if as_stored(stored.get(name)) != as_stored(asked.get(name))
    ]


def as_stored(value: Any) -> Any:
    """Return the value of an option as YAML holds it: a list for a tuple.

    >>> as_stored((400, 200))
    [400, 200]
    """
    return list(value) if isinstance(value, tuple) else value


def read_config(path: str | Path, known: Iterable[str]) -> dict[str, Any]:
    """Return the options in a YAML file; a run's own ``config.yaml`` will do.

    Arguments:
        path: The file.
        known: The options that exist.

    Raises:
        OptionError: A key that does not exist, with the nearest one, or a file that is no mapping.
        DataError: The file cannot be read.
    """
    path = as_path(path, "config")
    try:
        values = read_yaml(path)
    except OSError as error:
        raise DataError(f"cannot read the configuration {path}: {reason(error)}") from error
    except ValueError as error:
        raise OptionError(f"{path} is no YAML: {reason(error)}") from error
    if not isinstance(values, dict):
        raise OptionError(f"{path} holds no options: write lines such as 'epochs: 20'")
    values.pop("recorded", None)
    known = list(known)
    folded_keys = {str(key).replace("-", "_"): value for key, value in values.items()}
    for key in folded_keys:
        if key not in known:
            raise unknown(f"key of {path}", key, known)
    return folded_keys


def training_options(values: Mapping[str, Any]) -> TrainingOptions:
    """Return the training options among the values.

    Raises:
        OptionError: A value out of its range.
    """
    return TrainingOptions(**{k: v for k, v in values.items() if k in TRAINING_KEYS})


def checked_options(values: Mapping[str, Any]) -> TrainingOptions:
    """Return training options made of exactly these values.

    Raises:
        OptionError: An option that does not exist, with the nearest one.
    """
    for name in values:
        if name not in TRAINING_KEYS:
            raise unknown("option of fit", name, TRAINING_KEYS)
    return TrainingOptions(**values)


def flat(recipe: Recipe, data_options: Mapping[str, Any] | None, options: TrainingOptions) -> Any:
    """Return the flat configuration of a recipe, of data and of training options."""
    source = recipe.source
    config: dict[str, Any] = {"variant": source.variant if source else None}
    named = dict(data_options or {})
    config["data"] = named.pop("name", None)
    config |= {key: named[key] for key in DATA_KEYS if key in named}
    config["condition"] = None if recipe.spec is None else recipe.spec.condition
    config |= dict(source.options) if source else {}
    return config | asdict(options)
