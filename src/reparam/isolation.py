"""Isolated computation: independent of the caller's modes, and without side effects.

Within ``isolated`` a model is in evaluation mode, in full precision and without gradients. Modes,
precision, device and random state are restored afterwards. ``workers`` and ``blocks`` divide a
computation among threads and into blocks of examples.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from reparam.batch import Batch, in_chunks, to_device
from reparam.errors import OptionError
from reparam.utils.seeding import branches, seeded

Piece = TypeVar("Piece")

Progress = Callable[[int, int], None]
"""A function of (examples done, examples in all), called after every block of examples."""


# The modes and tensors of a model and the precision of matrix products are shared by all threads.
# One lock for all models, because two computations that each need both of two models would block
# each other.
_alone = threading.RLock()


class _Helping(threading.local):
    """Whether this thread works for another one, which holds the lock."""

    now = False


_helping = _Helping()


def _renew_lock() -> None:
    # A process that is forked while another thread holds the lock would wait for it forever.
    global _alone
    _alone = threading.RLock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def default_modes() -> Iterator[None]:
    """Within the context, compute in torch's default modes, whatever modes the caller has set.

    Gradients are recorded, inference mode and autocast are off, and the default device is the CPU.

    Example:
        >>> with torch.inference_mode(), default_modes():
        ...     x = torch.ones(2, requires_grad=True) * 2
        >>> x.is_inference(), x.requires_grad
        (False, True)
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def make_trainable(model: nn.Module) -> None:
    """Replace the tensors of a model built in ``torch.inference_mode`` by ordinary tensors.

    Raises:
        OptionError: The model is on the device ``meta``, and has no values.

    Example:
        >>> with torch.inference_mode():
        ...     model = nn.Linear(2, 1)
        >>> make_trainable(model)
        >>> model(torch.ones(2)).backward()
    """
    copies: dict[int, Any] = {}
    for module in model.modules():
        holders: list[dict[str, Any]] = [module._parameters, module._buffers]
        for holder in holders:
            for name, tensor in holder.items():
                if tensor is not None and tensor.is_meta:
                    raise OptionError(
                        f"{name} of {type(module).__name__} is on the device 'meta' and has no "
                        "values: build the model on another device"
                    )
                if tensor is None or not tensor.is_inference():
                    continue
                copy = tensor.clone()
                if isinstance(tensor, nn.Parameter):
                    copy = nn.Parameter(copy, tensor.requires_grad)
                # Shared parameters stay shared.
                holder[name] = copies.setdefault(id(tensor), copy)


@contextmanager
def isolated(
    model: nn.Module, device: torch.device | str | None = None, seed: int | None = None
) -> Iterator[torch.device]:
    """Within the context, keep a model in evaluation mode, in full precision, without gradients.

    Half-precision parameters become float32; float64 parameters stay float64. The mode of every
    module, all tensors of the model and the random state are restored afterwards, also after an
    error. Only one thread at a time is in such a context.

    Arguments:
        model: The model.
        device: The device of the computation; None for the device of the model.
        seed: The seed of all draws in the context; None to draw as outside.

    Returns:
        A context whose value is the device.

    Example:
        >>> model = nn.Linear(2, 2).train().half()
        >>> with isolated(model, seed=0):
        ...     model.training, model.weight.dtype
        (False, torch.float32)
        >>> model.training, model.weight.dtype
        (True, torch.float16)
    """
    with ExitStack() as stack:
        # A thread that works for the one with the lock would wait forever.
        if not _helping.now:
            stack.enter_context(_alone)
        # Read under the lock, because another thread may have moved the model.
        first = next(model.parameters(), torch.empty(0))
        target = first.device if device is None else torch.device(device)
        stack.enter_context(default_modes())
        stack.enter_context(torch.no_grad())
        stack.enter_context(_evaluation_mode(model))
        stack.enter_context(_full_precision(model, target))
        if seed is not None:
            stack.enter_context(seeded(target, seed))
        yield target


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    # Of each module, because a part may be in evaluation mode while the rest is trained.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def in_float64(model: nn.Module) -> Iterator[None]:
    """Within the context, keep the parameters and buffers of a model in float64.

    >>> model = nn.Linear(2, 2)
    >>> with in_float64(model):
    ...     model(torch.ones(2, dtype=torch.float64)).dtype
    torch.float64
    >>> model.weight.dtype
    torch.float32
    """
    with _put_back(model):
        model.double()
        yield


@contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    """Restore the parameters and buffers of a model at the end of the context."""
    parameters = [(parameter, parameter.data) for parameter in model.parameters()]
    buffers = [
        (module._buffers, name, buffer)
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    try:
        yield
    finally:
        for parameter, data in parameters:
            parameter.data = data
        for holder, name, buffer in buffers:
            holder[name] = buffer


@contextmanager
def _full_precision(model: nn.Module, device: torch.device) -> Iterator[None]:
    half = [p for p in model.parameters() if p.dtype in (torch.float16, torch.bfloat16)]
    is_elsewhere = any(t.device != device for t in (*model.parameters(), *model.buffers()))
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        with _put_back(model):
            if half or is_elsewhere:
                model.to(device, dtype=torch.float32 if half else None)
            # TensorFloat-32 has a mantissa of ten bits, too few for a log-likelihood.
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32


class Workers(NamedTuple):
    """Threads that work on pieces in parallel.

    Arguments:
        n: The number of threads.
        pool: The threads; None for the thread of the caller.
    """

    n: int = 1
    pool: ThreadPoolExecutor | None = None

    def each(self, work: Callable[[Piece], None], pieces: Iterable[Piece]) -> None:
        """Call a function for every piece, without gradients, and return when all are done.

        The draws of a piece depend on its number and the random state of the caller only.
        """
        branch = branches()

        def alone(number: int, piece: Piece) -> None:
            # The gradient mode and the generators belong to a thread.
            with torch.no_grad(), branch(number):
                before, _helping.now = _helping.now, True
                try:
                    work(piece)
                finally:
                    _helping.now = before

        run = map if self.pool is None else self.pool.map
        for _ in run(alone, count(), pieces):
            pass


@contextmanager
def workers(device: torch.device) -> Iterator[Workers]:
    """Within the context, use as many independent threads as torch uses for one operation.

    torch's threads share every operation, and wait for the slowest at its end. On a busy machine
    many small operations are several times slower by this. Within the context torch uses one thread
    for each operation.

    >>> with workers(torch.device("cpu")) as some:
    ...     some.each(print, ["piece"])
    piece
    """
    n = torch.get_num_threads()
    if device.type != "cpu" or n == 1:
        yield Workers()
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(n) as pool:
            yield Workers(n, pool)
    finally:
        torch.set_num_threads(n)


def as_floats(batch: Batch) -> Batch:
    """Return a batch whose x is float32, or float64 as it is."""
    return batch if batch.x.dtype == torch.float64 else replace(batch, x=batch.x.float())


def blocks(
    batch: Batch, size: int, device: torch.device, progress: Progress | None = None
) -> Iterator[Batch]:
    """Yield a batch in blocks, as floats on a device, and report the progress after each block.

    Arguments:
        batch: The examples, on any device.
        size: The largest number of examples in a block.
        device: The device of the blocks.
        progress: A function of (examples done, examples in all); None for none.

    >>> [len(b) for b in blocks(Batch(torch.zeros(5, 2)), 3, torch.device("cpu"))]
    [3, 2]
    """
    done = 0
    for chunk in in_chunks(batch, size):
        block = to_device(chunk, device)
        yield as_floats(block)
        done += len(block)
        if progress is not None:
            progress(done, len(batch))
