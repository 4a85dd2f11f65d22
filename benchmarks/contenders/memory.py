"""Train the default VAE on a file larger than memory, or on rows in memory.

    python memory.py --job write --file x.npy --gigabytes 20 --data-dir DIR
    python memory.py --job mapped --file x.npy --steps 3000
    python memory.py --job memory --file x.npy --steps 3000 --rows 200000
    python memory.py --job order --file y.npy --buffer 750 --block 15 --by-class 1 --seed 0
    python memory.py --job remove --file x.npy

The pixels are black or white. The file has the training images of MNIST again and again, and about
one of 64 pixels is changed.
``order`` trains on MNIST itself, read by blocks of ``--block`` rows in buffers of ``--buffer``
rows, or by a permutation of all rows where ``--buffer`` is 0, and measures the ELBO of the test
images. The file is dropped from the cache of the system before it is read, so that the disk is.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mnist import arguments, read_images, tell
from numpy.lib.format import write_array_header_1_0

import reparam as rp
from reparam.data import blocks
from reparam.training import Event

WIDTH = 784
"""The bytes of a row."""

TESTED = 5000
"""The number of test images whose ELBO is measured."""

READ_BYTES, CHUNK = 2 * 10**9, 2**24
"""The bytes that the speed of the disk is measured on, and those of a read."""


def noisy(images: np.ndarray, n_rows: int) -> Iterator[np.ndarray]:
    """Yield rows, uint8 with shape (at most N, 784), in all so many."""
    random = np.random.default_rng(0)
    noise = (random.integers(0, 64, images.size + CHUNK, dtype=np.uint8) == 0).astype(np.uint8)
    rows = images.reshape(-1, WIDTH)
    for start in range(0, n_rows, len(rows)):
        part = rows[: n_rows - start]
        first = int(random.integers(CHUNK))
        yield part ^ noise[first : first + part.size].reshape(part.shape)


def write(file: Path, gigabytes: float, data_dir: str) -> dict[str, Any]:
    """Write the file, and return its size and the speeds of writing and of reading it."""
    images = black_and_white(data_dir, "train")
    n_rows = int(gigabytes * 1e9) // WIDTH
    began = time.perf_counter()
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n_rows, WIDTH)}
        write_array_header_1_0(stream, header)
        for rows in noisy(images, n_rows):
            stream.write(rows.data)
        stream.flush()
        os.fsync(stream.fileno())
    written = time.perf_counter() - began
    drop(file)
    began, n_read = time.perf_counter(), 0
    with file.open("rb", buffering=0) as stream:
        while n_read < READ_BYTES and (part := stream.read(CHUNK)):
            n_read += len(part)
    seconds = time.perf_counter() - began
    size = file.stat().st_size
    return {"bytes": size, "write_mb_s": size / written / 1e6, "read_mb_s": n_read / seconds / 1e6}


def black_and_white(data_dir: str, split: str) -> np.ndarray:
    """Return the images of a split, 0 or 1, uint8 with shape (N, 784)."""
    images: np.ndarray = (read_images(data_dir, split) >= 128).astype(np.uint8)
    return images.reshape(-1, WIDTH)


def drop(file: Path) -> None:
    """Drop a file from the cache of the system, so that it is read from the disk."""
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def trained(data: rp.data.Dataset, steps: int, seed: int) -> float:
    """Return the images a second of the default VAE, after the first row of metrics."""
    rows: list[tuple[int, float]] = []

    def mark(event: Event) -> None:
        if event.kind == "log":
            rows.append((event.step, time.perf_counter()))

    more: dict[str, Any] = {"steps": steps, "early_stopping": 0}
    run = rp.fit(
        rp.variants.vae, data, seed=seed, lr=1e-3, callbacks=[mark], progress=False, **more
    )
    (first, began), *_, (last, ended) = rows
    return float((last - first) * run.config["batch_size"] / (ended - began))


def rates(data: rp.data.Dataset, file: Path, steps: int, repeats: int) -> list[float]:
    """Return the images a second of several trainings, each with the file out of the cache."""
    found = []
    for seed in range(repeats):
        drop(file)
        found.append(trained(data, steps, seed))
    return found


def ordered(file: Path, data_dir: str, options: Any) -> dict[str, Any]:
    """Return the test ELBO of the default VAE on MNIST in one order, in nats."""
    x = black_and_white(data_dir, "train")
    if options.limit:
        x = x[: options.limit]
    if options.by_class:
        x = x[np.argsort(labels(data_dir)[: len(x)], kind="stable")]
    np.save(file, x)
    if options.buffer:
        blocks.BUFFER_BYTES, blocks.BLOCK_BYTES = options.buffer * WIDTH, options.block * WIDTH
    data = rp.data.read(file, mapped=options.buffer > 0, test_share=0.0)
    more: dict[str, Any] = {"seed": options.seed, "early_stopping": 0, "progress": False}
    run = rp.fit(rp.variants.vae, data, steps=options.steps, **more)
    test = black_and_white(data_dir, "test")
    elbo = run.evaluate(test[:TESTED], n_samples=1)["elbo"]
    file.unlink()
    return {"elbo": elbo.value, "stderr": elbo.stderr, "lr": run.config["lr"]}


def labels(data_dir: str) -> np.ndarray:
    """Return the labels of the training images, with shape (N,)."""
    data = rp.data.load("mnist", data_dir=data_dir, validation=0)
    return np.asarray(data.labels)


def main() -> None:
    """Do one job, and print what it found."""
    sizes = {"gigabytes": 20.0, "steps": 3000, "rows": 200_000, "repeats": 2}
    orders = {"buffer": 0, "block": 0, "by_class": 0}
    options = arguments(__doc__, job="mapped", file="x.npy", **sizes, **orders)
    file = Path(options.file)
    if options.job == "write":
        tell(**write(file, options.gigabytes, options.data_dir))
    elif options.job == "order":
        tell(**ordered(file, options.data_dir, options))
    elif options.job == "remove":
        file.unlink(missing_ok=True)
        tell()
    else:
        drop(file)
        began = time.perf_counter()
        if options.job == "mapped":
            data = rp.data.read(file, mapped=True)
        else:
            data = rp.data.from_arrays(np.array(np.load(file, mmap_mode="r")[: options.rows]))
        loading = time.perf_counter() - began
        found = rates(data, file, options.steps, options.repeats)
        tell(per_second=found, loading_s=loading, n_train=len(data.split("train")))


if __name__ == "__main__":
    main()
