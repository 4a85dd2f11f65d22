"""An epoch of a convolutional VAE on CIFAR-10, beside plain loops of the same network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.settings import Job, Piece, Settings, figures, fixed, per_second, ratio
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

IMAGES = 25_000
"""Training images that are used, half of all: time grows in proportion."""


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return two plain loops and reparam; nothing without the images."""
    if not (Path(settings.data_dir) / "cifar10" / "cifar-10-batches-bin").is_dir():
        return []
    common: dict[str, Any] = {
        "seed": repetition,
        "epochs": 2,
        "limit": 1000 if settings.quick else IMAGES,
    }
    ours: dict[str, Any] = {"data": "cifar10", **common}
    scripts = {
        "by hand": settings.script("cifar", loader="memory", **common),
        "loader": settings.script("cifar", loader="one", **common),
        "reparam": settings.script("reparam_throughput", **ours),
        "reparam float32": settings.script("reparam_throughput", precision="float32", **ours),
    }
    return fixed(scripts)


def rows(records: Sequence[Record]) -> list[Row]:
    """Return how many times faster."""
    if not records:
        return []
    n_images = records[0]["result"]["n_images"]
    said = f"{figures(records, per_second, 'images/s')}, on epochs of {n_images:,} images"
    what = "convolutional VAE on CIFAR-10, one epoch"
    found: list[Row] = []
    for above, below, against, target in (
        ("reparam", "by hand", "a plain loop over tensors in memory, float32", 1.5),
        ("reparam", "loader", "a plain loop over a DataLoader of pictures", None),
        ("reparam float32", "by hand", "the first of these, both in float32", None),
    ):
        more: dict[str, Any] = {"what": what, "against": against, "target": target, "note": said}
        found += ratio(records, above, below, per_second, **more)
    return found


JOB = Job("cifar", pieces, rows)
