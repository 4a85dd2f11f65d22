"""The types of a run's configuration: the same on the command line, in YAML and in a run folder."""

import dataclasses
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reparam.data.preparation import preparation_of
from reparam.data.registry import Binarize
from reparam.data.text import Unit
from reparam.data.transforms import Pixels
from reparam.errors import OptionError, RunError, unknown
from reparam.families import Family
from reparam.runs.config import as_stored
from reparam.spec import DataSpec
from reparam.training.options import TrainingOptions
from reparam.utils.arguments import LARGEST, as_int
from reparam.variants import Variant, get
from reparam.variants.options import part_options


@dataclasses.dataclass(frozen=True)
class CommonOptions:
    """The options that every variant has.

    Arguments:
        data: The data set; 'reparam data' lists them.
        data_dir: The folder that holds the data set's folder; nothing else is looked at then.
        binarize: How grey images become binary; each data set has its own way.
        dequantize: Whether uniform noise makes pixel levels continuous.
        validation: Training examples held out for validation: a number, or a share below 1.
        labels_per_class: Training examples of each class that keep their label; all by default.
        path: A file of your own with data=text, a folder of images with data=faces.
        unit: What a token of a text is.
        window: Tokens of an example of a text; 64 by default.
        stride: From a training window to the next; as many by default, so that none overlap.
        test_share: The share of a file or folder of your own that is held out as test; 0.1 by
            default.
        size: The height and width that images of a folder are brought to; 64 by default.
        image_channels: Of images of a folder: 1 for grey, 3 for RGB; what they are by default.
        condition: What every part of the model is given beside its input: label, or nothing.
        beta: The weight of the KL, where the objective has one.
        device: auto, cpu, cuda, cuda:1 ...
        precision: auto (bfloat16 where the machine computes in it), float32, bfloat16 or float64.
        devices: Devices of each node.
        nodes: Nodes.
        out: The folder of the run; runs/DATA-VARIANT-N by default.
        resume: Go on with the run in this folder, or in --out; a new one begins if there is none.
        config: A YAML file of options; those on the command line come first.
    """

    data: str = "digits"
    data_dir: str | None = None
    binarize: Binarize | None = None
    dequantize: bool | None = None
    validation: float | None = None
    labels_per_class: int | None = None
    path: str | None = None
    unit: Unit | None = None
    window: int | None = None
    stride: int | None = None
    test_share: float | None = None
    size: int | None = None
    image_channels: int | None = None
    condition: Literal["label"] | None = None
    beta: float | None = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    devices: int = 1
    nodes: int = 1
    out: str | None = None
    resume: str | None = None
    config: str | None = None


OPTION_GROUPS = (CommonOptions, TrainingOptions)
"""Where the options are declared that are neither a variant's own nor those of its parts."""

RECORDED: Mapping[str, Any] = {
    **dict.fromkeys(("reparam", "torch", "python", "machine", "command"), str),
    **dict.fromkeys(("objective", "device_used"), str),
    **dict.fromkeys(("format", "threads", "n_train", "n_batches"), int),
    "is_stream": bool,
    "train_sha256": str | None,
    "class_names": tuple[str, ...],
    "range": tuple[float, ...] | None,
}
"""The types of what a run records beside its options, its data and their spec."""

DATA_OPTIONS: Mapping[str, Any] = {
    **get_type_hints(CommonOptions),
    "name": str,
    "seed": int,
    "symbols": str,
}
"""The types of the options that make the data of a run again."""


def option_types(variant: Variant | None) -> dict[str, Any]:
    """Return the types of all options of a variant: its own, then those that every variant has.

    >>> option_types(get("beta-vae"))["beta"], option_types(None)["beta"]
    (<class 'float'>, float | None)
    """
    common: dict[str, Any] = {o.name: o.type for o in part_options().values()}
    for group in OPTION_GROUPS:
        common |= get_type_hints(group)
    if variant is None:
        return common
    # What a builder takes as **net are options of this one.
    hints = get_type_hints(get("vae").builder) | get_type_hints(variant.builder)
    own = {name: plain_type(hints[name]) for name in variant.options}
    return own | {name: kind for name, kind in common.items() if name not in own}


def plain_type(kind: Any) -> Any:
    """Return the type of an option on the command line, where no family can be typed."""
    if kind == Sequence[int]:
        return tuple[int, ...]
    if kind == str | Family | None:
        return str | None
    return kind


def as_type(value: Any, kind: Any) -> Any:
    """Return a value out of YAML as a type of the command line.

    Raises:
        TypeError: It is of another type.
        ValueError: It has that type and cannot be a value of it.

    Example:
        >>> as_type("1e-3", float), as_type([400, 200.0], tuple[int, ...])
        (0.001, (400, 200))
    """
    if get_origin(kind) is tuple:
        if isinstance(value, int | float):
            value = [value]  # one size is a list of one, as in Python
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(as_type(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError
        return value
    choices = get_args(kind)
    if choices:  # a union: X | None
        return None if value is None else as_type(value, choices[0])
    if kind is int:
        return as_int("value", value, minimum=-LARGEST)
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3, without a point, for text
        except OverflowError as error:
            raise ValueError from error
    if not isinstance(value, kind):
        raise TypeError
    return value


def in_words(kind: Any) -> str:
    """Return what values a type of the command line has.

    >>> in_words(tuple[int, ...]), in_words(float | None)
    ('a list, each a whole number below 2^63', 'a number')
    """
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return f"a list, each {in_words(get_args(kind)[0])}"
    if get_args(kind):
        return in_words(get_args(kind)[0])
    known = {
        int: "a whole number below 2^63",
        float: "a number",
        bool: "true or false",
        str: "text",
    }
    return known[kind]


def typed(
    values: Mapping[str, Any],
    kinds: Mapping[str, Any],
    where: str = "the configuration",
    within: str = "",
) -> dict[str, Any]:
    """Return options out of YAML as the types that they have on the command line.

    Arguments:
        values: The options.
        kinds: The types of all options that there are.
        where: What holds them, for messages.
        within: The path of keys that they lie under.

    Raises:
        OptionError: An option that does not exist, or a value of another type.

    Example:
        >>> typed({"epochs": "many"}, {"epochs": int})
        Traceback (most recent call last):
        reparam.errors.OptionError: epochs='many' in the configuration: give a whole number ...
    """
    found = {}
    for name, value in values.items():
        if name not in kinds:
            raise unknown(f"option in {where}", str(name), kinds)
        try:
            found[name] = as_type(value, kinds[name])
        except (TypeError, ValueError):
            raise OptionError(
                f"{within}{name}={_shown(value)} in {where}: give {in_words(kinds[name])}"
            ) from None
    return found


def checked_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the configuration of a run with every value of the type that it must have.

    What this version of reparam does not know stays as it is.

    Arguments:
        config: What ``config.yaml`` holds.
        where: The file, for messages.

    Raises:
        RunError: A value of another type, or out of its range.
        OptionError: A variant, or a name of another kind, that does not exist.
    """
    found = dict(config)
    try:
        named = typed(_among(config, {"variant", "data"}), _RUN_NAMES, where)
        variant = None if named.get("variant") is None else get(named["variant"])
        kinds = {**option_types(variant), **_RUN_NAMES}
        for name, value in typed(_among(config, kinds), kinds, where).items():
            # A whole number stays one where any number may stand.
            is_whole = type(config[name]) is int and not isinstance(value, tuple)
            found[name] = config[name] if is_whole else as_stored(value)
        training = {field.name for field in dataclasses.fields(TrainingOptions)}
        TrainingOptions(**_among(found, training))
        found["recorded"] = _checked_record(config["recorded"], where)
    except OptionError as error:
        said = str(error)
        raise RunError(said if where in said else f"{where}: {said}") from error
    return found


_RUN_NAMES: Mapping[str, Any] = {"variant": str | None, "data": str | None}
"""The names that a run of a hand-made model, or on data in memory, lacks."""


def _checked_record(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = typed(_among(record, RECORDED), RECORDED, where, "recorded.")
    if known.get("range") is not None and len(known["range"]) != 2:
        raise OptionError(
            f"recorded.range={_shown(record['range'])} in {where}: give the least value and the "
            "largest"
        )
    for key, needed in (("spec", "shape"), ("data", "name")):
        value = record.get(key)
        if value is None and key == "data":
            continue
        if not isinstance(value, Mapping) or needed not in value:
            raise OptionError(
                f"recorded.{key}={_shown(value)} in {where}: give keys and values, {needed} among "
                "them"
            )
    if record.get("data") is not None:
        typed(_among(record["data"], DATA_OPTIONS), DATA_OPTIONS, where, "recorded.data.")
    transform = record.get("transform")
    if transform is not None:
        if not isinstance(transform, Mapping):
            raise OptionError(
                f"recorded.transform={_shown(transform)} in {where}: give keys and values"
            )
        if transform and "levels" not in transform:
            raise OptionError(f"recorded.transform={_shown(transform)} in {where}: give its levels")
        typed(transform, get_type_hints(Pixels), where, "recorded.transform.")
    preparation_of(DataSpec.from_dict(record["spec"]), record)
    return dict(record)


def _among(values: Mapping[str, Any], names: Mapping[str, Any] | set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _shown(value: Any) -> str:
    """Return a value of any kind and size as a message shows it."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value)
