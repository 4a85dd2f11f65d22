"""The options that several verbs share: a run, and examples to give it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.batch import Batch
from reparam.data import Dataset
from reparam.runs.load import load
from reparam.runs.run import Run
from reparam.utils.arguments import as_int

Count = Annotated[int, tyro.conf.arg(aliases=["-n"])]
"""A number of examples, as -n."""


@dataclass(frozen=True)
class RunOptions:
    """The run, and what computes."""

    folder: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN", help="The folder of the run.")
    ]
    device: str = "auto"
    """The device: auto, cpu, cuda, cuda:1 ..."""
    seed: int = 0
    """The seed of every draw."""

    def load(self) -> Run:
        """Return the run, on the device.

        Raises:
            OptionError: A seed that is no whole number from 0 on.
        """
        as_int("seed", self.seed)
        return load(self.folder, device=self.device)


@dataclass(frozen=True)
class ExampleOptions:
    """The examples: those of the run's own data, or of other data prepared alike."""

    data: str | None = None
    """The data set; that of the run by default."""
    data_dir: Path | None = None
    """The folder that holds the data set's folder; no other place is searched then."""
    path: Path | None = None
    """Another file, for a run on a file of your own."""
    split: str = "test"
    """The split of the data set."""

    def dataset(self, run: Run) -> Dataset:
        """Return the data set, prepared as the run's own."""
        return run.dataset(self.data, self.data_dir, self.path)

    def of(self, run: Run, seed: int, limit: int | None = None) -> Batch:
        """Return the examples for a run, from the first, under one frozen draw."""
        return run.examples(self.dataset(run), self.split, seed, limit)
