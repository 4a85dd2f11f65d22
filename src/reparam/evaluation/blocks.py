"""Examples block by block, as an evaluation goes through them."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from reparam.batch import Batch, in_chunks, to_device

Progress = Callable[[int, int], None]
"""Told (examples done, examples in all) after every block of examples."""


def blocks(
    batch: Batch, size: int, device: torch.device, progress: Progress | None = None
) -> Iterator[Batch]:
    """Yield a batch in blocks, in floats on the device, and tell the progress after each.

    Arguments:
        batch: The examples, anywhere.
        size: How many examples a block has at most.
        device: Where the blocks are wanted.
        progress: Called with (examples done, examples in all).

    >>> [len(b) for b in blocks(Batch(torch.zeros(5, 2)), 3, torch.device("cpu"))]
    [3, 2]
    """
    done = 0
    for chunk in in_chunks(batch, size):
        block = to_device(chunk, device)
        yield block if block.x.dtype == torch.float64 else replace(block, x=block.x.float())
        done += len(block)
        if progress is not None:
            progress(done, len(batch))
