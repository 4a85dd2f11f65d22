"""The importance-sampled log-likelihood with 5,000 samples, beside the limit and pythae's."""

import sys
from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.settings import Job, Piece, Settings, by_repetition, figures, fixed, ratio
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

PYTHAE_IMAGES = 30
"""Images for pythae, which takes them one by one, so that its rate does not depend on them."""
TOLERANCE = 1.0
"""Nats by which two estimates on so few images may differ; repetitions differ by tenths."""


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return the limit and both estimators, on a network that reparam trained for two epochs."""
    run = settings.work / "likelihood-run"
    samples = 500 if settings.quick else 5000
    images = 40 if settings.quick else settings.images
    words = ["--data=mnist", "--binarize=none", "--likelihood=cross-entropy", "--epochs=2"]
    place = [f"--data-dir={settings.data_dir}", f"--out={run}", "--resume"]
    train = [sys.executable, "-m", "reparam", "train", "vae", *words, *place]
    few = 2 if settings.quick else PYTHAE_IMAGES
    ours: dict[str, Any] = {"run": run, "samples": samples, "limit": images, "first": few}
    scripts = {
        # An existing run is not trained again; its time is not measured.
        "(training)": train,
        "limit": settings.script("limit", job="likelihood", budget=0.1 if settings.quick else 1.0),
        "reparam": settings.script("reparam_likelihood", **ours),
        "reparam, 64 MiB": settings.script(
            "reparam_likelihood", **{**ours, "memory": 64, "limit": images // 4}
        ),
    }
    if settings.pythae:
        scripts["pythae"] = settings.script(
            "pythae_likelihood",
            python=settings.pythae,
            weights=run / "model.safetensors",
            samples=samples,
            limit=few,
        )
    return fixed(scripts)


def seconds_per_image(record: Record) -> float:
    """Return the seconds of one image."""
    return float(record["result"]["seconds"] / record["result"]["n_images"])


def seconds_by_default(record: Record) -> float:
    """Return the seconds of one image as pythae is called by default."""
    return float(record["result"]["seconds_by_default"] / record["result"]["n_images"])


def agree(records: Sequence[Record]) -> bool:
    """Return whether reparam and pythae estimate the same on the same images."""
    ours, theirs = by_repetition(records, "reparam"), by_repetition(records, "pythae")
    if not theirs:
        return True
    mine = mean(r["result"]["log_likelihood_of_first"] for r in ours.values())
    other = mean(r["result"]["log_likelihood"] for r in theirs.values())
    return bool(abs(mine - other) <= TOLERANCE)


def rows(records: Sequence[Record]) -> list[Row]:
    """Return how near the limit, how much faster, and what the bound on memory does."""
    records = [r for r in records if r["contender"] != "(training)"]
    ours = list(by_repetition(records, "reparam").values())
    if not ours:
        return []
    samples = ours[0]["result"]["samples"]
    n_images = ours[0]["result"]["n_images"]
    measured = [r for r in records if r["contender"] != "limit"]
    said = figures(measured, lambda r: 1000 * seconds_per_image(r), "ms per image")
    more = {"what": f"log-likelihood, {samples:,} samples, {n_images:,} images", "note": said}
    found: list[Row] = []
    for precision, target in (("float32", 1.5), ("bfloat16", None)):

        def limit(record: Record, precision: str = precision) -> float:
            rate: float = record["result"][precision]["per_second"]
            return samples / rate

        against = f"(d) the limit: the decoder's matrix products alone, {precision}"
        held = {"against": against, "target": target, "rule": "at most", **more}
        found += ratio(records, "reparam", "limit", seconds_per_image, limit, **held)
    for how, seconds, wanted in (
        ("get_nll(x, n_samples), as it is by default", seconds_by_default, 8.0),
        ("get_nll without gradients, at the best batch size", seconds_per_image, None),
    ):
        for first in by_repetition(records, "pythae").values():
            against = f"(b) pythae's {how}, on {first['result']['n_images']} images"
        held = {"against": against, "target": wanted, "valid": agree(records), **more}
        found += ratio(records, "pythae", "reparam", seconds, seconds_per_image, **held)
    both = [r for r in records if r["contender"].startswith("reparam")]
    return found + ratio(
        records,
        "reparam, 64 MiB",
        "reparam",
        peak,
        what="memory of it with max_memory_mb=64",
        against="with 512",
        note=figures(both, peak, "MiB at the peak"),
    )


def peak(record: Record) -> float:
    """Return the peak memory in MiB."""
    return float(record["peak_mb"])


JOB = Job("likelihood", pieces, rows)
