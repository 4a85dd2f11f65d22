"""``reparam train``: train a variant on data."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from reparam.cli.output import print_next
from reparam.cli.parse import parse, parse_known
from reparam.cli.train_options import (
    SEARCHED,
    FolderOptions,
    chosen_variant,
    drop_other_lengths,
    options_class,
    stored_options,
    typed_options,
    with_values,
)
from reparam.errors import OptionError, ReparamError
from reparam.objectives.recipe import Recipe
from reparam.runs.config import recipe_of
from reparam.runs.fit import fit
from reparam.runs.folder import next_free
from reparam.runs.options import EvaluationOptions
from reparam.runs.run import Run
from reparam.runs.search import AUTO
from reparam.spec import DataSpec
from reparam.utils.terminal import note
from reparam.variants import Variant, get, names

ADVISES_ON = (EvaluationOptions,)
"""The options of other verbs that the advice of the diagnosis speaks of."""

FEW_SAMPLES = 20
"""The number of importance samples of the report, which should not take long."""


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
    drop_other_lengths(stored, words)
    variant = chosen_variant(named, stored.pop("variant", None), folder, words)
    cls = options_class(variant)
    options = parse(
        cls,
        f"train {variant.name}",
        words,
        description=f"Train {variant.name}. {variant.summary} ({variant.paper})",
        default=with_values(cls, variant.name, stored, folder.config or ""),
    )
    run = train(variant, options, {*stored, *typed_options(words)})
    if run.is_main and not options.folder.no_report:
        write_report(run)
    print_next(run)


def write_report(run: Run) -> None:
    """Write the report of a run into its folder; a note says so where it cannot be made."""
    if run.folder is None:
        return
    place = run.folder.report_file
    note(f"writing {place.name}, which may take a minute; --no-report leaves it out")
    try:
        run.report(n_samples=FEW_SAMPLES).save(place)
    except ReparamError as error:
        note(f"no {place.name} was written: {error}")
    else:
        note(f"wrote {place}: open it in a browser")


def train(variant: Variant, options: Any, given: Collection[str]) -> Run:
    """Train a variant with the given options.

    Arguments:
        variant: The variant.
        options: The values of all options.
        given: The names of those that were typed or stored; other defaults may depend on the data.

    Raises:
        ReparamError: Impossible options, damaged data, or a folder that cannot be used.
    """
    place = options.folder.resume or options.folder.out
    if options.folder.resume == "" and place is None:
        raise OptionError("--resume needs the folder of a run: reparam train --resume RUN")
    data = options.data.load()
    seed = options.training.seed
    own = {name: value for name, value in vars(options.model).items() if name in given}
    searched = [name for name in SEARCHED if own.get(name) == AUTO]
    values = {k: v for k, v in own.items() if k not in searched}
    values.setdefault("condition", data.spec.condition)  # of data that come with covariates
    values |= {"variant": variant.name, "seed": seed}

    def made(spec: DataSpec, latent_dim: int | None = None, beta: float | None = None) -> Recipe:
        found = {"latent_dim": latent_dim, "beta": beta}
        return recipe_of(values | {k: v for k, v in found.items() if v is not None}, spec)

    return fit(
        made if searched else made(data.spec),
        data,
        latent_dim=AUTO if "latent_dim" in searched else None,
        beta=AUTO if "beta" in searched else None,
        out=place or partial(next_free, "runs", f"{data.name}-{variant.name}"),
        resume=options.folder.resume is not None,
        **asdict(options.machine),
        **asdict(options.training),
    )
