"""``reparam compare``: compare runs: figures, and paired differences on the same test points."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.output import show
from reparam.cli.parse import parse
from reparam.comparison import compare
from reparam.errors import OptionError
from reparam.runs.load import load
from reparam.runs.options import Proposal
from reparam.runs.run import Run
from reparam.utils.terminal import note, stderr

RunPaths = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    tyro.conf.arg(metavar="RUN RUN ...", help="The folders of the runs."),
]
"""The folders of two runs or more, as arguments without a name."""


@dataclass(frozen=True)
class Options:
    """Compare runs on the same examples: figures, and paired differences with standard errors.

    The figures that the folders of the runs keep are used; missing ones are measured now. Runs that
    differ in the seed only are averaged.
    """

    runs: RunPaths
    to: str | None = None
    """The run or group that the others are compared with, by name; the first by default."""
    n_samples: int | None = None
    """The number of importance samples; that of the runs' evaluations by default, else 500."""
    proposal: Proposal | None = None
    """Their distribution; that of the runs' evaluations, else the posterior."""
    split: str = "test"
    """The split of the data."""
    data: str | None = None
    """Another data set than that of the runs."""
    data_dir: str | None = None
    """The folder that holds the data set's folder; no other place is searched then."""
    seed: int = 0
    """The seed of every draw."""
    device: str = "auto"
    """The device: auto, cpu, cuda, cuda:1 ..."""
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
        from reparam.plots.plots import plot_format

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
    show(found.to_dict() if options.json else found, Options)
    if options.out is not None:
        from reparam.plots.comparison import differences
        from reparam.plots.plots import save_figure

        save_figure(differences(found), options.out)
        print(options.out, file=stderr() if options.json else sys.stdout)


def _run(path: Path, options: Options) -> Run:
    """Return a run, with the data of the options."""
    run = load(path, device=options.device)
    if options.data is None and options.data_dir is None:
        return run
    return replace(run, data=run.dataset(options.data, options.data_dir))
