"""``reparam compare``: compare runs: figures, and paired differences on the same test points."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.options import ExampleOptions
from reparam.cli.output import show
from reparam.cli.parse import verb
from reparam.comparison import compare
from reparam.errors import OptionError
from reparam.plots import differences, plot_format, save_figure
from reparam.runs.load import load
from reparam.runs.options import Proposal
from reparam.utils.terminal import note, stderr


@dataclass(frozen=True)
class Options:
    """Compare runs on the same examples: figures, and paired differences with standard errors.

    The figures that the folders of the runs keep are used; missing ones are measured now. Runs that
    differ in the seed only are averaged.

    Arguments:
        runs: The folders of the runs.
        to: The run or group that the others are compared with, by name; the first by
            default.
        n_samples: The number of importance samples; that of the runs' evaluations by
            default, else 500.
        proposal: Their distribution; that of the runs' evaluations, else the posterior.
        seed: The seed of every draw.
        device: The device: auto, cpu, cuda, cuda:1 ...
        out: A picture of the differences, such as comparison.png.
        json: Print JSON.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN RUN ...")]
    examples: ExampleOptions
    to: str | None = None
    n_samples: int | None = None
    proposal: Proposal | None = None
    seed: int = 0
    device: str = "auto"
    out: Path | None = None
    json: bool = False


@verb
def main(options: Options) -> None:
    """Compare runs and print the table."""
    if len(options.runs) < 2:
        raise OptionError(
            f"{len(options.runs) or 'no'} run given: compare needs two or more, as in "
            "reparam compare runs/a runs/b"
        )
    if options.out is not None:
        plot_format(options.out)
    found = compare(
        [options.examples.given_to(load(path, device=options.device)) for path in options.runs],
        to=options.to,
        n_samples=options.n_samples,
        proposal=options.proposal,
        split=options.examples.split,
        seed=options.seed,
        device=options.device,
        tell=note,
    )
    show(found.to_dict() if options.json else found, Options)
    if options.out is not None:
        save_figure(differences(found.differences, found.reference.name), options.out)
        print(options.out, file=stderr() if options.json else sys.stdout)
