"""IDX files, the format of MNIST and Fashion-MNIST, gzipped or not.

A file is a magic number (0, 0, type, number of axes), the size of each axis as 4 bytes, and the
entries. Damaged files, and files that unpack to far more than they should, are refused.
"""

import errno
import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reparam.errors import DataError
from reparam.utils.files import read_regular, reason

UINT8 = 0x08
"""The third byte of an IDX file of unsigned bytes."""

GZIP = b"\x1f\x8b"
"""The first bytes of a gzip file."""

FIX = "replace it with the official file, or delete it so that it is downloaded again"


LARGEST = 2**30
"""The largest size of a file in bytes, compressed and decompressed."""


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a file, decompressed if it is gzip.

    Arguments:
        path: The file.
        limit: The expected number of bytes. At most one more is returned, since a small file may
            decompress to more than the memory can hold.

    Raises:
        DataError: A file that is missing or unreadable, or gzip that is corrupt or cut short.
    """
    with reading(path, "gzip file"):
        return unpacked(read_regular(path, LARGEST), limit)


def unpacked(stored: bytes, limit: int) -> bytes:
    """Return stored bytes, decompressed if they are gzip, up to one byte over a limit.

    Raises:
        EOFError: The end is missing.
        gzip.BadGzipFile, zlib.error: They are corrupt.

    Example:
        >>> unpacked(gzip.compress(b"abcdef"), limit=3)
        b'abcd'
    """
    if stored[:2] != GZIP:
        return stored[: limit + 1]
    with gzip.GzipFile(fileobj=BytesIO(stored)) as file:
        return file.read(limit + 1)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn an error of reading a file into one sentence.

    Arguments:
        path: The file.
        kind: The expected kind of file, in words.

    Raises:
        DataError: The file is missing or unreadable, or is not a whole file of this kind.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise DataError(
            f"{path} is damaged: a whole {kind} was expected and this one fails with "
            f"'{error}', so {FIX}"
        ) from error
    except (MemoryError, OSError) as error:
        why, rule = reason(error), "a readable file is needed there"
        if isinstance(error, MemoryError):
            why = os.strerror(errno.ENOMEM)
            rule = f"it is larger than the {kind} that was expected"
        raise DataError(f"{path} cannot be read ({why}): {rule}, so {FIX}") from error


def read_idx(path: Path, n_axes: int) -> Tensor:
    """Return the array in an IDX file of unsigned bytes with the expected number of axes.

    Arguments:
        path: The file, gzipped or not, whatever its name.
        n_axes: The number of axes: 3 for images, with shape (N, height, width), 1 for labels.

    Raises:
        DataError: A file that is missing, damaged, of another kind, or too short or long for its
            header.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "labels-idx1-ubyte")
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
        ...     read_idx(path, n_axes=1)
        tensor([7, 8, 9], dtype=torch.uint8)
    """
    magic = bytes([0, 0, UINT8, n_axes])
    start = 4 + 4 * n_axes
    head = read_bytes(path, 2**16)[:start]
    if head[:4] != magic or len(head) < start:
        raise DataError(
            f"{path} is no IDX file of unsigned bytes with {n_axes} axes: it should begin with "
            f"0x{magic.hex()} in a header of {start} bytes but has 0x{head[:4].hex()} in "
            f"{len(head)} bytes, so {FIX}"
        )
    shape = tuple(int(n) for n in np.frombuffer(head, ">u4", count=n_axes, offset=4))
    size = start + prod(shape)
    if size > LARGEST:
        raise DataError(
            f"{path} is too long: its header promises {size} bytes and {LARGEST} are the most that "
            f"are read, so {FIX}"
        )
    content = read_bytes(path, size)
    if len(content) != size:
        wrong = "cut short: it has fewer" if len(content) < size else "too long: it has more"
        raise DataError(
            f"{path} is {wrong} than the {size} bytes that its header promises, so {FIX}"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
