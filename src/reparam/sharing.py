"""Rows that several processes share: each computes some chunks, and all have the whole result.

The draws of a chunk follow from the seed and its number alone, and the size of a chunk does not
depend on the number of processes. So the result is that of one process, in the order of the rows.
"""

from collections.abc import Callable
from contextlib import nullcontext
from math import ceil
from typing import Protocol, TypeVar

import torch

from reparam.batch import Batch, in_chunks, to_device
from reparam.utils.seeding import mixed_seed, seeded

T = TypeVar("T")


class Processes(Protocol):
    """The processes of a program, of which this is one."""

    @property
    def rank(self) -> int:
        """The number of this process."""

    @property
    def world_size(self) -> int:
        """The number of processes."""

    def first(self, value: T) -> T:
        """Return the value of the first process, for which the others wait."""

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes in order; tensors are on the CPU."""


class OneProcess:
    """A process without others."""

    rank = 0
    world_size = 1

    def first(self, value: T) -> T:
        """Return the value."""
        return value

    def gather(self, value: T) -> list[T]:
        """Return a list of the value."""
        return [value]


ALONE = OneProcess()
"""The default of functions that several processes can share."""


def each_chunk(
    compute: Callable[[Batch], T],
    examples: Batch,
    size: int,
    device: torch.device,
    *,
    seed: int | None = None,
    processes: Processes = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> list[T]:
    """Return the results of a function of every chunk of examples, in their order.

    Arguments:
        compute: A function of a chunk on the device. With several processes its result has tensors
            on the CPU.
        examples: The examples, anywhere.
        size: The number of examples of a chunk.
        device: The device.
        seed: The seed that the draws of every chunk follow from; None to draw as outside.
        processes: The processes that share the chunks, in turns.
        progress: Called with (examples done in all processes, examples in all).

    Example:
        >>> five, device = Batch(torch.zeros(5, 1)), torch.device("cpu")
        >>> found = each_chunk(lambda chunk: chunk.x + torch.rand(1), five, 2, device, seed=0)
        >>> again = each_chunk(lambda chunk: torch.rand(1), five, 3, device, seed=0)
        >>> [len(part) for part in found], bool(found[0][0] == again[0])
        ([2, 2, 1], True)
    """
    rank, n = processes.rank, processes.world_size
    own: list[T] = []
    for number, chunk in enumerate(in_chunks(examples, size)):
        if number % n != rank:
            continue
        with nullcontext() if seed is None else seeded(device, _seed_of(seed, number)):
            own.append(compute(to_device(chunk, device)))
        if progress is not None:
            # The others have done as many chunks, or nearly so.
            progress(min(len(examples), (number - rank + n) * size), len(examples))
    found = processes.gather(own)
    return [found[number % n][number // n] for number in range(ceil(len(examples) / size))]


def _seed_of(seed: int, number: int) -> int:
    """Return the seed of a chunk; that of the first one is the seed itself."""
    return mixed_seed(seed, number) if number else seed
