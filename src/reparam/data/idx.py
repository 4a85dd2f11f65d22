"""IDX files, the format of MNIST and Fashion-MNIST, gzipped or not."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reparam.errors import DataError

# The third byte of an IDX file says the type of its entries.
UINT8 = 0x08

FIX = "replace it with the official file, or delete it so that it is downloaded again"


def read_bytes(path: Path) -> bytes:
    """Return what a file holds, decompressed if it begins as gzip does.

    Raises:
        DataError: A file that is missing or unreadable, or gzip that is corrupt or cut short.
    """
    with reading(path, "gzip file"):
        content = path.read_bytes()
        # At once: a file object would decompress in small pieces, which takes half as long again.
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what goes wrong while a file is read into one sentence.

    Arguments:
        path: The file.
        kind: What it should be.

    Raises:
        DataError: The file is missing or unreadable, or is not a whole file of its kind.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise DataError(
            f"{path} is damaged: a whole {kind} was expected and this one fails with "
            f"'{error}', so {FIX}"
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): a readable file is needed there, so {FIX}"
        ) from error


def read_idx(path: Path, n_axes: int) -> Tensor:
    """Return the array in an IDX file of unsigned bytes, with as many axes as expected.

    Arguments:
        path: The file, gzipped or not whatever it is called.
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
    content = read_bytes(path)
    magic = bytes([0, 0, UINT8, n_axes])
    start = 4 + 4 * n_axes
    if content[:4] != magic or len(content) < start:
        raise DataError(
            f"{path} is no IDX file of unsigned bytes with {n_axes} axes: it should begin with "
            f"0x{magic.hex()} and a header of {start} bytes but has 0x{content[:4].hex()} and "
            f"{len(content)} bytes, so {FIX}"
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=n_axes, offset=4))
    if len(content) != start + prod(shape):
        raise DataError(
            f"{path} is {'cut short' if len(content) < start + prod(shape) else 'too long'}: its "
            f"header promises {start + prod(shape)} bytes and it has {len(content)}, so {FIX}"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
