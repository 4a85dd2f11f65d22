"""``reparam reproduce``: run a published or instructive experiment again, in a clone."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import tyro

from reparam.cli.parse import parse
from reparam.errors import OptionError

ROOT = Path(__file__).resolve().parents[3]
"""The root of the clone, if the package runs from one: the folder of ``src``."""


@dataclass(frozen=True)
class Options:
    """Run an experiment of the clone again, and compare its figures with the published ones.

    Arguments:
        name: The experiment; see --list.
        list: List the experiments.
        page: Write the page of the results stored in this folder beside it, as FOLDER.md.
        data_dir: The folder that holds the folder of the data set; no other place is searched.
        out: The JSON file to write, with the figures beside it.
        seed: The seed of the weights, the order of the data and every draw.
        seeds: The number of seeds, from that one on; figures are then means over them.
        epochs: The number of epochs, instead of the protocol's, for a quick look.
        full: Do the long run of an experiment that has one.
        n_samples: Draws for each estimate, instead of the protocol's.
        device: The device: auto, cpu, cuda, cuda:1 ...
        runs: The folder of the training runs; those that are there are continued.
    """

    name: tyro.conf.Positional[str | None] = None
    list: bool = False
    page: Path | None = None
    data_dir: str | None = None
    out: Path | None = None
    seed: int = 0
    seeds: int = 1
    epochs: int | None = None
    full: bool = False
    n_samples: int | None = None
    device: str = "auto"
    runs: Path | None = None


def main(arguments: Sequence[str]) -> None:
    """Run an experiment, list the experiments, or write the page of stored results.

    Raises:
        OptionError: The package does not run from a clone, or an option is wrong.
    """
    given = dict(vars(parse(Options, "reproduce", arguments)))
    if not (ROOT / "experiments" / "ledger").is_dir():
        raise OptionError(
            "the experiments are not installed with the package: run reparam reproduce in a clone "
            "of the repository"
        )
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    command = import_module("experiments.ledger.command")
    command.main(given, shlex.join(["reparam", "reproduce", *arguments]))
