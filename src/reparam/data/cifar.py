"""CIFAR-10 in its official binary version, in which nothing is pickled."""

import gzip
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from reparam.data.dataset import Split
from reparam.data.idx import FIX, LARGEST, read_bytes, reading
from reparam.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")

# A file holds this many records, each a label and 32 x 32 pixels of red, then green, then blue.
RECORDS = 10_000
SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32


def read_cifar10(paths: Sequence[Path]) -> dict[str, Split]:
    """Return the official train and test splits, x uint8 with shape (N, 3, 32, 32).

    Arguments:
        paths: Where each of ``FILES`` is, in their order: the file itself, or the archive.

    Raises:
        DataError: Files that are missing or damaged.
    """
    archives = [path for path in paths if path.name == ARCHIVE]
    if archives:
        contents = read_archive(archives[0])
        where = {name: f"{name} in {archives[0]}" for name in FILES}
    else:
        size = RECORDS * RECORD_BYTES
        contents = {name: read_bytes(path, size) for name, path in zip(FILES, paths, strict=True)}
        where = {name: str(path) for name, path in zip(FILES, paths, strict=True)}
    parts = []
    for name in FILES:
        content = contents[name]
        require_size(where[name], len(content))
        rows = np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD_BYTES)
        if rows[:, 0].max() > 9:
            raise DataError(
                f"{where[name]} has the label {rows[:, 0].max()}: labels are 0 to 9, so {FIX}"
            )
        parts.append(rows)
    return {"train": as_split(parts[:5]), "test": as_split(parts[5:])}


def require_size(place: str, size: int) -> None:
    """Refuse a file that is not as long as its records.

    Raises:
        DataError: It is shorter or longer.
    """
    expected = RECORDS * RECORD_BYTES
    if size != expected:
        raise DataError(
            f"{place} has {'fewer' if size < expected else 'more'} than the {expected} bytes that "
            f"{RECORDS} records of {RECORD_BYTES} bytes make, so {FIX}"
        )


def as_split(parts: Sequence[np.ndarray]) -> Split:
    """Return the split of records that have the shape (RECORDS, RECORD_BYTES) a part."""
    rows = np.concatenate(parts)
    x = np.ascontiguousarray(rows[:, 1:]).reshape(-1, *SHAPE)
    return Split(torch.from_numpy(x), torch.from_numpy(rows[:, 0].astype(np.int64)))


def require_small(path: Path, size: int) -> None:
    """Refuse an archive that unpacks to far more than it should.

    Raises:
        DataError: It does.
    """
    if size > LARGEST:
        raise DataError(f"{path} unpacks to more than {LARGEST} bytes, so {FIX}")


def read_archive(path: Path) -> Mapping[str, bytes]:
    """Return the content of each of ``FILES``, read where it lies in the official archive.

    Nothing is unpacked, so that no path in the archive is ever followed, a folder that cannot be
    written to will do, and half an unpacked archive cannot exist.

    Raises:
        DataError: An archive that is damaged, lacks a file, or unpacks to more than it should.
    """
    contents: dict[str, bytes] = {}
    size = 0
    with reading(path, "tar.gz archive"), gzip.open(path) as unzipped:
        # "|" reads straight through: seeking back in gzip would decompress it again.
        with tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                file = archive.extractfile(member) if name in FILES else None
                if file is not None:
                    require_size(f"{name} in {path}", member.size)
                    contents[name] = file.read()
                size += member.size
                require_small(path, size)
        # gzip checks its sum at the end only.
        while unzipped.read(2**20):
            require_small(path, unzipped.tell())
    missing = [name for name in FILES if name not in contents]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: the archive has 6 parts, so {FIX}")
    return contents
