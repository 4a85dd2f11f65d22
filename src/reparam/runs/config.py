"""The configuration of a run: as it is stored, read again, and brought up to date.

It is flat and plain: the names are those of the arguments in Python, of the options on the command
line and of the keys in YAML. ``recorded`` holds the facts that a run stores beside its options: its
data, its versions and its machine.

Every value that is read gets the type of the field that declares its option. A configuration that
was written before an option existed gets the value that the option would have had then: these rules
are in ``up_to_date``, and nowhere else.
"""

import functools
import operator
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from reparam.data.preparation import preparation_of
from reparam.data.registry import current_name
from reparam.data.transforms import Pixels
from reparam.errors import DataError, OptionError, RunError, unknown
from reparam.families import default_likelihood
from reparam.objectives import Objective
from reparam.objectives.recipe import Recipe, replace
from reparam.runs.options import DataOptions, ModelOptions
from reparam.spec import DataSpec
from reparam.training.checkpoint import FORMAT
from reparam.training.kl_warmup import WeightsKL, weighted
from reparam.training.length import Length
from reparam.training.options import HELD_OUT, LENGTHS, MachineOptions, TrainingOptions
from reparam.utils.arguments import as_declared
from reparam.utils.files import as_path, read_yaml, reason, stored_path
from reparam.utils.seeding import seeded
from reparam.variants import FittedPrior, build, get
from reparam.variants.fitted_prior import with_fitted_prior
from reparam.variants.options import options_of
from reparam.version import __version__

FITTED = "fitted_prior"
"""The key of the description of a prior that was fitted after training: see ``Run.with_prior``."""

MOVABLE_KEYS = ("data_dir", "path")
"""The options that may differ when a run goes on: the data may have been moved."""

MACHINE_KEYS = ("devices", "nodes")
"""The options that may differ when a run goes on: any number of processes takes the same steps."""

_NOT_OF_THE_WEIGHTS = {*MOVABLE_KEYS, *(f.name for f in fields(MachineOptions)), "recorded"}

COMMON = (ModelOptions, DataOptions, TrainingOptions, MachineOptions)
"""The dataclasses that declare the options of every run; a variant has its own beside them."""

RECORDED: Mapping[str, Any] = {
    **dict.fromkeys(("reparam", "torch", "python", "machine", "command"), str),
    **dict.fromkeys(("objective", "device_used"), str),
    **dict.fromkeys(("optimizer", "scheduler", "train_sha256"), str | None),
    **dict.fromkeys(("format", "threads", "n_train", "n_validation", "n_batches"), int),
    **dict.fromkeys(("is_stream", "chooses_length", "chooses_prior"), bool),
    "class_names": tuple[str, ...],
    "range": tuple[float, ...] | None,
}
"""The types of what a run records beside its options, its data and their spec."""

DATA: Mapping[str, Any] = {
    **get_type_hints(DataOptions),
    **dict.fromkeys(("name", "symbols"), str),
    "seed": int,
}
"""The types of the recorded options that load the data of a run again."""


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
    # A prior that the run itself chose follows from the rest.
    left_out = (*_NOT_OF_THE_WEIGHTS, *([FITTED] if stored.get("chooses_prior") else []))
    identity = {
        "options": {k: value for k, value in config.items() if k not in left_out},
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
    model = fitted_model(recipe.model, config, recipe.spec or spec)
    return recipe if model is recipe.model else replace(recipe, model=model)


def fitted_model(model: nn.Module, config: Mapping[str, Any], spec: DataSpec) -> nn.Module:
    """Return a model with the prior that was fitted to its codes, if the configuration has one.

    Arguments:
        model: The model as it was trained.
        config: The configuration of the run.
        spec: The shape, support and condition of the data.
    """
    if config.get(FITTED) is None:
        return model
    return with_fitted_prior(model, spec, FittedPrior.from_dict(config[FITTED]))


def option_types(variant: str | None) -> dict[str, Any]:
    """Return the types of all options of a variant: its own, then those that every variant has.

    >>> option_types("beta-vae")["beta"], option_types(None)["beta"]
    (<class 'float'>, float | None)
    """
    common = {name: kind for group in COMMON for name, kind in get_type_hints(group).items()}
    own = {} if variant is None else options_of(variant)
    return common | {name: plain_type(option.type) for name, option in own.items()}


def plain_type(annotation: Any) -> Any:
    """Return the part of a type whose values can be written as text, as on a command line.

    >>> plain_type(Sequence[int] | None), plain_type(str | DataSpec | None)
    (tuple[int, ...] | None, str | None)
    """
    if get_origin(annotation) is Sequence:
        return tuple.__class_getitem__((*get_args(annotation), ...))
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    plain = (int, float, bool, str, NoneType)
    parts = [plain_type(part) for part in get_args(annotation)]
    kinds = [k for k in parts if k in plain or get_origin(k) in (Literal, tuple)]
    return functools.reduce(operator.or_, kinds)


def typed(values: Mapping[str, Any], types: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Return the values that have a declared type, each as this type.

    Arguments:
        values: Values read from YAML.
        types: The declared types by name; other values are left out.
        within: The keys that contain the values, for messages.

    Raises:
        OptionError: A value of another type.

    Example:
        >>> typed({"epochs": 2.0, "other": []}, {"epochs": int})
        {'epochs': 2}
    """
    return {
        name: as_declared(f"{within}{name}", value, types[name], parse=True)
        for name, value in values.items()
        if name in types
    }


def among(values: Mapping[str, Any], group: type) -> dict[str, Any]:
    """Return the values of the options that a dataclass declares.

    >>> among({"epochs": 2, "data": "digits"}, TrainingOptions)
    {'epochs': 2}
    """
    return {name: values[name] for name in get_type_hints(group) if name in values}


def read_config(path: str | Path, known: Iterable[str]) -> dict[str, Any]:
    """Return the options in a YAML file; the ``config.yaml`` of a run is such a file too.

    Arguments:
        path: The file.
        known: The names of all options.

    Raises:
        OptionError: An unknown key, with the nearest known one, or a file that is no mapping.
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
    for key in ("recorded", FITTED):  # no options of a training
        values.pop(key, None)
    known = list(known)
    found = {str(key).replace("-", "_"): value for key, value in values.items()}
    for key in found:
        if key not in known:
            raise unknown(f"key of {path}", key, known)
    return found


_FORMER_DATA: Mapping[str, Mapping[str, Any]] = {
    "images": {"image_channels": 3, "cache": False},
    "array": {"mapped": False},
    "table": {"cache": False},
}
"""How data were loaded before there was a choice, by their source."""

FORMER = {"lr_schedule": "cosine", "clip_norm": 1.0, "ema": 0.0}
"""The former defaults of options, which configurations without them had."""


def up_to_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with the options that did not exist when it was written.

    >>> up_to_date({"data": "faces", "seed": 1})["data"], up_to_date({})["weight_decay"]
    ('images', 0.0)
    """
    found: dict[str, Any] = {**asdict(TrainingOptions()), **FORMER, **config}
    record: dict[str, Any] = dict(found.get("recorded", {}))
    data = record.get("data")
    # All images of folders became RGB before there was a choice.
    if found.get("data") is not None:
        found["data"] = current_name(found["data"])
        found = {**_FORMER_DATA.get(found["data"], {}), **found}
    if isinstance(data, Mapping):
        name = current_name(data["name"])
        pixels = {"dequantize": True} if name == "images" else {}
        record["data"] = {**pixels, **_FORMER_DATA.get(name, {}), **data, "name": name}
    # Options that were left to a rule were stored as None.
    if not any(found.get(name) for name in LENGTHS):
        found["steps"] = (record.get("length") or {}).get("steps")
    if found["early_stopping"] is None:
        found["early_stopping"] = HELD_OUT if record.get("chooses_length") else 0
    if found.get("variant") is not None:
        found = _with_older_networks(found)
    # A run that did not record its data in full is compared by what it did record.
    for key in ("train_sha256", "n_batches", "n_train", "optimizer", "scheduler"):
        record.setdefault(key, None)
    return found | {"recorded": record} if "recorded" in found else found


def _with_older_networks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with the networks that it had before tables had their own."""
    found, known = dict(config), options_of(config["variant"])
    if "skip" in known and "skip" not in found:
        former = {"skip": False, "dropout": 0.0}
        found |= {name: value for name, value in former.items() if name in known}
    if "likelihood" in known and found.get("likelihood") is None and "recorded" in found:
        found["likelihood"] = _former_likelihood(DataSpec.from_dict(found["recorded"]["spec"]))
    return found


def _former_likelihood(spec: DataSpec) -> str:
    """Return the default likelihood of runs that did not store its name.

    >>> _former_likelihood(DataSpec((1, 8, 8), "unit", levels=256))
    'continuous-bernoulli'
    """
    name = default_likelihood(spec)
    if name == "discretized-logistic":
        return "categorical" if (spec.levels or 256) <= 32 else "continuous-bernoulli"
    return "gaussian" if name == "gaussian-mixture" else name


def checked_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the configuration of a run, up to date, with every value of its declared type.

    Keys that this version of reparam does not know stay as they are.

    Arguments:
        config: The content of ``config.yaml``.
        where: The file, for messages.

    Raises:
        RunError: A value of another type, or out of its range.
    """
    try:
        # A run of a hand-made model has no variant, and one on data in memory no name of them.
        names = typed(config, {"variant": str | None, "data": str | None})
        variant = None if names.get("variant") is None else get(names["variant"]).name
        types = {**option_types(variant), "variant": str | None, "data": str | None}
        found = dict(config)
        for name, value in typed(config, types).items():
            # A whole number stays one where any number may stand; YAML has lists for tuples.
            is_whole = type(config[name]) is int and not isinstance(value, tuple)
            found[name] = config[name] if is_whole else as_stored(value)
        TrainingOptions(**among(found, TrainingOptions))
        if found.get(FITTED) is not None:
            FittedPrior.from_dict(found[FITTED])
        _check_record(config["recorded"])
    except OptionError as error:
        writer = str(config["recorded"].get("reparam", ""))
        newer = ""
        if _is_newer(writer):
            newer = f" (it was written by reparam {writer}, and this is {__version__}: upgrade)"
        raise RunError(f"{where}: {error}{newer}") from error
    return up_to_date(found)


def _is_newer(version: str) -> bool:
    """Return whether a version is above this one, by the numbers that it begins with.

    >>> _is_newer("999.0"), _is_newer(__version__), _is_newer("unknown")
    (True, False, False)
    """
    numbers = [tuple(map(int, re.findall(r"\d{1,9}", each)[:3])) for each in (version, __version__)]
    return numbers[0] > numbers[1]


def as_stored(value: Any) -> Any:
    """Return the value of an option as YAML holds it: a list for a tuple.

    >>> as_stored((400, 200))
    [400, 200]
    """
    return list(value) if isinstance(value, tuple) else value


def _check_record(record: Mapping[str, Any]) -> None:
    """Refuse recorded facts of another type.

    Raises:
        OptionError: A value of another type.
    """
    known = typed(record, RECORDED, "recorded.")
    if known.get("range") is not None and len(known["range"]) != 2:
        raise OptionError(f"recorded.range={record['range']}: must be the least and largest value")
    for key, needed, types in (
        ("spec", "shape", {}),
        ("data", "name", DATA),
        ("transform", "levels", get_type_hints(Pixels)),
        ("length", "steps", get_type_hints(Length)),
    ):
        value = record.get(key)
        # Data in memory have no options, and a transform of the user's own is stored as {}.
        if (value is None and key != "spec") or (value == {} and key == "transform"):
            continue
        if not isinstance(value, Mapping) or needed not in value:
            raise OptionError(f"recorded.{key}={value!r}: must be keys and values with {needed!r}")
        typed(value, types, f"recorded.{key}.")
    preparation_of(DataSpec.from_dict(record["spec"]), record)
