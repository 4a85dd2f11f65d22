"""The interface of the training split: batches, epoch by epoch.

Training does not import data sets. It accepts any object with the attributes and methods of
``Batches``; ``data.Batches`` and ``data.StreamBatches`` have them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from reparam.batch import Batch


class IndexedBatches(Protocol):
    """Batches that are picked by index from examples that lie on the device."""

    @property
    def n_examples(self) -> int:
        """The number of examples of an epoch."""

    @property
    def size(self) -> int:
        """The number of examples of a batch; the last batch of an epoch may have fewer."""

    def order(self, epoch: int) -> Tensor | None:
        """Return the order of an epoch, with shape (N,); None for that of the examples."""

    def at(self, index: Tensor | slice) -> Batch:
        """Return the examples of an index, with shape (B,), as a batch."""


class Batches(Protocol):
    """The batches of a training split."""

    @property
    def n_examples(self) -> int:
        """The number of examples of an epoch."""

    @property
    def has_exact_length(self) -> bool:
        """Whether every epoch has exactly ``len`` batches; a loader may yield fewer."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Return the batches of an epoch, from number ``start`` on."""

    def indexed(self) -> IndexedBatches | None:
        """Return the same batches as picks by index; None where they are made in another way."""

    def unshared(self) -> "Batches":
        """Return the batches of all processes together, of which each has a share."""


@dataclass(frozen=True)
class FirstEpoch:
    """The batches of the first epoch in all processes, which can be iterated over more than once.

    Arguments:
        batches: The training split.
    """

    batches: Batches

    def __iter__(self) -> Iterator[Batch]:
        return self.batches.unshared().epoch(0)
