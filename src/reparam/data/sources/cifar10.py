"""CIFAR-10: 60,000 color photographs of 32 × 32 pixels, in the official binary version.

Nothing in this version is pickled.

References:
    Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

import gzip
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from reparam.data.dataset import Split
from reparam.data.download import Remote
from reparam.data.idx import FIX, LARGEST, read_bytes, reading
from reparam.data.image_set import ImageSet
from reparam.data.registry import SOURCES
from reparam.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")

OBJECTS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

RECORDS = 10_000
"""The number of records of a file: a label, then 32 × 32 pixels of red, of green and of blue."""
SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32


def read(paths: Sequence[Path]) -> dict[str, Split]:
    """Return the official train and test splits, x uint8 with shape (N, 3, 32, 32).

    Arguments:
        paths: Where each of ``FILES`` is, in their order: the file itself, or the archive.

    Raises:
        DataError: Files that are missing or damaged.
    """
    archives = [path for path in paths if path.name == ARCHIVE]
    if archives:
        found = read_archive(archives[0])
        contents = {f"{name} in {archives[0]}": found[name] for name in FILES}
    else:
        contents = {str(path): read_bytes(path, RECORDS * RECORD_BYTES) for path in paths}
    parts = []
    for place, content in contents.items():
        require_size(place, len(content))
        rows = np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD_BYTES)
        if rows[:, 0].max() > 9:
            raise DataError(
                f"{place} has the label {rows[:, 0].max()}: labels are 0 to 9, so {FIX}"
            )
        parts.append(rows)
    x = torch.from_numpy(np.concatenate(parts))
    whole = Split(x[:, 1:].reshape(-1, *SHAPE), x[:, 0].long())
    n = 5 * RECORDS
    return {"train": whole.take(slice(0, n)), "test": whole.take(slice(n, None))}


def require_size(place: str, size: int) -> None:
    """Refuse a file that is shorter or longer than its records.

    Raises:
        DataError: It is.
    """
    expected = RECORDS * RECORD_BYTES
    if size != expected:
        raise DataError(
            f"{place} has {'fewer' if size < expected else 'more'} than the {expected} bytes that "
            f"{RECORDS} records of {RECORD_BYTES} bytes make, so {FIX}"
        )


def read_archive(path: Path) -> Mapping[str, bytes]:
    """Return the content of each of ``FILES`` in the official archive.

    Nothing is unpacked to disk: no path in the archive is followed, the folder may be read-only,
    and no half-unpacked archive is left behind.

    Raises:
        DataError: An archive that is damaged, lacks a file, or unpacks to more than it should.
    """
    contents: dict[str, bytes] = {}
    size = 0
    with reading(path, "tar.gz archive"), gzip.open(path) as unzipped:
        # "|" never seeks: seeking back in gzip would decompress everything again.
        with tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                file = archive.extractfile(member) if name in FILES else None
                if file is not None:
                    require_size(f"{name} in {path}", member.size)
                    contents[name] = file.read()
                if (size := size + member.size) > LARGEST:
                    break
        # gzip compares its checksum only at the end.
        while max(size, unzipped.tell()) <= LARGEST and unzipped.read(2**20):
            pass
        if max(size, unzipped.tell()) > LARGEST:
            raise DataError(f"{path} unpacks to more than {LARGEST} bytes, so {FIX}")
    missing = [name for name in FILES if name not in contents]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: the archive has 6 parts, so {FIX}")
    return contents


SOURCES.add(
    "cifar10",
    ImageSet(
        name="cifar10",
        description="color photographs of animals and vehicles, of Krizhevsky",
        n_train=50_000,
        n_test=10_000,
        shape=SHAPE,
        levels=256,
        class_names=OBJECTS,
        read=read,
        files=[(f"{FOLDER}/{file}", file, ARCHIVE) for file in FILES],
        remote=Remote(
            "https://www.cs.toronto.edu/~kriz/", {ARCHIVE: "md5:c32a1d4ab5d03f1284b67883e8d87530"}
        ),
    ),
)
