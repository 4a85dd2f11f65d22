"""``reparam sweep``: search options by the held-out log-likelihood, with Optuna."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from reparam.cli.output import command
from reparam.cli.parse import parse
from reparam.cli.table import print_table
from reparam.errors import DataError, OptionError
from reparam.runs.options import DataOptions
from reparam.runs.sweep import sweep
from reparam.utils.files import read_yaml, reason
from reparam.utils.terminal import say


@dataclass(frozen=True)
class SweepOptions:
    """The search.

    Arguments:
        space: A YAML file with the options to search: a list of values, or low and high, such as
            'latent_dim: [2, 8, 32]' and 'lr: {low: 0.0001, high: 0.01, log: true}'.
        fixed: A YAML file of options that all trials share, such as 'steps: 2000'.
        n_trials: The number of trials in all; a sweep that exists goes on until it has so many.
        out: The folder of the sweep.
        storage: The URL of a database that several machines share; SQLite in --out by default.
        prune: Whether trials that fall behind are stopped.
        seed: The seed of the search and of the runs.
    """

    space: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    fixed: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    n_trials: int = 20
    out: Path = Path("runs/sweep")
    storage: str | None = None
    prune: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Options:
    """Search the options of a variant by the log-likelihood of held-out rows.

    Every trial is a run in the folder of the sweep; 'reparam compare' shows several of them.
    """

    sweep: SweepOptions = field(default_factory=SweepOptions)
    data: DataOptions = field(default_factory=DataOptions)


def main(arguments: Sequence[str]) -> None:
    """Search, and print the trials."""
    words = list(arguments)
    variant = words.pop(0) if words and not words[0].startswith("-") else "vae"
    options = parse(Options, "sweep VARIANT", words)
    own = options.sweep
    if own.space is None:
        raise OptionError(
            "--space is needed: give a YAML file with the options to search, such as "
            "'latent_dim: [2, 8, 32]'"
        )
    found = sweep(
        options.data.load(),
        mapping_in(own.space, "--space"),
        out=own.out,
        n_trials=own.n_trials,
        variant=variant,
        options={} if own.fixed is None else mapping_in(own.fixed, "--fixed"),
        storage=own.storage,
        prune=own.prune,
        seed=own.seed,
        say=say,
    )
    names = list(dict.fromkeys(name for trial in found for name in trial.values))
    print_table(
        ("trial", *names, "held-out log p(x)", "state"),
        [
            (
                str(trial.number),
                *(str(trial.values.get(name, "")) for name in names),
                "" if trial.score is None else f"{trial.score:.2f}",
                trial.state,
            )
            for trial in found
        ],
    )
    best = [str(trial.folder) for trial in found if trial.score is not None][:2]
    if len(best) > 1:
        print(f"\nNext:\n  {command()} compare {' '.join(best)} --split validation")


def mapping_in(path: Path, option: str) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        DataError: A file that cannot be read.
        OptionError: A file that holds no mapping.
    """
    try:
        values = read_yaml(path)
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise DataError(f"{option} {path} cannot be read ({why}): give a YAML file") from error
    if not isinstance(values, dict):
        raise OptionError(f"{option} {path}: must be a mapping of options, such as latent_dim: [2]")
    return {str(key): value for key, value in values.items()}
