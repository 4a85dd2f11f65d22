"""``reparam compare``: runs beside each other, and differences on the same test points."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reparam.cli.parse import parse
from reparam.comparison import compare
from reparam.errors import OptionError
from reparam.runs.run import Run, load
from reparam.utils.terminal import note, stderr

RunPaths = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    tyro.conf.arg(metavar="RUN RUN ...", help="The folders of the runs."),
]
"""The folders of two runs or more, as arguments without a name."""


@dataclass(frozen=True)
class Options:
    """Compare runs on the same examples: figures, and paired differences with standard errors.

    What the folders of the runs keep of an evaluation is used; what is missing is measured now.
    Runs that differ in the seed only are averaged.
    """

    runs: RunPaths
    to: str | None = None
    """The run or group that the others are compared with, by name; the first by default."""
    n_samples: int | None = None
    """Importance samples for each example; what the runs were evaluated with, else 500."""
    proposal: Literal["posterior", "defensive", "tuned"] | None = None
    """Where they come from; as the runs were evaluated, else the posterior."""
    split: str = "test"
    """The split of the data."""
    data: str | None = None
    """Another data set than that of the runs."""
    data_dir: str | None = None
    """The folder that holds the data set's folder; nothing else is looked at then."""
    seed: int = 0
    """Of every draw."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    out: Path | None = None
    """A picture of the differences, such as comparison.png."""
    json: bool = False
    """Print JSON."""


def main(arguments: Sequence[str]) -> None:
    """Compare runs and print the table."""
    options = parse(Options, "compare", arguments)
    if len(options.runs) < 2:
        raise OptionError(
            f"{len(options.runs) or 'no'} run given: compare needs two or more, as in "
            "reparam compare runs/a runs/b"
        )
    if options.out is not None:
        from reparam.plots import plot_format

        plot_format(options.out)
    found = compare(
        [_run(path, options) for path in options.runs],
        to=options.to,
        n_samples=options.n_samples,
        proposal=options.proposal,
        split=options.split,
        seed=options.seed,
        device=options.device,
        tell=note,
    )
    print(json.dumps(found.to_dict(), indent=2) if options.json else found)
    if options.out is not None:
        from reparam.plots import save_figure
        from reparam.plots.comparison import differences

        save_figure(differences(found), options.out)
        print(options.out, file=stderr() if options.json else sys.stdout)


def _run(path: Path, options: Options) -> Run:
    """Return a run, with the data that were asked for."""
    run = load(path, device=options.device)
    if options.data is None and options.data_dir is None:
        return run
    return replace(run, data=run.dataset(options.data, options.data_dir))
