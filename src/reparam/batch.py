"""What an objective is given: one minibatch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from reparam.utils.equality import by_value


@by_value
@dataclass(frozen=True)
class Batch:
    """One minibatch on the device.

    Arguments:
        x: The examples, with shape (B, *shape).
        y: Their labels, with shape (B,); None without labels.
        c: What the model is conditioned on, with shape (B, C); None for an unconditional model.
        step: The number of optimizer steps taken before this batch, for schedules. None outside
            training, where every schedule has its last value.
        progress: The share of all steps that were taken before this batch; 1 outside training.
            Both are tensors without dimensions where the step is to be recorded as a graph.
    """

    x: Tensor
    y: Tensor | None = None
    c: Tensor | None = None
    step: int | Tensor | None = None
    progress: float | Tensor = 1.0

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
        yield replace(batch, x=batch.x[part], y=y, c=c)


def concatenated(batches: Sequence[Batch], n: int) -> Batch:
    """Return the first n examples of several batches as one.

    >>> concatenated([Batch(torch.zeros(3, 2)), Batch(torch.ones(3, 2))], 4).x[:, 0]
    tensor([0., 0., 0., 1.])
    """

    def joined(parts: list[Tensor | None]) -> Tensor | None:
        there = [part for part in parts if part is not None]
        return torch.cat(there)[:n] if there else None

    x = torch.cat([batch.x for batch in batches])[:n]
    return Batch(x, joined([b.y for b in batches]), joined([b.c for b in batches]))


def weights_type(module: nn.Module) -> torch.dtype | None:
    """Return the type of a module's weights; None for one without any in floats.

    >>> weights_type(nn.Linear(2, 1).double())
    torch.float64
    """
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def in_type_of(module: nn.Module, values: Tensor) -> Tensor:
    """Return floats in the type of a module's weights; whole numbers as they are.

    >>> in_type_of(nn.Linear(2, 1).double(), torch.zeros(2)).dtype
    torch.float64
    """
    dtype = weights_type(module)
    return values if dtype is None or not values.is_floating_point() else values.to(dtype)


def for_module(batch: Batch, module: nn.Module) -> Batch:
    """Return a batch whose floats have the type of a module's weights."""
    x = in_type_of(module, batch.x)
    c = None if batch.c is None else in_type_of(module, batch.c)
    return batch if x is batch.x and c is batch.c else replace(batch, x=x, c=c)


def to_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return a batch on a device, without the history of its tensors.

    >>> with torch.inference_mode():
    ...     batch = Batch(torch.ones(2))
    >>> to_device(batch, "cpu").x.is_inference()
    False
    """

    y = None if batch.y is None else _moved(batch.y, device)
    c = None if batch.c is None else _moved(batch.c, device)
    return replace(batch, x=_moved(batch.x, device), y=y, c=c)


def _moved(values: Tensor, device: torch.device | str) -> Tensor:
    """Return values on a device, without their history, in the same memory where that can be."""
    there = values.detach().to(device)
    # What was made under torch.inference_mode cannot be saved for a gradient.
    return there.clone() if there.is_inference() else there
