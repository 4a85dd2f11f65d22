"""Memory: an allocation that fails becomes one sentence with the argument to make smaller.

``require_memory`` compares a size with the free memory before anything is allocated, ``building``
does so for the weights of a model, and ``allocating`` translates the error of a failed allocation.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import inf, prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from reparam.errors import OptionError, ReparamError

_FAILURE = re.compile(
    r"can't allocate memory|bad_alloc|Storage size calculation overflowed|out of memory|"
    r"integer multiplication overflow|Unable to allocate|Cannot allocate memory|"
    r"Overflow when unpacking|array is too big"
)
_BYTES = re.compile(r"allocate (\d+) bytes")

_UNITS = (("EB", 1e18), ("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

_COPIES = ContextVar("copies", default=4)
"""The copies of the weights in training: the weights, their gradient and Adam's two moments."""

NEGLIGIBLE = 2**12
"""Bytes that any machine has free."""

_MAKERS = (torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.empty)


@contextmanager
def allocating(**sizes: object) -> Iterator[None]:
    """Translate a failed allocation into an error that names the largest of some sizes.

    Arguments:
        sizes: The arguments that the memory depends on, whole numbers or lists of them, by name.

    Raises:
        OptionError: The memory could not be allocated.

    Example:
        >>> with allocating(n_samples=10**15, n_steps=10):
        ...     torch.zeros(10**15)
        Traceback (most recent call last):
        reparam.errors.OptionError: n_samples=1000000000000000: takes 4 PB of memory ...
    """
    try:
        yield
    except ReparamError:
        raise
    except Exception as error:
        needed = memory_error(error, **sizes)
        if needed is None:
            raise
        raise needed from error


@contextmanager
def building(**sizes: object) -> Iterator[None]:
    """Refuse a model that does not fit into the memory, before its weights are initialized.

    Arguments:
        sizes: The arguments that the model is built from, by name.

    Raises:
        OptionError: The model does not fit.

    Example:
        >>> with building(latent_dim=2, hidden=(10**9, 10**9)):
        ...     nn.Linear(10**9, 10**9)
        Traceback (most recent call last):
        reparam.errors.OptionError: hidden=(1000000000, 1000000000): takes 4 EB of memory ...
    """
    free = available()
    # With an accelerator only the weights have to fit into this memory.
    copies = 1 if torch.accelerator.is_available() else _COPIES.get()
    total, thread = 0, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal total
        if threading.get_ident() != thread:
            return  # the hook is called for all threads of the process
        if parameter is not None:
            total += copies * parameter.nbytes
        if total > free:
            raise _too_large(total, sizes)

    def check(n_bytes: int) -> None:
        if n_bytes > free:
            raise _too_large(n_bytes, sizes)

    handle = register_module_parameter_registration_hook(count)
    try:
        with allocating(**sizes), _Watched(check):
            yield
    finally:
        handle.remove()


@contextmanager
def without_training() -> Iterator[None]:
    """Within the context, let ``building`` count the weights once, for models that only predict."""
    token = _COPIES.set(1)
    try:
        yield
    finally:
        _COPIES.reset(token)


def require_memory(n_bytes: float, device: torch.device | None = None, **sizes: object) -> None:
    """Refuse a computation that needs more memory than is free.

    Arguments:
        n_bytes: The bytes that it needs.
        device: The device of the memory; the CPU when None.
        sizes: The arguments that the memory depends on, whole numbers or lists of them, by name.

    Raises:
        OptionError: Less memory is free.

    Example:
        >>> require_memory(4e15, n_samples=10**15)
        Traceback (most recent call last):
        reparam.errors.OptionError: n_samples=1000000000000000: takes 4 PB of memory ...
    """
    # To ask the system takes longer than a small computation.
    if n_bytes > NEGLIGIBLE and n_bytes > available(device):
        raise _too_large(n_bytes, sizes)


class _Watched(TorchFunctionMode):
    """Call a function with the bytes of every tensor that is about to be allocated."""

    def __init__(self, check: Callable[[int], None]) -> None:
        super().__init__()
        self._check = check

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _MAKERS:
            size = {k: v for k, v in given.items() if k in ("size", "fill_value", "dtype")}
            self._check(func(*args, **size, device="meta").nbytes)
        return func(*args, **given)


def memory_error(error: BaseException, **sizes: object) -> OptionError | None:
    """Return the error to raise for a failed allocation; None for any other error.

    Arguments:
        error: The error that was raised.
        sizes: The arguments that the memory depends on, whole numbers or lists of them, by name.

    Example:
        >>> print(memory_error(MemoryError(), n_samples=10**15))
        n_samples=1000000000000000: takes more memory than any machine has at once, and ...
    """
    text = str(error)
    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _FAILURE.search(text):
        return None
    n_bytes = _BYTES.search(text)
    return _too_large(float(n_bytes[1]) if n_bytes else inf, sizes)


def available(device: torch.device | None = None) -> float:
    """Return the bytes that this process can still allocate; inf where they are not known.

    Arguments:
        device: The device of the memory; the CPU when None.

    >>> available() > 0
    True
    """
    if device is not None and device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min(_free(), _under_limit())


def _free() -> float:
    """Return the free bytes of the machine, with swap; inf where they are not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = {line.partition(":")[0]: float(line.split()[1]) * 1024 for line in lines}
        return known["MemAvailable"] + known["SwapFree"]
    except (OSError, ValueError, KeyError, IndexError):
        return inf


def _under_limit() -> float:
    """Return the bytes left under the limits of this process and of its control group."""
    left = [inf]
    with suppress(OSError, ValueError, ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            left.append(float(limit - pages * resource.getpagesize()))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        # The cache of files is freed when memory is needed.
        stat = (group / "memory.stat").read_text(encoding="ascii").split()
        cached = int(stat[stat.index("inactive_file") + 1])
        limit, used = (
            int((group / f"memory.{name}").read_text(encoding="ascii"))
            for name in ("max", "current")
        )
        left.append(float(limit - used + cached))
    return min(left)


def _too_large(n_bytes: float, sizes: Mapping[str, Any]) -> OptionError:
    """Return the error for bytes that are not free, with the largest of some sizes."""
    takes = f"takes {of_memory(n_bytes)} at once, and {of_memory(available())} is free"
    named = {name: size for name, value in sizes.items() if (size := _size(value)) > 0}
    if not named:
        return OptionError(f"this {takes}: use a smaller model or batch, or fewer samples")
    largest = max(named, key=lambda name: named[name])
    return OptionError(f"{largest}={sizes[largest]}: {takes}; make it smaller")


def _size(value: Any) -> float:
    """Return the value of a size: the product of a list of sizes, and 0 for other arguments."""
    if isinstance(value, list | tuple):
        return float(prod(map(_size, value))) if value else 0.0
    is_size = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_size else 0.0


def of_memory(n_bytes: float) -> str:
    """Return a number of bytes with a unit.

    >>> of_memory(25.6e9), of_memory(inf)
    ('25.6 GB of memory', 'more memory than any machine has')
    """
    if n_bytes == inf:
        return "more memory than any machine has"
    unit, size = next(((u, s) for u, s in _UNITS if n_bytes >= s), ("bytes", 1.0))
    return f"{max(n_bytes, 0) / size:.3g} {unit} of memory"
