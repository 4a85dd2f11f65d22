"""Memory: sizes that a machine cannot hold end in one sentence that names what to make smaller."""

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
"""What a model needs that will be trained: its weights, their gradient, and Adam's two moments."""

_MAKERS = (torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.empty)


@contextmanager
def allocating(**sizes: Any) -> Iterator[None]:
    """Turn the failure of an allocation into a sentence that names the largest of some sizes.

    Arguments:
        sizes: What the memory is for: options that are whole numbers or lists of them.

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
def building(**sizes: Any) -> Iterator[None]:
    """Refuse a model that does not fit into the memory, before its weights are filled.

    Arguments:
        sizes: The options that it is built from.

    Raises:
        OptionError: It does not fit.

    Example:
        >>> with building(latent_dim=2, hidden=(10**9, 10**9)):
        ...     nn.Linear(10**9, 10**9)
        Traceback (most recent call last):
        reparam.errors.OptionError: hidden=(1000000000, 1000000000): takes 4 EB of memory ...
    """
    free = available()
    # Where there is an accelerator, nothing but the weights themselves has to fit here.
    copies = 1 if torch.accelerator.is_available() else _COPIES.get()
    total, thread = 0, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal total
        if threading.get_ident() != thread:
            return  # the hook is one of the process
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
    """Hold models to be built for their weights alone, so that they may be larger."""
    token = _COPIES.set(1)
    try:
        yield
    finally:
        _COPIES.reset(token)


def require_memory(n_bytes: float, device: torch.device | None = None, **sizes: Any) -> None:
    """Refuse what needs more memory than there is.

    Arguments:
        n_bytes: How much it needs.
        device: Where; the CPU when None.
        sizes: What the memory is for: options that are whole numbers or lists of them.

    Raises:
        OptionError: There is less.

    Example:
        >>> require_memory(4e15, n_samples=10**15)
        Traceback (most recent call last):
        reparam.errors.OptionError: n_samples=1000000000000000: takes 4 PB of memory ...
    """
    if n_bytes > available(device):
        raise _too_large(n_bytes, sizes)


class _Watched(TorchFunctionMode):
    """Tell the size of every tensor that is about to be made and filled."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _MAKERS:
            size = {k: v for k, v in given.items() if k in ("size", "fill_value", "dtype")}
            self._tell(func(*args, **size, device="meta").nbytes)
        return func(*args, **given)


def memory_error(error: BaseException, **sizes: Any) -> OptionError | None:
    """Return the sentence for an allocation that failed; None for another kind of error.

    Arguments:
        error: What was raised.
        sizes: What the memory is for: options that are whole numbers or lists of them.

    Example:
        >>> print(memory_error(MemoryError(), n_samples=10**15))
        n_samples=1000000000000000: takes more memory than any machine has at once, and ...
    """
    n_bytes = failed_allocation(error)
    return None if n_bytes is None else _too_large(n_bytes, sizes)


def failed_allocation(error: BaseException) -> float | None:
    """Return how many bytes an error says could not be had; None for another kind of error.

    Where it says no number, they are infinitely many.

    >>> failed_allocation(MemoryError()), failed_allocation(RuntimeError("shapes differ"))
    (inf, None)
    """
    said = str(error)
    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _FAILURE.search(said):
        return None
    found = _BYTES.search(said)
    return float(found[1]) if found else inf


def available(device: torch.device | None = None) -> float:
    """Return how many bytes this process may still take: infinitely many where nobody tells.

    Arguments:
        device: Where; the CPU when None.

    >>> available() > 0
    True
    """
    if device is not None and device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min(_free(), _under_limit())


def _free() -> float:
    """Return what the machine has free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = {line.partition(":")[0]: float(line.split()[1]) * 1024 for line in lines}
        return known["MemAvailable"] + known["SwapFree"]
    except (OSError, ValueError, KeyError, IndexError):
        return inf


def _under_limit() -> float:
    """Return what the limits of this process and of its control group leave."""
    left = [inf]
    with suppress(OSError, ValueError, ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            left.append(float(limit - pages * resource.getpagesize()))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        # What was read from files is given back where memory is needed.
        stat = (group / "memory.stat").read_text(encoding="ascii").split()
        cached = int(stat[stat.index("inactive_file") + 1])
        limit, used = (
            int((group / f"memory.{name}").read_text(encoding="ascii"))
            for name in ("max", "current")
        )
        left.append(float(limit - used + cached))
    return min(left)


def _too_large(n_bytes: float, sizes: Mapping[str, Any]) -> OptionError:
    """Return the sentence for memory that is not to be had."""
    takes = f"takes {_words(n_bytes)} at once, and {_words(available())} is free"
    named = {name: size for name, value in sizes.items() if (size := _size(value)) > 0}
    if not named:
        return OptionError(f"this {takes}: make the model, the batch or what is drawn smaller")
    largest = max(named, key=lambda name: named[name])
    return OptionError(f"{largest}={sizes[largest]}: {takes}; make it smaller")


def _size(value: Any) -> float:
    """Return how much an option counts: the product of a list of sizes; 0 for no size."""
    if isinstance(value, list | tuple):
        return float(prod(map(_size, value))) if value else 0.0
    is_size = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_size else 0.0


def _words(n_bytes: float) -> str:
    """Return a number of bytes as people say it.

    >>> _words(25.6e9), _words(inf)
    ('25.6 GB of memory', 'more memory than any machine has')
    """
    if n_bytes == inf:
        return "more memory than any machine has"
    unit, size = next(((u, s) for u, s in _UNITS if n_bytes >= s), ("bytes", 1.0))
    return f"{max(n_bytes, 0) / size:.3g} {unit} of memory"
