"""The time from the pointer to the image in ``reparam explore``, in a headless browser."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.settings import Job, Piece, Settings, by_repetition, fixed
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

TARGET_MS = 50.0
"""The largest time of 95 % of the movements."""

DATA = {"images of MNIST": "mnist", "photographs of CIFAR-10": "cifar10"}
"""The data sets by what they are: a perceptron decodes the first, convolutions the second."""


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return a process for each data set."""
    common: dict[str, Any] = {"seed": repetition, "seconds": 2.0 if settings.quick else 20.0}
    return fixed(
        {what: settings.script("explorer", data=name, **common) for what, name in DATA.items()}
    )


def rows(records: Sequence[Record]) -> list[Row]:
    """Return the 95 % quantile of the times of every data set."""
    found: list[Row] = []
    for what in DATA:
        results = [record["result"] for record in by_repetition(records, what).values()]
        if not results:
            continue
        times = [result["p95_ms"] for result in results]
        half = median([result["p50_ms"] for result in results])
        shown = median([result["n_images"] / result["seconds"] for result in results])
        found.append(
            Row(
                f"95 % quantile of the time from the pointer to the image, {what}",
                median(times),
                unit="ms",
                against="the target",
                spread=(min(times), max(times)),
                target=TARGET_MS,
                rule="at most",
                note=f"median {half:.0f} ms, {shown:.0f} images/s",
            )
        )
    return found


def section(records: Sequence[Record]) -> str:
    """Return the times as Markdown."""
    lines = ["| what | median | 95 % | images/s |", "| --- | --- | --- | --- |"]
    for what in DATA:
        results = [record["result"] for record in by_repetition(records, what).values()]
        if results:
            half, most = (median([r[name] for r in results]) for name in ("p50_ms", "p95_ms"))
            shown = median([r["n_images"] / r["seconds"] for r in results])
            lines.append(f"| {what} | {half:.0f} ms | {most:.0f} ms | {shown:.0f} |")
    return "\n".join(
        [
            "`reparam explore` and a headless Chromium share the cores, and the pointer moves over "
            "the latent map up to 60 times a second. A time begins with a movement and ends in the "
            "frame after the image of its place, or of a newer one, was decoded.",
            "",
            *lines,
        ]
    )


JOB = Job("explorer", pieces, rows)
