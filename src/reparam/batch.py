"""What an objective is given: one minibatch."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One minibatch on the device.

    Arguments:
        x: The examples, with shape (B, *shape).
        y: Their labels, with shape (B,); None without labels.
        c: What the model is conditioned on, with shape (B, C); None for an unconditional model.
        step: The number of optimizer steps taken before this batch, for schedules. None outside
            training, where every schedule has its last value.
    """

    x: Tensor
    y: Tensor | None = None
    c: Tensor | None = None
    step: int | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0])


def in_chunks(batch: Batch, size: int) -> Iterator[Batch]:
    """Return a batch in parts of at most so many examples.

    >>> import torch
    >>> [len(part) for part in in_chunks(Batch(torch.zeros(5, 2)), 2)]
    [2, 2, 1]
    """
    for start in range(0, len(batch), size):
        part = slice(start, start + size)
        y = None if batch.y is None else batch.y[part]
        c = None if batch.c is None else batch.c[part]
        yield Batch(batch.x[part], y, c, batch.step)


def to_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return a batch on a device."""
    y = None if batch.y is None else batch.y.to(device)
    c = None if batch.c is None else batch.c.to(device)
    return Batch(batch.x.to(device), y, c, batch.step)
