"""Minibatches of data that are resident on the device, selected there by index, or mapped."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor

from reparam.batch import Batch, share_of
from reparam.data.blocks import in_blocks, together
from reparam.data.condition import check_condition
from reparam.data.dataset import Split
from reparam.data.transforms import Transform
from reparam.errors import OptionError
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers
from reparam.utils.seeding import mixed_seed


@numbers(batch_size=1)
@dataclass(eq=False)
class Batches:
    """Minibatches of one split, held on the device as stored and transformed there.

    The examples of a mapped file stay in the file, and only those of a batch come to the device.
    Where they are shuffled, it is by blocks: see ``blocks.BlockOrder``.

    The order of an epoch depends on (seed, epoch) alone. The transform draws from the global
    generator of the device and skipped batches draw nothing: an epoch that is resumed at batch k
    with the generator state of that moment continues exactly.

    With ``repeat_labeled``, where some labels are known and others are not (-1), a batch holds
    ``batch_size`` examples of the epoch and then ``batch_size // 4`` labeled ones, so that a
    hundred labels among thousands of examples count in every step. These come in random orders of
    all labeled examples, which depend on (seed, epoch, batch). ``n_examples`` and the number of
    batches are those of the epoch alone.

    Arguments:
        split: The stored examples.
        transform: The map from stored values to x.
        batch_size: Examples of the epoch per batch, at most: see ``size``.
        device: The device of the examples and batches.
        shuffle: Whether every epoch has its own order.
        seed: The seed of the orders.
        spec: The data, whose condition every batch has; None for no condition.
        repeat_labeled: Whether every batch repeats labeled examples, for an objective that learns
            from few of them.
        rank: The number of this process among those that share every batch.
        world_size: The number of processes that share every batch; the shares differ by at most
            one example, and a batch has their weights. Together they are the batch of one process.

    Raises:
        OptionError: A batch size below one, or below the number of processes.
        DataError: A condition without its labels or covariates, or with unknown labels.

    Example:
        >>> from reparam.data.transforms import Identity
        >>> batches = Batches(Split(torch.arange(5.0)), Identity(), batch_size=2, shuffle=False)
        >>> [batch.x.tolist() for batch in batches.epoch(0)]
        [[0.0, 1.0], [2.0, 3.0], [4.0]]
        >>> some = Split(torch.arange(6.0), torch.tensor([-1, -1, -1, 1, -1, -1]))
        >>> [batch.x.tolist() for batch in Batches(
        ...     some, Identity(), 4, shuffle=False, repeat_labeled=True).epoch(0)]
        [[0.0, 1.0, 2.0, 3.0, 3.0], [4.0, 5.0, 3.0]]
    """

    split: Split
    transform: Transform
    batch_size: int
    device: torch.device | str = "cpu"
    shuffle: bool = True
    seed: int = 0
    spec: DataSpec | None = None
    repeat_labeled: bool = False
    rank: int = 0
    world_size: int = 1
    has_exact_length: ClassVar[bool] = True
    """Whether every epoch has exactly ``len`` batches."""

    def __post_init__(self) -> None:
        if self.batch_size < self.world_size:
            raise OptionError(
                f"batch_size={self.batch_size}: {self.world_size} devices share a batch, so it "
                "needs at least one example for each"
            )
        y = self.split.y
        if self.spec is not None:
            check_condition(self.spec, y, self.split.covariates)
        # The places of the known labels; None where all of them or none is known.
        known = (y.cpu() >= 0).nonzero()[:, 0] if y is not None else torch.empty(0)
        self.labeled = known if self.repeat_labeled and 0 < len(known) < len(self.split) else None
        if self.split.mapped is None:
            self.split = self.split.each(lambda values: values.to(self.device))

    @property
    def n_examples(self) -> int:
        """The number of examples in an epoch."""
        return len(self.split)

    def __len__(self) -> int:
        return ceil(len(self.split) / self.size)

    @property
    def size(self) -> int:
        """The number of examples of the epoch in all batches but the last, which may be smaller.

        It is ``batch_size``, unless the last batch would have fewer than half as many, whose
        gradient is noise: then it is the smallest size with as many batches.

        >>> from reparam.data.transforms import Identity
        >>> [Batches(Split(torch.zeros(n)), Identity(), batch_size=100).size for n in (350, 301)]
        [100, 76]
        """
        n, size = len(self.split), self.batch_size
        return ceil(n / ceil(n / size)) if 0 < 2 * (n % size) < size else size

    @numbers(epoch=0, start=0)
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch ``start`` on."""
        picks = self._in_blocks if self.shuffle and self.split.mapped else self._by_index
        numbers = range(start, len(self))
        for number, (picked, weight) in zip(numbers, picks(epoch, start), strict=False):
            if self.labeled is not None:
                more = self._drawn_from(self.labeled, epoch, number)
                picked = together([picked, self.split.picked(more.to(picked.x.device))])
            batch = self._batch(picked)
            yield batch if self.world_size == 1 else replace(batch, weight=weight)

    def _by_index(self, epoch: int, start: int) -> Iterator[tuple[Split, float]]:
        """Yield the stored examples of batches, picked by their numbers, and the weights."""
        order, size = self._order(epoch), self.size
        for number in range(start, len(self)):
            place = slice(number * size, (number + 1) * size)
            if order is None:
                yield self._shared(self.split.take(place))
            else:
                index, weight = self._share(order[place])
                yield self.split.picked(index), weight

    def _in_blocks(self, epoch: int, start: int) -> Iterator[tuple[Split, float]]:
        """Yield the stored examples of the batches, read from a mapped file, and the weights."""
        split = self.split
        if split.mapped is not None:
            for picked in in_blocks(split, split.mapped, self.seed, epoch, self.size, start):
                yield self._shared(picked)

    @numbers(epoch=0)
    def order(self, epoch: int) -> Tensor | None:
        """Return the order of an epoch, with shape (N,); None for that of the data."""
        return self._order(epoch)

    def _order(self, epoch: int) -> Tensor | None:
        # Epochs of small data are single steps, in which a check of the number takes a while.
        if not self.shuffle:
            return None
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
        return torch.randperm(len(self.split), generator=generator).to(self.split.x.device)

    def at(self, index: Tensor | slice) -> Batch:
        """Return the examples of an index, with shape (B,), as a batch."""
        take, picked = self.split.take, self.split.picked
        return self._batch(take(index) if isinstance(index, slice) else picked(index))

    def _batch(self, picked: Split) -> Batch:
        if self.split.mapped is not None:
            picked = picked.each(lambda values: values.to(self.device))
        return picked.batch(self.transform(picked.x), self.spec)

    def indexed(self) -> "Batches | None":
        """Return these batches, where they are picks by index from examples on the device.

        None if a batch has further examples, or is shared, or if the examples are mapped.
        """
        is_plain = self.labeled is None and self.world_size == 1
        return self if is_plain and self.split.mapped is None else None

    def unshared(self) -> "Batches":
        """Return the batches of all processes together."""
        return replace(self, rank=0, world_size=1)

    def _drawn_from(self, labeled: Tensor, epoch: int, number: int) -> Tensor:
        """Return the labeled examples that a batch holds beside those of the epoch."""
        n, n_extra = len(labeled), max(self.world_size, self.batch_size // 4)
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch, number))
        orders = [torch.randperm(n, generator=generator) for _ in range(0, n_extra, n)]
        return self._share(labeled[torch.cat(orders)[:n_extra]])[0]

    def _share(self, index: Tensor) -> tuple[Tensor, float]:
        """Return this process's share of the index of a batch, and its weight."""
        places, weight = share_of(len(index), self.rank, self.world_size)
        return index[places], weight

    def _shared(self, whole: Split) -> tuple[Split, float]:
        """Return this process's share of the examples of a batch, and its weight."""
        places, weight = share_of(len(whole), self.rank, self.world_size)
        return (whole if self.world_size == 1 else whole.take(places)), weight
