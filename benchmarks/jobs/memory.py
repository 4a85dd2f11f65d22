"""Training data larger than memory: speed and memory of a mapped file, and what its order costs.

The file is written once, trained on twice, and removed. The order of a mapped file is that
of permuted blocks; how good it is, is measured on MNIST with buffers that are as small a part of
the data as a buffer of 256 MiB is of 20 GB.
"""

import shutil
from collections.abc import Sequence
from math import sqrt
from statistics import mean, median, stdev
from typing import Any

from benchmarks.settings import Job, Piece, Settings, by_repetition, fixed, in_figures
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

GIGABYTES, SHARE_OF_DISK = 20.0, 0.6
"""The size of the file, and the largest share of the free disk that it may take."""

ORDERS = {
    "all rows permuted": (0, 0, 0),
    "blocks": (750, 15, 0),
    "blocks, sorted by class": (750, 15, 1),
    "2 blocks in a buffer, sorted by class": (750, 375, 1),
}
"""The rows of a buffer, those of a block, and whether the file is sorted, by name."""

STEPS, STEPS_OF_ORDER = 3000, 1500
"""The steps of a training whose speed is measured, and of one whose ELBO is."""


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return the file and both trainings, in the first repetition, and one of each order."""
    steps, of_order, rows = STEPS, STEPS_OF_ORDER, 200_000
    size = min(GIGABYTES, SHARE_OF_DISK * shutil.disk_usage(settings.work).free / 1e9)
    if settings.quick:
        size, steps, of_order, rows = 0.001, 150, 2, 500
    file = settings.work / "memory.npy"
    scripts: dict[str, list[str]] = {}
    if repetition == 0:
        jobs: dict[str, dict[str, Any]] = {
            "(file)": {"job": "write", "gigabytes": round(size, 3)},
            "memory": {"job": "memory", "steps": steps, "rows": rows},
            "mapped": {"job": "mapped", "steps": steps},
            "(removal)": {"job": "remove"},
        }
        for name, options in jobs.items():
            scripts[name] = settings.script("memory", file=file, **options)
    for name, (buffer, block, by_class) in ORDERS.items():
        scripts[name] = settings.script(
            "memory",
            job="order",
            file=settings.work / "order.npy",
            steps=of_order,
            seed=repetition,
            buffer=buffer,
            block=block,
            by_class=by_class,
            limit=1000 if settings.quick else None,
        )
    return fixed(scripts)


def elbos(records: Sequence[Record], name: str) -> list[float]:
    """Return the ELBO of an order in every repetition, in nats."""
    return [record["result"]["elbo"] for record in by_repetition(records, name).values()]


def rows(records: Sequence[Record]) -> list[Row]:
    """Return the speed of a mapped file over that of memory, and the ELBO that its order costs."""
    found: list[Row] = []
    once = {name: by_repetition(records, name).get(0) for name in ("(file)", "memory", "mapped")}
    file, memory, mapped = once.values()
    if file is not None and memory is not None and mapped is not None:
        speeds = [each["result"]["per_second"] for each in (mapped, memory)]
        ratios = [ours / theirs for ours, theirs in zip(*speeds, strict=True)]
        gigabytes, loading = file["result"]["bytes"] / 1e9, mapped["result"]["loading_s"]
        note = (
            f"mapped {in_figures(median(speeds[0]))} images/s, memory "
            f"{in_figures(median(speeds[1]))}; the disk reads "
            f"{file['result']['read_mb_s']:.0f} MB/s and writes "
            f"{file['result']['write_mb_s']:.0f}; the pass that checks and hashes all values took "
            f"{loading:.0f} s, {1e3 * gigabytes / loading:.0f} MB/s"
        )
        what = f"training throughput, a mapped file of {gigabytes:.3g} GB"
        against = f"{memory['result']['n_train']:,} rows in memory"
        spread = (min(ratios), max(ratios))
        found.append(
            Row(
                what,
                median(ratios),
                unit="",
                against=against,
                spread=spread,
                note=note,
                target=0.95,
            )
        )
        peak = mapped["peak_mb"]
        note = f"memory {memory['peak_mb']:,.0f} MiB with {memory['result']['n_train']:,} rows"
        found.append(
            Row(f"peak memory, a mapped file of {gigabytes:.3g} GB", peak, unit="MiB", note=note)
        )
    base, *others = ORDERS
    known = elbos(records, base)
    for name in others:
        values = elbos(records, name)
        if len(values) == len(known) > 1:
            differences = [a - b for a, b in zip(values, known, strict=True)]
            stderr = stdev(differences) / sqrt(len(differences))
            note = f"{mean(values):.2f} nats, and {mean(known):.2f} with {base}; by seeds"
            what = f"test ELBO on MNIST, {name}"
            found.append(Row(what, mean(differences), stderr, against=base, note=note))
    return found


def section(records: Sequence[Record]) -> str:
    """Return how the file was trained on, and the orders, as Markdown."""
    lines = [
        "| order | rows of a buffer | rows of a block | test ELBO |",
        "| --- | --- | --- | --- |",
    ]
    for name, (buffer, block, _) in ORDERS.items():
        values = elbos(records, name)
        if len(values) > 1:
            stderr = stdev(values) / sqrt(len(values))
            sizes = f"{buffer} | {block}" if buffer else "all | 1"
            lines.append(f"| {name} | {sizes} | {mean(values):.2f} ± {stderr:.2f} |")
    return "\n".join(
        [
            "A mapped file is read in blocks in random order, several of which make a buffer whose "
            "rows are permuted. A buffer has 256 MiB and a block 256 KiB, so that a buffer mixes "
            "1,024 blocks from all of the file. The speed is that of the default `vae`, on a file "
            "that was dropped from the cache of the system. The order is measured on MNIST with "
            "buffers of 1/80 of the rows, as 256 MiB are of 20 GB, in blocks of 15 rows: fewer "
            "blocks, and so a worse order, than a large file has. The last line shows what few "
            "blocks of a sorted file cost.",
            "",
            *lines,
        ]
    )


JOB = Job("memory", pieces, rows)
