"""Examples that are made once and kept in the cache: a file of NumPy, and a file of facts on it.

Images are decoded and tables encoded into such a file, which is then mapped. Its name is the
SHA-256 of what it was made from, so that a source that changes is encoded again.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from reparam.data.download import cache_folder
from reparam.data.mapped import Mapped, checked, header_of
from reparam.errors import WriteError
from reparam.utils.files import read_json, replacing, write_json

FORMAT = 1
"""The number of the form of cached files, which a change of the encoding raises."""

_CHECKED = ("n_bytes", "changed", "sha256")
"""What was found by reading the file once."""


@dataclass(frozen=True)
class Cached:
    """A file of the cache.

    Arguments:
        mapped: The file.
        facts: What was found when it was made, as plain values.
    """

    mapped: Mapped
    facts: Mapping[str, Any]


def cached(kind: str, key: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]]) -> Cached:
    """Return the file of the cache for a key, which is made where there is none.

    Arguments:
        kind: The kind of the source, which names a folder of the cache.
        key: Plain values that determine the examples.
        make: A function that writes the file, and returns facts on it as plain values.

    Raises:
        WriteError: The disk is full, or the cache cannot be written.
    """
    told = json.dumps({"format": FORMAT, **key}, sort_keys=True, default=str)
    folder = cache_folder() / kind
    name = sha256(told.encode("utf-8", "surrogateescape")).hexdigest()
    place, record = folder / f"{name}.npy", folder / f"{name}.json"
    if place.exists() and record.exists():
        try:
            stored = read_json(record)
            known = replace(header_of(place), **{k: stored[k] for k in _CHECKED})
        except (OSError, ValueError, KeyError, TypeError):
            stored, known = {}, None  # damaged: it is made again
        now = place.stat()
        if known is not None and (known.n_bytes, known.changed) == (now.st_size, now.st_mtime_ns):
            return Cached(known, stored["facts"])
    with replacing(place) as temporary:
        facts = make(temporary)
    mapped = checked(header_of(place), lambda x, start: None)
    found = asdict(mapped)
    write_json(record, {**{k: found[k] for k in _CHECKED}, "facts": dict(facts)})
    return Cached(mapped, json.loads(json.dumps(dict(facts))))


def write_rows(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterable[NDArray[Any]]
) -> None:
    """Write an array in parts, as a file ``.npy``.

    Arguments:
        path: The file.
        shape: The shape of all parts together, (N, *shape).
        dtype: The type of an entry.
        parts: Arrays whose entries follow each other.

    Raises:
        OSError: The file cannot be written.
        WriteError: The disk has no room for it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "x.npy"
        ...     write_rows(file, (3, 1), np.dtype("f4"), [np.zeros((2, 1)), np.ones((1, 1))])
        ...     np.load(file).flatten().tolist()
        [0.0, 0.0, 1.0]
    """
    needed, free = prod(shape) * dtype.itemsize, shutil.disk_usage(path.parent).free
    if needed > free:
        raise WriteError(
            f"{path.parent} has {free / 1e9:.3g} GB free, and the encoded data take "
            f"{needed / 1e9:.3g}: free some, or set REPARAM_CACHE to a folder on another disk"
        )
    with path.open("wb") as stream:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        write_array_header_1_0(stream, header)
        for part in parts:
            stream.write(np.ascontiguousarray(part, dtype).data)
