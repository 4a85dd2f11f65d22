"""Arrays in files that are larger than memory: opened as tensors, and read by ranges of rows.

The tensor of a mapped file shares its memory with the file, so that a slice is read when it is
used. Rows that are held out must not be trained on, and the rest must stay one tensor. So the last
rows of the file take the places of those that are held out, in memory alone: the pages of the
mapping are copied when they are written to, and the file never changes.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from io import FileIO
from math import inf, prod
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from reparam.errors import DataError
from reparam.utils.files import reason
from reparam.utils.memory import available

SHARE_OF_MEMORY = 0.25
"""The share of the free memory from which on a file is mapped."""

CHUNK_BYTES = 2**24
"""The bytes of a chunk of the one pass over a file."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Mapped:
    """A file of NumPy whose rows are the stored examples of a split, all but those held out.

    Arguments:
        path: The file.
        offset: The place of the first row, in bytes.
        n_rows: The number of rows of the file.
        shape: The shape of an example.
        dtype: The type of its entries.
        n_bytes: The size of the file.
        changed: When the file was changed last, in nanoseconds.
        sha256: The SHA-256 of all of its rows.
        low: A bound of the values in it: the least one, where it was looked for.
        high: Another bound: the largest value.
        n_held: The number of rows that are held out.
        moved: The places of the examples that are other rows of the file, and these rows.
    """

    path: Path
    offset: int
    n_rows: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    n_bytes: int
    changed: int
    sha256: str = ""
    low: float = -inf
    high: float = inf
    n_held: int = 0
    moved: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return self.n_rows - self.n_held

    @property
    def row_bytes(self) -> int:
        """The number of bytes of a row."""
        return prod(self.shape) * self.dtype.itemsize

    def tensor(self) -> Tensor:
        """Return the examples, with shape (N, *shape), in memory that is shared with the file.

        Raises:
            DataError: The file was removed or changed.
        """
        with self._opened() as stream:
            n = self.n_rows * self.row_bytes
            flat = np.memmap(stream, np.uint8, "c", self.offset, shape=(n,))
        x = torch.from_numpy(flat).view(self.dtype).view(self.n_rows, *self.shape)
        if self.moved:
            places, rows = torch.tensor(self.moved).T
            x[places] = self._read([range(row, row + 1) for row in rows.tolist()])
        return x[: len(self)]

    def reshaped(self, shape: tuple[int, ...], dtype: torch.dtype) -> "Mapped":
        """Return the same file with another shape and type of an example, of the same size."""
        return replace(self, shape=shape, dtype=dtype)

    def without(self, held: Sequence[int]) -> "tuple[Mapped, Tensor]":
        """Return the examples without some of them, and which ones these are, with shape (M,).

        Arguments:
            held: The places of the examples to leave out, in any order.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> with TemporaryDirectory() as folder:
            ...     np.save(f"{folder}/x.npy", np.arange(6.0)[:, None])
            ...     rest, places = header_of(Path(folder) / "x.npy").without([1, 4])
            ...     rest.tensor().flatten().tolist(), places.tolist()
            ([0.0, 5.0, 2.0, 3.0], [0, 5, 2, 3])
        """
        out = set(held)
        n = len(self) - len(out)
        last = iter([place for place in range(n, len(self)) if place not in out])
        rows, places = dict(self.moved), torch.arange(n)
        for hole in sorted(place for place in out if place < n):
            place = next(last)
            rows[hole] = rows.get(place, place)
            places[hole] = place
        moved = tuple(sorted((place, row) for place, row in rows.items() if place < n))
        return replace(self, n_held=self.n_held + len(out), moved=moved), places

    def read(self, parts: Sequence[range], x: Tensor) -> Tensor:
        """Return some examples by reading the file, with shape (M, *shape), in their order.

        The pages of the mapping are not touched, so that they take no memory.

        Arguments:
            parts: The ranges of the places of the examples.
            x: The tensor that ``open`` returned, for the few that are in memory.

        Raises:
            DataError: The file was removed or changed.
        """
        found = self._read(parts)
        if self.moved:
            moved = np.array([place for place, _ in self.moved])
            begin = 0
            for part in parts:
                first, last = np.searchsorted(moved, (part.start, part.stop))
                for place in moved[first:last].tolist():
                    found[begin + place - part.start] = x[place]
                begin += len(part)
        return found

    def _read(self, parts: Sequence[range]) -> Tensor:
        """Return rows of the file."""
        found = torch.empty(sum(map(len, parts)), *self.shape, dtype=self.dtype)
        view, begin = memoryview(found.view(-1).view(torch.uint8).numpy().data), 0
        with self._opened() as stream:
            for part in parts:
                stream.seek(self.offset + part.start * self.row_bytes)
                end = begin + len(part) * self.row_bytes
                while begin < end:
                    n = stream.readinto(view[begin:end])
                    if not n:
                        raise self._refused("it ends too early")
                    begin += n
        return found

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        """Open the file, if it is the one that was checked.

        Raises:
            DataError: It was removed or changed.
        """
        try:
            with self.path.open("rb", buffering=0) as stream:
                now = os.fstat(stream.fileno())
                if (now.st_size, now.st_mtime_ns) != (self.n_bytes, self.changed):
                    raise self._refused("it was changed after it was loaded")
                yield stream
        except OSError as error:
            raise self._refused(reason(error)) from error

    def _refused(self, why: str) -> DataError:
        return DataError(
            f"{self.path} cannot be read further ({why}): a mapped file must stay as it is while "
            "it is used; restore it, or load it again"
        )


def header_of(path: Path) -> Mapped:
    """Return the rows that the header of a file of NumPy states, which are not read.

    Arguments:
        path: A file ``.npy``.

    Raises:
        DataError: A file that is missing, damaged, or in a layout that is not mapped.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.zeros((5, 2), np.uint8))
        ...     len(header_of(Path(folder) / "x.npy"))
        5
    """
    fix = "replace it"
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        stat = path.stat()
        if not isinstance(found, np.memmap):
            raise ValueError("it is no .npy")
        fix = "write it by numpy.save(path, numpy.ascontiguousarray(x)), or give mapped=False"
        if not found.flags.c_contiguous or not found.dtype.isnative:
            raise ValueError("its numbers lie in another order")
        if found.ndim == 0 or found.size == 0:
            raise ValueError("it has no rows")
        # Torch computes little in other types.
        dtype = torch.from_numpy(np.empty(0, found.dtype)).dtype
        if dtype.is_complex or (str(dtype).startswith("torch.uint") and dtype != torch.uint8):
            raise ValueError(f"it has numbers of type {found.dtype}")
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{path} cannot be mapped ({reason(error)}): {fix}") from error
    shape = tuple(found.shape[1:])
    return Mapped(path, found.offset, len(found), shape, dtype, stat.st_size, stat.st_mtime_ns)


def is_large(n_bytes: int) -> bool:
    """Return whether data of a size are mapped unless the user decides: a quarter of free memory.

    >>> is_large(10), is_large(10**18)
    (False, True)
    """
    return n_bytes > SHARE_OF_MEMORY * available()


def checked(mapped: Mapped, see: Callable[[Tensor, int], None]) -> Mapped:
    """Read a file once, and return it with its checksum.

    Arguments:
        mapped: The file.
        see: A function that is called with every chunk of rows, with shape (n, *shape), and the
            number of its first row.
    """
    digest = sha256()
    size = max(1, CHUNK_BYTES // mapped.row_bytes)
    parts = [range(a, min(a + size, mapped.n_rows)) for a in range(0, mapped.n_rows, size)]
    whole = replace(mapped, n_held=0, moved=())
    for part, x in zip(parts, read_ahead(lambda part: whole._read([part]), parts), strict=True):
        digest.update(x.view(-1).view(torch.uint8).numpy().data)
        see(x, part.start)
    return replace(mapped, sha256=digest.hexdigest())


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of a function, the next of which is made by a thread in the meantime.

    >>> list(read_ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as executor:
        coming: list[Future[Result]] = []
        for item in items:
            coming.append(executor.submit(read, item))
            if len(coming) > 1:
                yield coming.pop(0).result()
        for each in coming:
            yield each.result()
