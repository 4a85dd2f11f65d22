r"""The order of the examples of a mapped file: permuted blocks, read one buffer after another.

The N rows of a file are :math:`M = \lceil N/b \rceil` blocks of b consecutive rows, of which the
last may have fewer. In epoch e a permutation :math:`\pi_e` of the blocks is drawn. Buffer j holds
the blocks :math:`\pi_e(jm), \dots, \pi_e(jm + m - 1)`, and its rows are permuted by
:math:`\sigma_{e,j}`. The order of the epoch is buffer 0, buffer 1, and so on. It contains every row
once, and batch k is its places from kB to (k + 1)B - 1, which may lie in two buffers.

:math:`\pi_e` follows from (seed, e) and :math:`\sigma_{e,j}` from (seed, e, j) alone. So an epoch
goes on at batch k with the buffer that holds place kB, and those before it are not read. Memory is
that of two buffers: one is trained on while a thread reads the next one.

A file that is sorted, for example by class, is mixed by the m blocks of a buffer, which come from
all of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil

import torch
from torch import Generator, Tensor

from reparam.data.dataset import Split
from reparam.data.mapped import Mapped, read_ahead
from reparam.utils.seeding import mixed_seed

BLOCK_BYTES = 2**18
"""The bytes that are read at once, at least a row: below it a disk reads more slowly."""

BUFFER_BYTES = 2**28
"""The bytes of a buffer, at least a block."""

MOST_BUFFERED = 2**22
"""The largest number of rows of a buffer, whose permutation is in memory too."""


@dataclass(frozen=True)
class BlockOrder:
    """Orders of n rows by permuted blocks.

    Arguments:
        n: The number of rows N.
        block: The number of rows b of a block.
        n_blocks: The number of blocks m of a buffer.
        seed: The seed of the orders.

    Example:
        >>> order = BlockOrder(n=7, block=2, n_blocks=2)
        >>> sorted(place for buffer in order.buffers(epoch=0) for part in buffer for place in part)
        [0, 1, 2, 3, 4, 5, 6]
    """

    n: int
    block: int
    n_blocks: int
    seed: int = 0

    def buffers(self, epoch: int) -> list[list[range]]:
        """Return the blocks of every buffer of an epoch, in the order of the file in each."""
        generator = Generator().manual_seed(mixed_seed(self.seed, epoch))
        numbers = torch.randperm(ceil(self.n / self.block), generator=generator)
        return [
            [
                range(number * self.block, min((number + 1) * self.block, self.n))
                for number in sorted(part.tolist())
            ]
            for part in numbers.split(self.n_blocks)
        ]

    def within(self, epoch: int, buffer: int, n_rows: int) -> Tensor:
        """Return the order of the rows of a buffer, with shape (n_rows,)."""
        generator = Generator().manual_seed(mixed_seed(self.seed, epoch, buffer))
        return torch.randperm(n_rows, generator=generator)


def order_of(mapped: Mapped, seed: int) -> BlockOrder:
    """Return the orders of a mapped file, whose blocks and buffers have a limited size."""
    block = max(1, BLOCK_BYTES // mapped.row_bytes)
    n_blocks = min(BUFFER_BYTES // (block * mapped.row_bytes), MOST_BUFFERED // block)
    return BlockOrder(len(mapped), block, max(1, n_blocks), seed)


def in_blocks(
    split: Split, mapped: Mapped, seed: int, epoch: int, size: int, start: int = 0
) -> Iterator[Split]:
    """Yield the stored examples of the batches of an epoch, in the order of ``BlockOrder``.

    Arguments:
        split: The examples.
        mapped: The file that they are in.
        seed: The seed of the orders.
        epoch: The number of the epoch.
        size: The number of examples of a batch; the last batch may have fewer.
        start: The number of the first batch.

    Raises:
        DataError: The file was removed or changed.
    """
    order = order_of(mapped, seed)
    buffers = order.buffers(epoch)
    skipped, first = start * size, 0
    while first < len(buffers) and skipped >= sum(map(len, buffers[first])):
        skipped -= sum(map(len, buffers[first]))
        first += 1
    parts: list[Split] = []
    n_missing = size
    for number, held in enumerate(
        read_ahead(partial(_buffer, split, mapped), buffers[first:]), first
    ):
        left = order.within(epoch, number, len(held))[skipped:]
        skipped = 0
        while len(left):
            parts.append(held.picked(left[:n_missing]))
            left, n_missing = left[n_missing:], n_missing - len(parts[-1])
            if n_missing == 0:
                yield together(parts)
                parts, n_missing = [], size
    if parts:
        yield together(parts)


def _buffer(split: Split, mapped: Mapped, parts: list[range]) -> Split:
    """Return the examples of some blocks, read from the file."""

    def picked(values: Tensor | None) -> Tensor | None:
        return None if values is None else torch.cat([values[p.start : p.stop] for p in parts])

    return Split(mapped.read(parts, split.x), picked(split.y), picked(split.covariates))


def together(parts: list[Split]) -> Split:
    """Return the examples of several parts as one.

    >>> together([Split(torch.zeros(2, 1)), Split(torch.ones(1, 1))]).x.flatten()
    tensor([0., 0., 1.])
    """
    if len(parts) == 1:
        return parts[0]

    def joined(values: list[Tensor | None]) -> Tensor | None:
        there = [each for each in values if each is not None]
        return torch.cat(there) if there else None

    x = torch.cat([part.x for part in parts])
    return Split(x, joined([p.y for p in parts]), joined([p.covariates for p in parts]))
