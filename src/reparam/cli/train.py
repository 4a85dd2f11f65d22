"""``reparam train``: from a variant and data to a run."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import tyro

from reparam import data as data_sets
from reparam.cli.command import command
from reparam.cli.parse import metavar, parse
from reparam.errors import OptionError, folded
from reparam.models.label_inference import infers_label
from reparam.runs.config import (
    DATA_KEYS,
    MACHINE_KEYS,
    OF_OLD_IMAGES,
    as_stored,
    read_config,
    recipe_of,
    training_options,
)
from reparam.runs.folder import RunFolder, next_free
from reparam.runs.run import Run, fit
from reparam.runs.schema import OPTION_GROUPS, checked_config, option_types, typed
from reparam.variants import Variant, get, names
from reparam.variants.options import part_options
from reparam.variants.parts import OBJECTIVES, POSTERIORS, PRIORS


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
    kept = {name: value for name, value in stored.items() if name != "variant"}
    default = cls(**typed(kept, option_types(variant)))
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
        config = checked_config(folder.config(), str(folder.config_file))
        del config["recorded"]
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
    common = (field.name for group in OPTION_GROUPS for field in dataclasses.fields(group))
    known = {
        "variant",
        *common,
        *part_options(),
        *(option for name in names() for option in get(name).options),
    }
    return read_config(path, sorted(known - {"config", "resume"}))


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


def options_class(variant: Variant | None) -> type[Any]:
    """Return the dataclass of all options of a variant: its own and the common ones."""
    helps = {name: said for group in OPTION_GROUPS for name, said in documented(group).items()}
    helps |= {option.name: option.help for option in part_options().values()}
    helps |= {
        name: f"{helps.get(name, name).rstrip('.')}: {', '.join(known)}."
        for name, known in (
            ("posterior", POSTERIORS),
            ("prior", PRIORS),
            ("objective", OBJECTIVES),
        )
    }
    defaults = {f.name: f.default for group in OPTION_GROUPS for f in dataclasses.fields(group)}
    defaults |= {option.name: option.default for option in part_options().values()}
    if variant is not None:
        helps |= documented(get("vae").builder) | documented(variant.builder)
        defaults |= {name: option.default for name, option in variant.options.items()}
    fields = [
        (
            name,
            Annotated[
                kind, tyro.conf.arg(help=helps.get(name), metavar=METAVARS.get(name, metavar(kind)))
            ],
            defaults[name],
        )
        for name, kind in option_types(variant).items()
    ]
    return dataclasses.make_dataclass("TrainOptions", fields, frozen=True)


def documented(part: Any) -> dict[str, str]:
    """Return what a docstring says of each argument.

    >>> from reparam.training.options import TrainingOptions
    >>> documented(TrainingOptions)["epochs"]
    'Passes over the training split.'
    """
    import docstring_parser

    said = docstring_parser.parse(part.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    return {p.arg_name: " ".join((p.description or "").split()) for p in said.params}


def described(variant: Variant) -> str:
    """Return what ``--help`` says of a variant."""
    return f"Train {variant.name}. {variant.summary} ({variant.paper})"
