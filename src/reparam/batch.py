"""The minibatch: examples x, labels y and conditions c, as an objective takes them."""

import operator
from collections.abc import Callable, Iterator, Sequence
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
        c: The condition of each, with shape (B, C): the one-hot label, real covariates or both, as
            ``DataSpec.condition`` defines it. None for an unconditional model.
        step: The number of optimizer steps before this batch, for schedules. None outside
            training, where every schedule has its final value.
        progress: The fraction of all steps before this batch; 1 outside training. Both are
            tensors without dimensions where the step is recorded as a CUDA graph.
        weight: The weight of these examples among the shares of a batch that several processes
            have: their number divided by the mean number of a share.

    Example:
        >>> batch = Batch(torch.zeros(8, 4), y=torch.zeros(8, dtype=torch.long))
        >>> len(batch), batch.c is None
        (8, True)
    """

    x: Tensor
    y: Tensor | None = None
    c: Tensor | None = None
    step: float | Tensor | None = None
    progress: float | Tensor = 1.0
    weight: float = 1.0

    def __len__(self) -> int:
        return int(self.x.shape[0])


def in_chunks(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield a batch in consecutive parts of at most ``size`` examples.

    >>> import torch
    >>> [len(part) for part in in_chunks(Batch(torch.zeros(5, 2)), 2)]
    [2, 2, 1]
    """
    for start in range(0, len(batch), size):
        part = slice(start, start + size)
        yield _mapped(batch, operator.itemgetter(part))


def concatenated(batches: Sequence[Batch], n: int) -> Batch:
    """Return the first ``n`` examples of several batches as one batch.

    >>> concatenated([Batch(torch.zeros(3, 2)), Batch(torch.ones(3, 2))], 4).x[:, 0]
    tensor([0., 0., 0., 1.])
    """

    def joined(parts: list[Tensor | None]) -> Tensor | None:
        there = [part for part in parts if part is not None]
        return torch.cat(there)[:n] if there else None

    x = torch.cat([batch.x for batch in batches])[:n]
    return Batch(x, joined([b.y for b in batches]), joined([b.c for b in batches]))


def share_of(n: int, rank: int, world_size: int) -> tuple[slice, float]:
    """Return the places of a process's share of n examples, and its weight: see ``Batch``.

    With fewer examples than processes some have the first one, with the weight 0.

    Arguments:
        n: The number of examples.
        rank: The number of the process.
        world_size: The number of processes.

    Example:
        >>> share_of(5, 0, 2), share_of(5, 1, 2), share_of(1, 1, 2)
        ((slice(0, None, 2), 1.2), (slice(1, None, 2), 0.8), (slice(0, 1, None), 0.0))
    """
    own = len(range(rank, n, world_size))
    places = slice(rank, None, world_size) if own else slice(0, 1)
    return places, own * world_size / n


def shared(batch: Batch, rank: int, world_size: int) -> Batch:
    """Return the share of a process of a batch; the batch itself for a single process."""
    if world_size == 1:
        return batch
    places, weight = share_of(len(batch), rank, world_size)
    return replace(_mapped(batch, operator.itemgetter(places)), weight=weight)


def weights_type(module: nn.Module) -> torch.dtype | None:
    """Return the floating-point type of a module's weights; None for a module without such.

    >>> weights_type(nn.Linear(2, 1).double())
    torch.float64
    """
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def in_type_of(module: nn.Module, values: Tensor) -> Tensor:
    """Return floats in the type of a module's weights; integers unchanged.

    >>> in_type_of(nn.Linear(2, 1).double(), torch.zeros(2)).dtype
    torch.float64
    """
    dtype = weights_type(module)
    return values if dtype is None or not values.is_floating_point() else values.to(dtype)


def for_module(batch: Batch, module: nn.Module) -> Batch:
    """Return a batch with its floats in the type of a module's weights."""
    return _mapped(batch, lambda values: in_type_of(module, values))


def to_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return a batch on a device, detached from the graph of its tensors.

    >>> with torch.inference_mode():
    ...     batch = Batch(torch.ones(2))
    >>> to_device(batch, "cpu").x.is_inference()
    False
    """

    def moved(values: Tensor) -> Tensor:
        there = values.detach().to(device)
        # Tensors of torch.inference_mode cannot be saved for a gradient.
        return there.clone() if there.is_inference() else there

    return _mapped(batch, moved)


def _mapped(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch with a function applied to its x, y and c."""
    y = None if batch.y is None else function(batch.y)
    c = None if batch.c is None else function(batch.c)
    return replace(batch, x=function(batch.x), y=y, c=c)
