"""The options that several verbs share: a run, and examples to give it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from reparam.batch import Batch
from reparam.data import Dataset
from reparam.data.files import is_place, kind_of_file
from reparam.data.tables import Table
from reparam.runs.load import load
from reparam.runs.run import Run
from reparam.utils.arguments import as_int, numbers
from reparam.utils.launch import check_launch
from reparam.utils.terminal import note

Count = Annotated[int, tyro.conf.arg(aliases=["-n"])]
"""A number of examples, as -n."""


@dataclass(frozen=True)
class RunOptions:
    """The run and the device that computes.

    Arguments:
        folder: The folder of the run.
        device: The device: auto, cpu, cuda, cuda:1 ...
        seed: The seed of every draw.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    device: str = "auto"
    seed: int = 0

    def load(self) -> Run:
        """Return the run, on the device.

        Raises:
            OptionError: A seed that is no whole number from 0 on.
        """
        as_int("seed", self.seed)
        return load(self.folder, device=self.device)


@numbers(devices=1, nodes=1)
@dataclass(frozen=True)
class ProcessOptions:
    """The processes that share the examples.

    Arguments:
        devices: The number of devices of each node, a process each.
        nodes: The number of nodes.

    Raises:
        OptionError: Another number of processes than torchrun or SLURM has started.
    """

    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        check_launch(self.devices, self.nodes)


@dataclass(frozen=True)
class ExampleOptions:
    """The examples: those of the run's data, or other data prepared in the same way.

    Arguments:
        data: The data set, or a file of rows or arrays, which is all used; the data of the run by
            default.
        data_dir: The folder that holds the data set's folder; no other place is searched
            then.
        path: Another file, for a run on a file of your own.
        split: The split of the data set.
    """

    data: str | None = None
    data_dir: Path | None = None
    path: Path | None = None
    split: str = "test"

    def dataset(self, run: Run) -> Dataset:
        """Return the data set, prepared as the run's own."""
        if self.data is None or not is_place(self.data):
            return run.dataset(self.data, self.data_dir, self.path)
        found = run.read(self.data)
        # A file that is named here has no splits: all of it is the split that is asked for.
        return replace(found, splits={**found.splits, self.split: found.split("train")})

    def table(self, run: Run) -> Table | None:
        """Return the table in the file that is named, for a run on a table; None for other data."""
        if run.spec.schema is None or self.data is None or not is_place(self.data):
            return None
        return run.table(self.data) if kind_of_file(self.data) in ("table", "array") else None

    def given_to(self, run: Run) -> Run:
        """Return the run with the data set that is named; the run as it is where none is named."""
        is_other = any(place is not None for place in (self.data, self.data_dir, self.path))
        return replace(run, data=self.dataset(run)) if is_other else run

    def tell(self, n: int) -> None:
        """Say which rows of the run's own data were used, where no file is named."""
        if self.data is None:
            note(f"{n:,} rows of the split {self.split!r}; --data FILE takes all rows of a file")

    def of(self, run: Run, seed: int, limit: int | None = None) -> Batch:
        """Return the examples for a run, from the first, under one frozen draw."""
        return run.examples(self.dataset(run), self.split, seed, limit)
