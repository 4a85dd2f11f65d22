"""``reparam train``: train a variant on data."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from reparam.cli.command import command
from reparam.cli.model_options import FolderOptions, options_class, with_values
from reparam.cli.parse import parse, parse_known
from reparam.errors import OptionError, folded
from reparam.models.label_inference import infers_label
from reparam.runs.config import recipe_of
from reparam.runs.fit import fit
from reparam.runs.folder import RunFolder, next_free
from reparam.runs.run import Run
from reparam.runs.stored import COMMON, checked_config, read_config
from reparam.variants import Variant, get, names


def main(arguments: Sequence[str]) -> None:
    """Train a variant on data, or go on with a run."""
    words = list(arguments)
    named = words.pop(0) if words and not words[0].startswith("-") else None
    if named is None and not {"-h", "--help"}.isdisjoint(words):
        said = (
            f"Train a variant on data. VARIANT is one of {', '.join(names())}; the options of the "
            "model below are those of vae, and reparam train VARIANT --help shows those of another."
        )
        parse(options_class(get("vae")), "train VARIANT", ["--help"], description=said)
    folder = parse_known(FolderOptions, "train", words)
    stored = stored_options(folder)
    variant = chosen_variant(named, stored.pop("variant", None), folder, words)
    cls = options_class(variant)
    options = parse(
        cls,
        f"train {variant.name}",
        words,
        description=f"Train {variant.name}. {variant.summary} ({variant.paper})",
        default=with_values(cls, variant.name, stored, folder.config or ""),
    )
    print_next(train(variant, options))


def train(variant: Variant, options: Any) -> Run:
    """Train a variant as the options say.

    Raises:
        ReparamError: Impossible options, damaged data, or a folder that cannot be used.
    """
    place = options.folder.resume or options.folder.out
    if options.folder.resume == "" and place is None:
        raise OptionError("--resume needs the folder of a run: reparam train --resume RUN")
    data = options.data.load()
    seed = options.training.seed
    recipe = recipe_of({"variant": variant.name, "seed": seed, **vars(options.model)}, data.spec)
    return fit(
        recipe,
        data,
        out=place or partial(next_free, "runs", f"{data.name}-{variant.name}"),
        resume=options.folder.resume is not None,
        **asdict(options.machine),
        **asdict(options.training),
    )


def stored_options(folder: FolderOptions) -> dict[str, Any]:
    """Return the options of the run to resume, or of a file; the words replace them."""
    place = RunFolder(folder.resume or folder.out or ".")
    if folder.resume is None or not place.holds_run:
        if folder.config is None:
            return {}
        own = (option for name in names() for option in get(name).options)
        common = (option for group in COMMON for option in asdict(group()))
        return read_config(folder.config, sorted({"variant", "out", *common, *own}))
    if folder.config is not None:
        raise OptionError("--config and --resume: a run goes on with its own options; drop one")
    config = checked_config(place.config(), str(place.config_file))
    for key, what in (("variant", "model was composed by hand"), ("data", "data were given")):
        if config[key] is None:
            raise OptionError(
                f"the {what} in Python, so {place.path} goes on there: "
                "fit(model, data, out=..., resume=True)"
            )
    return config


def chosen_variant(
    named: str | None, stored: str | None, folder: FolderOptions, words: Sequence[str]
) -> Variant:
    """Return the variant: the first word, or that of the stored options.

    Raises:
        OptionError: No variant, an unknown one, or another one than that of the run to resume.
    """
    if named is not None:
        variant = get(named)
        if folder.resume is not None and stored not in (None, variant.name):
            raise OptionError(
                f"the run's variant is {stored!r}, not {variant.name!r}: name its own"
            )
        return variant
    if stored is not None:
        return get(str(stored))
    late = [word for word in words if folded(word) in names()]
    if late:
        raise OptionError(f"name the variant first: reparam train {late[0]} ...")
    if folder.resume:
        raise OptionError(f"{folder.resume} holds no run: name a variant to begin one there")
    raise OptionError(f"which variant? Name one first: reparam train {'|'.join(names())}")


def print_next(run: Run) -> None:
    """Print the folder of the run and the commands to type next."""
    if run.folder is None or not run.is_main:
        return
    path, reparam, variant = run.folder.path, command(), run.config["variant"]
    next_verbs = [f"evaluate {path}", f"doctor {path}"]
    if variant == "dae":
        next_verbs.append(f"denoise {path}")
    if variant not in ("classifier", "ae", "dae", "cae"):
        takes_label = run.spec.condition == "label" or infers_label(run.model)
        next_verbs.append(f"sample {path}{' --label 0' if takes_label else ''}")
    print(f"\nThe run is in {path}. Next:")
    for verb in (*next_verbs, f"plot {path}"):
        print(f"  {reparam} {verb}")
    print(f"  tensorboard --logdir {run.folder.events}")
