"""The importance-sampled log-likelihood with 5,000 samples, beside the limit and pythae's."""

import sys
from collections.abc import Sequence
from statistics import mean
from typing import Any

from settings import Job, Piece, Record, Row, Settings, by_repetition, figures, fixed, ratio

PYTHAE_IMAGES = 30
"""Images that pythae is measured on: it takes them one by one, so that the rate is the same."""
TOLERANCE = 1.0
"""Nats by which two estimates on so few images may differ: their own repetitions do by tenths."""


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
        # A run that is there is not trained again; it is measured by nobody.
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
    return record["result"]["seconds"] / record["result"]["n_images"]


def seconds_by_default(record: Record) -> float:
    """Return the seconds of one image as pythae is called by default."""
    return record["result"]["seconds_by_default"] / record["result"]["n_images"]


def agreement(records: Sequence[Record]) -> tuple[bool, str]:
    """Return whether both estimate the same on the same images, and the figures in words."""
    ours, theirs = by_repetition(records, "reparam"), by_repetition(records, "pythae")
    mine = mean(r["result"]["log_likelihood_of_first"] for r in ours.values())
    other = mean(r["result"]["log_likelihood"] for r in theirs.values())
    said = f"on the same images reparam estimates {mine:.2f} nats, pythae {other:.2f}"
    return abs(mine - other) <= TOLERANCE, said


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
    job = f"log-likelihood, {samples:,} samples, {n_images:,} images"
    found = []
    for precision, target in (("float32", 1.5), ("bfloat16", None)):

        def limit(record: Record, precision: str = precision) -> float:
            return samples / record["result"][precision]["per_second"]

        values = ratio(records, "reparam", "limit", seconds_per_image, limit)
        if values is not None:
            against = f"(d) the limit: the decoder's matrix products alone, {precision}"
            found.append(Row(job, against, values, target, at_least=False, note=said))
    for against, seconds, target in (
        ("get_nll(x, n_samples), as it is by default", seconds_by_default, 8.0),
        ("get_nll without gradients, at the best batch size", seconds_per_image, None),
    ):
        values = ratio(records, "pythae", "reparam", seconds, seconds_per_image)
        if values is not None:
            n = by_repetition(records, "pythae")[0]["result"]["n_images"]
            found.append(
                Row(job, f"(b) pythae's {against}, on {n} images", values, target, note=said)
            )
    values = ratio(records, "reparam, 64 MiB", "reparam", lambda r: r["peak_mb"])
    if values is not None:
        said = figures(
            [r for r in records if r["contender"].startswith("reparam")],
            lambda r: r["peak_mb"],
            "MiB at the peak",
        )
        found.append(Row("memory of it with max_memory_mb=64", "with 512", values, note=said))
    return found


JOB = Job("likelihood", pieces, rows)
