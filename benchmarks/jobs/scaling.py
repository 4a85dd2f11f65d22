"""How speed and memory grow with rows, width, batch and latents; processes beside threads.

One size is changed at a time, around that of the other jobs. Every point is a process, so that its
peak memory is its own, and times the matrix products of its own shapes.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from statistics import median
from typing import Any

from benchmarks.settings import (
    Job,
    Piece,
    Settings,
    by_repetition,
    figures,
    fixed,
    in_figures,
    ratio,
)
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

DEFAULT = {"rows": 60_000, "width": 400, "batch": 128, "latents": 20}
"""The size around which one number at a time is changed."""

AXES: Mapping[str, tuple[int, ...]] = {
    "rows": (1_000, 10_000, 100_000, 1_000_000),
    "width": (32, 128, 512, 2048),
    "batch": (64, 256, 1024, 4096),
    "latents": (2, 8, 32, 128, 512),
}
"""The other values of each number."""

BATCHES = (128, 1024)
"""The batches that two processes share."""

ELASTICITY = 0.5
"""The knee is where a step begins to take longer than this power of the size."""

QUICK = {"rows": 300, "width": 8, "batch": 32, "latents": 2}


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return the default size, every other value of each axis, and two processes."""
    base: dict[str, Any] = QUICK if settings.quick else DEFAULT
    axes = {name: (2 * base[name],) for name in AXES} if settings.quick else AXES
    batches = (base["batch"],) if settings.quick else BATCHES
    times = {"duration": 0.1, "budget": 0.005} if settings.quick else {}
    sizes = {"default": base}
    for axis, values in axes.items():
        sizes |= {f"{axis} {value}": {**base, axis: value} for value in values}
    for batch in batches:
        sizes[f"2 processes, batch {batch}"] = {**base, "batch": batch, "processes": 2}
    scripts = {
        name: settings.script("scaling", seed=repetition, **{**times, **size})
        for name, size in sizes.items()
    }
    return fixed(scripts)


def per_second(record: Record) -> float:
    """Return the images a second of a record."""
    return float(record["result"]["per_second"])


def rows(records: Sequence[Record]) -> list[Row]:
    """Return how much faster two processes are than two threads, at each batch."""
    found: list[Row] = []
    for name in dict.fromkeys(r["contender"] for r in records):
        if not name.startswith("2 processes"):
            continue
        batch = name.rpartition(" ")[2]
        threads = f"batch {batch}" if by_repetition(records, f"batch {batch}") else "default"
        both = [r for r in records if r["contender"] in (name, threads)]
        found += ratio(
            records,
            name,
            threads,
            per_second,
            what=f"two processes of half a batch each (gloo), batch {batch}",
            against="one process of two threads",
            note=figures(both, per_second, "images/s"),
        )
    return found


def points(records: Sequence[Record], axis: str) -> dict[int, list[Record]]:
    """Return the records of an axis by its value, in order, with those of the default."""
    found: dict[int, list[Record]] = {}
    for record in records:
        name, _, value = record["contender"].partition(" ")
        if name == axis:
            found.setdefault(int(value), []).append(record)
        elif name == "default":
            found.setdefault(DEFAULT[axis], []).append(record)
    return dict(sorted(found.items()))


def knee(seconds: Mapping[int, float]) -> int | None:
    """Return the value from which a step takes longer than the square root of the size.

    Arguments:
        seconds: The seconds of a step by the value of an axis, in order.

    Returns:
        The first value from which on to the next one the time grows with a power above 0.5 of the
        value; None if it does so nowhere.

    Example:
        >>> knee({64: 1.0, 128: 1.1, 256: 1.3, 1024: 4.0}), knee({10: 1.0, 1000: 1.1})
        (256, None)
    """
    for low, high in pairwise(seconds):
        if log(seconds[high] / seconds[low]) > ELASTICITY * log(high / low):
            return low
    return None


def section(records: Sequence[Record]) -> str:
    """Return the tables of all axes, each with its knee, as Markdown."""
    default = ", ".join(f"{value:,} {name}" for name, value in DEFAULT.items())
    parts = [
        f"""One number at a time is changed around {default}. The share is that of the limit (d) at
the same shapes, measured in the same process. Peak memory is that of the whole process, with torch
and the images. The knee is the value from which the time of a step grows with more than the square
root of the value. Below it the calls of torch, which cost the same for any size, take most of the
time."""
    ]
    for axis in AXES:
        found = points(records, axis)
        if len(found) > 1:
            parts += ["\n".join(table(axis, found)), conclusion(axis, found)]
    return "\n\n".join(parts)


def table(axis: str, found: Mapping[int, Sequence[Record]]) -> list[str]:
    """Return the lines of a table of one axis: speed, share of the limit and memory."""
    lines = [f"| {axis} | images/s | share of the limit | peak MiB |", "| --- | --- | --- | --- |"]
    for value, records in found.items():
        share = median(per_second(r) / float(r["result"]["limit_per_second"]) for r in records)
        speed, peak = median(map(per_second, records)), median(r["peak_mb"] for r in records)
        lines.append(f"| {value:,} | {in_figures(speed)} | {share:.2f} | {in_figures(peak)} |")
    return lines


def conclusion(axis: str, found: Mapping[int, Sequence[Record]]) -> str:
    """Return the knee of an axis in a sentence."""
    seconds = {
        value: (value if axis == "batch" else DEFAULT["batch"]) / median(map(per_second, records))
        for value, records in found.items()
    }
    first, last = next(iter(seconds)), list(seconds)[-1]
    times = in_figures(seconds[last] / seconds[first])
    growth = f"From {first:,} to {last:,} {axis} a step takes {times} times as long"
    at = knee(seconds)
    if at is None:
        return f"{growth}; there is no knee."
    return f"{growth}; the knee is at {at:,}."


JOB = Job("scaling", pieces, rows)
