"""The options that several verbs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.data import Dataset
from reparam.runs.run import Run, load
from reparam.utils.arguments import as_int

RunPath = Annotated[
    tyro.conf.Positional[Path],
    tyro.conf.arg(metavar="RUN", help="The folder of the run."),
]
"""The folder of a run, as a first argument without a name."""


@dataclass(frozen=True)
class RunOptions:
    """Which run, and where to compute."""

    run: RunPath
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    seed: int = 0
    """Of every draw."""

    def load(self) -> Run:
        """Return the run, on the device.

        Raises:
            OptionError: A seed that is none.
        """
        as_int("seed", self.seed)
        return load(self.run, device=self.device)


@dataclass(frozen=True)
class DataOptions(RunOptions):
    """Which run, and which examples to give it."""

    data: str | None = None
    """The data set; that of the run by default."""
    data_dir: str | None = None
    """The folder that holds the data set's folder; nothing else is looked at then."""
    path: str | None = None
    """Another file, for a run on a file of your own."""
    split: str = "test"
    """The split of it."""

    def dataset(self, run: Run) -> Dataset:
        """Return the data asked for, prepared as the run's own."""
        return run.dataset(self.data, self.data_dir, self.path)
