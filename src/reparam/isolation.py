"""Computation that neither depends on the caller's modes nor leaves a trace, and block by block.

Modes, precision, device and random state are afterwards as before.
"""

import os
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
"""Told (examples done, examples in all) after every block of examples."""


# What an isolated computation holds is shared by all threads: the modes and the tensors of a model,
# and the precision of matrix products, which belongs to the process. One lock for all models, since
# two computations that each need both of two models must not wait for each other.
_alone = threading.RLock()


class _Helping(threading.local):
    """Whether a thread works for another one, which holds the lock."""

    now = False


_helping = _Helping()


def _renew_lock() -> None:
    # A process that is forked while another thread holds the lock would wait for it forever.
    global _alone
    _alone = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def plain_modes() -> Iterator[None]:
    """Compute as torch does by default, whatever modes the caller has switched on.

    Gradients are recorded, tensors are no inference tensors, nothing is cast automatically, and the
    default device is the CPU.

    Example:
        >>> with torch.inference_mode(), plain_modes():
        ...     x = torch.ones(2, requires_grad=True) * 2
        >>> x.is_inference(), x.requires_grad
        (False, True)
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def make_trainable(model: nn.Module) -> None:
    """Put ordinary copies in place of the tensors of a model made under ``torch.inference_mode``.

    Raises:
        OptionError: The model was made on the device ``meta``, so that it has no values.

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
                        f"{name} of {type(module).__name__} is on the device 'meta': it has no "
                        "values to train, so build the model on a device that has them"
                    )
                if tensor is None or not tensor.is_inference():
                    continue
                copy = tensor.clone()
                if isinstance(tensor, nn.Parameter):
                    copy = nn.Parameter(copy, tensor.requires_grad)
                # Tied parameters stay tied.
                holder[name] = copies.setdefault(id(tensor), copy)


@contextmanager
def isolated(
    model: nn.Module, device: torch.device | str | None = None, seed: int | None = None
) -> Iterator[torch.device]:
    """Hold a model in evaluation mode, in full precision, without gradients.

    Half-precision parameters are widened to float32; a float64 model stays one. Every module's
    mode, every tensor of the model and the random state are put back on leaving, errors included.
    Other threads that want to compute in this way wait meanwhile.

    Arguments:
        model: The model.
        device: Where it computes; None for where it is.
        seed: The seed of all draws inside; None leaves the random state to itself.

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
        # A thread that works for the one that holds the lock would wait for it forever.
        if not _helping.now:
            stack.enter_context(_alone)
        # Only now, since another thread may have moved the model meanwhile.
        first = next(model.parameters(), torch.empty(0))
        target = first.device if device is None else torch.device(device)
        stack.enter_context(plain_modes())
        stack.enter_context(torch.no_grad())
        stack.enter_context(_evaluation_mode(model))
        stack.enter_context(_full_precision(model, target))
        if seed is not None:
            stack.enter_context(seeded(target, seed))
        yield target


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    # Module by module, because a part may be frozen in evaluation mode while the rest trains.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def in_float64(model: nn.Module) -> Iterator[None]:
    """Hold the parameters and buffers of a model in float64.

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
    """Give a model, on leaving, the parameters and buffers that it came with."""
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
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        with _put_back(model):
            model.to(device, dtype=torch.float32 if half else None)
            # TensorFloat-32 keeps ten bits of the mantissa: no precision for a log-likelihood.
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32


class Workers(NamedTuple):
    """Threads that work on pieces side by side; without a pool, the caller's own.

    Arguments:
        n: The number of threads.
        pool: The threads.
    """

    n: int = 1
    pool: ThreadPoolExecutor | None = None

    def each(self, work: Callable[[Piece], None], pieces: Iterable[Piece]) -> None:
        """Do the work on every piece, without gradients, and wait until all is done.

        What a piece draws depends on its place and the random state of the caller, not on threads.
        """
        branch = branches()

        def alone(number: int, piece: Piece) -> None:
            # Every thread has a gradient mode and generators of its own.
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
    """Hold as many threads as torch uses on a CPU, with one thread for each operation.

    Threads that share every operation wait for the slowest at the end of each, which on a busy
    machine makes many small operations several times slower; threads with pieces of their own do
    not wait. torch's number of threads is put back on leaving.

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
