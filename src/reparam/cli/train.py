"""``reparam train``: from a variant and data to a run."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from reparam import data as data_sets
from reparam.cli.command import command
from reparam.cli.parse import metavar, parse
from reparam.data.registry import Binarize
from reparam.data.text import Unit
from reparam.errors import OptionError, folded, unknown
from reparam.families import Family
from reparam.run import Run, fit
from reparam.semi_supervised import infers_label
from reparam.training.config import (
    DATA_KEYS,
    MACHINE_KEYS,
    OF_OLD_IMAGES,
    read_config,
    recipe_of,
    training_options,
)
from reparam.training.options import TrainingOptions
from reparam.training.run_folder import RunFolder, next_free
from reparam.variants import Parts, Variant, get, names
from reparam.variants.parts import OBJECTIVES, POSTERIORS, PRIORS


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


def main(arguments: Sequence[str]) -> None:
    """Train a variant on data, or go on with a run."""
    words = with_resume_value(arguments)
    stored = stored_options(words)
    variant = chosen_variant(words, stored)
    if variant is None:
        if {"-h", "--help"} & set(words):
            said = (
                f"Train a variant on data. VARIANT is one of {', '.join(names())}; "
                "reparam train VARIANT --help tells those of its options that are not here."
            )
            parse(options_class(None), "train VARIANT", ["--help"], description=said)
        place = value_of(words, "--resume")
        if place:
            raise OptionError(f"{place} holds no run: name a variant to begin one there")
        raise OptionError(f"which variant? Name one first: reparam train {'|'.join(names())}")
    rest = words[1:] if words and not words[0].startswith("-") else words
    cls = options_class(variant)
    default = cls(**typed(stored, cls))
    options = parse(
        cls, f"train {variant.name}", rest, description=described(variant), default=default
    )
    values = {k: as_stored(v) for k, v in dataclasses.asdict(options).items()}
    run = train({"variant": variant.name, **values})
    print_next(run)


def train(values: dict[str, Any], *, progress: bool = True) -> Run:
    """Train what a flat mapping of options says; where it is silent, the defaults hold.

    Arguments:
        values: ``variant``, ``data``, the variant's options and those of ``CommonOptions``.
        progress: Whether to show progress.

    Raises:
        ReparamError: Anything that is wrong with the options, the data or the folder.
    """
    options = training_options(values)
    place = values.get("resume") or values.get("out")
    if values.get("resume") == "" and values.get("out") is None:
        raise OptionError("--resume needs the folder of a run: reparam train --resume RUN")
    keys = [key for key in DATA_KEYS[1:] if values.get(key) is not None]
    validation = values.get("validation")
    asked = {key: values[key] for key in keys}
    if validation is not None and float(validation).is_integer():
        asked["validation"] = int(validation)
    data = data_sets.load(values.get("data", "digits"), **asked)
    recipe = recipe_of(values, data.spec)
    machine = {k: values[k] for k in MACHINE_KEYS if k in values}
    return fit(
        recipe,
        data,
        out=place or partial(next_free, "runs", f"{data.name}-{values['variant']}"),
        resume=values.get("resume") is not None,
        progress=progress,
        **machine,
        **dataclasses.asdict(options),
    )


def print_next(run: Run) -> None:
    """Print where the run is and the commands that one might type next."""
    if run.folder is None or not run.is_main:
        return
    path, reparam = run.folder.path, command()
    print(f"\nThe run is in {path}. Next:")
    print(f"  {reparam} evaluate {path}")
    print(f"  {reparam} doctor {path}")
    if run.config.get("variant") == "dae":
        print(f"  {reparam} denoise {path}")
    if run.config.get("variant") not in ("classifier", "ae", "dae", "cae"):
        takes_label = run.spec.condition == "label" or infers_label(run.model)
        print(f"  {reparam} sample {path}{' --label 0' if takes_label else ''}")
    print(f"  {reparam} plot {path}")
    print(f"  tensorboard --logdir {run.folder.events}")


def with_resume_value(arguments: Sequence[str]) -> list[str]:
    """Return the words with a value after a bare ``--resume``, which then means ``--out``.

    >>> with_resume_value(["vae", "--resume", "--out", "x"])
    ['vae', '--resume', '', '--out', 'x']
    """
    words: list[str] = []
    for word, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        words.append(word)
        if word == "--resume" and following.startswith("-"):
            words.append("")
    return words


def value_of(words: Sequence[str], option: str) -> str | None:
    """Return the value of an option among the words, if it is there.

    >>> value_of(["vae", "--out=x"], "--out")
    'x'
    """
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def stored_options(words: Sequence[str]) -> dict[str, Any]:
    """Return the options that the command line takes over: of the run to resume, or of a file."""
    resume = value_of(words, "--resume")
    folder = RunFolder(resume or value_of(words, "--out") or ".")
    if resume is not None and folder.holds_run:
        if value_of(words, "--config") is not None:
            raise OptionError("--config and --resume: a run goes on with its own options; drop one")
        config = {k: v for k, v in folder.config().items() if k != "recorded"}
        if config.get("data") == "faces":
            config = OF_OLD_IMAGES | config
        for key, what in (("variant", "model was composed by hand"), ("data", "data were given")):
            if config.get(key) is None:
                raise OptionError(
                    f"the {what} in Python, so {folder.path} goes on there: "
                    "fit(model, data, out=..., resume=True)"
                )
        return config
    path = value_of(words, "--config")
    if path is None:
        return {}
    known = {
        "variant",
        *(field.name for group in GROUPS for field in dataclasses.fields(group)),
        *(option for name in names() for option in get(name).options),
    }
    return read_config(path, sorted(known - {"config", "resume"}))


def typed(stored: dict[str, Any], cls: type[Any]) -> dict[str, Any]:
    """Return options out of YAML as the types that they have on the command line.

    Raises:
        OptionError: A key that the variant does not have, or a value of another type.
    """
    kinds = {field.name: get_args(field.type)[0] for field in dataclasses.fields(cls)}
    values = {}
    for name, value in stored.items():
        if name == "variant":
            continue
        if name not in kinds:
            raise unknown("option of this variant in the configuration", name, kinds)
        try:
            values[name] = as_kind(value, kinds[name])
        except (TypeError, ValueError):
            raise OptionError(
                f"{name}={value!r} in the configuration: give {in_words(kinds[name])}"
            ) from None
    return values


def as_kind(value: Any, kind: Any) -> Any:
    """Return a value out of YAML as a type of the command line.

    Raises:
        TypeError: It is of another type.
        ValueError: It has that type and cannot be a value of it.

    Example:
        >>> as_kind("1e-3", float), as_kind([400, 200], tuple[int, ...])
        (0.001, (400, 200))
    """
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise TypeError
        return tuple(as_kind(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError
        return value
    choices = get_args(kind)
    if choices:  # a union: X | None
        return None if value is None else as_kind(value, choices[0])
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        return float(value)  # YAML takes 1e-3, without a point, for text
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError
    return value


def in_words(kind: Any) -> str:
    """Return what values a type of the command line has.

    >>> in_words(tuple[int, ...]), in_words(float | None)
    ('a list, each a whole number', 'a number')
    """
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return f"a list, each {in_words(get_args(kind)[0])}"
    if get_args(kind):
        return in_words(get_args(kind)[0])
    known = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return known.get(kind, str(kind))


def chosen_variant(words: Sequence[str], stored: dict[str, Any]) -> Variant | None:
    """Return the variant: the first word, or that of the stored options.

    Raises:
        OptionError: A variant that does not exist; or another one than the run to resume has.
    """
    if words and not words[0].startswith("-"):
        variant = get(words[0])
        before = stored.get("variant")
        if value_of(words, "--resume") is not None and before not in (None, variant.name):
            raise OptionError(
                f"the run's variant is {before!r}, not {variant.name!r}: name its own"
            )
        return variant
    late = [word for word in words if folded(word) in names()]
    if late:
        raise OptionError(f"name the variant first: reparam train {late[0]} ...")
    return get(str(stored["variant"])) if stored.get("variant") else None


METAVARS = {
    "data_dir": "DIR",
    "path": "PATH",
    "out": "DIR",
    "resume": "[RUN]",
    "config": "FILE.yaml",
}
"""What ``--help`` calls values that are places."""


GROUPS = (CommonOptions, Parts, TrainingOptions)
"""The options that every variant has."""


def options_class(variant: Variant | None) -> type[Any]:
    """Return the dataclass of all options of a variant: its own and the common ones."""
    helps = {name: said for group in GROUPS for name, said in documented(group).items()}
    helps |= {
        name: f"{helps[name].rstrip('.')}: {', '.join(known)}."
        for name, known in (
            ("posterior", POSTERIORS),
            ("prior", PRIORS),
            ("objective", OBJECTIVES),
        )
    }
    own: dict[str, tuple[Any, Any]] = {}
    if variant is not None:
        vae = get("vae").builder
        helps |= documented(vae) | documented(variant.builder)
        hints = get_type_hints(vae) | get_type_hints(variant.builder)
        own = {k: (plain_type(hints[k]), p.default) for k, p in variant.options.items()}
    common = {
        f.name: (kind, f.default)
        for cls in GROUPS
        for f, kind in zip(dataclasses.fields(cls), get_type_hints(cls).values(), strict=True)
    }
    fields = [
        (
            name,
            Annotated[
                kind, tyro.conf.arg(help=helps.get(name), metavar=METAVARS.get(name, metavar(kind)))
            ],
            default,
        )
        for name, (kind, default) in (
            own | {k: v for k, v in common.items() if k not in own}
        ).items()
    ]
    return dataclasses.make_dataclass("TrainOptions", fields, frozen=True)


def plain_type(kind: Any) -> Any:
    """Return the type of an option on the command line, where no family can be typed."""
    if kind == Sequence[int]:
        return tuple[int, ...]
    if kind == str | Family | None:
        return str | None
    return kind


def documented(part: Any) -> dict[str, str]:
    """Return what a docstring says of each argument.

    >>> documented(TrainingOptions)["epochs"]
    'Passes over the training split.'
    """
    import docstring_parser

    said = docstring_parser.parse(part.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    return {p.arg_name: " ".join((p.description or "").split()) for p in said.params}


def described(variant: Variant) -> str:
    """Return what ``--help`` says of a variant."""
    return f"Train {variant.name}. {variant.summary} ({variant.paper})"


def as_stored(value: Any) -> Any:
    """Return a value as YAML holds it."""
    return (
        list(value)
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, Path)
        else value
    )
