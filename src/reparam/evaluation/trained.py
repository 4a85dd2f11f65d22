"""A trained run, as comparison and diagnostics use it."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from reparam.batch import Batch
from reparam.data import Dataset, Stream
from reparam.evaluation.likelihood.importance import N_SAMPLES
from reparam.evaluation.likelihood.proposal import POSTERIOR, Proposal
from reparam.evaluation.result import Evaluation
from reparam.objectives.recipe import Recipe
from reparam.spec import DataSpec


class TrainedFolder(Protocol):
    """The folder of a run."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether training has ended."""
        ...


@runtime_checkable
class TrainedRun(Protocol):
    """A model, with the data and the options that it was trained with."""

    model: nn.Module
    spec: DataSpec
    config: dict[str, Any]
    data: Dataset | Stream | None
    rows: list[dict[str, Any]]

    @property
    def folder(self) -> TrainedFolder | None:
        """The folder of the run; None for a run in memory."""
        ...

    def recipe(self) -> Recipe:
        """Build the recipe of the run again from its options."""
        ...

    def dataset(self) -> Dataset:
        """Return the data that the run was trained on."""
        ...

    def prepared(self, data: object) -> Dataset | Stream:
        """Return data prepared as the training data were."""
        ...

    def examples(
        self, data: object = None, split: str = "test", seed: int = 0, limit: int | None = None
    ) -> Batch:
        """Return examples of a split, prepared for the model."""
        ...

    def evaluate(
        self,
        data: object = None,
        *,
        split: str = "test",
        n_samples: int = N_SAMPLES,
        seed: int = 0,
        device: str = "auto",
        keep: bool = True,
        proposal: Proposal = POSTERIOR,
        train: bool = True,
    ) -> Evaluation:
        """Return the figures of the model, and keep them in the folder."""
        ...

    def kept_evaluation(self) -> Evaluation | None:
        """Return the evaluation of these weights in the folder."""
        ...

    def sample(self, n_samples: int, seed: int = 0, *, mean: bool = False) -> Tensor:
        """Draw examples from the model, or means of p(x | z), with shape (n, *shape)."""
        ...


def random_examples(
    run: TrainedRun, data: Dataset | Stream, split: str, n: int, seed: int = 0
) -> Batch:
    """Return n random examples of a split, or all of it, prepared for the model of a run.

    Of a stream they are the first ones.

    Arguments:
        run: The run.
        data: The data.
        split: The name of the split.
        n: The number of examples.
        seed: The seed of the choice and of the draw.
    """
    if isinstance(data, Dataset):
        return run.examples(data.some(split, n, seed), "train", seed)
    return run.examples(data, split, seed, limit=n)
