"""A server under load: encodings of single images over connections that stay open.

Client and server share the cores of the machine. At first as many requests are sent as there are
answers to, as JSON and as arrays of NumPy; then for some minutes half as many as JSON, to see
whether the memory of the server grows.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.settings import Job, Piece, Settings, by_repetition, in_figures
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

FORMS = {"json": "JSON", "npy": "arrays of NumPy"}
"""The forms of requests and answers."""

SUSTAINED = "sustained"
"""The name of the long piece."""

SECONDS, CONNECTIONS = 20, 16
"""The length of a short piece, and the number of connections."""

MOST_GROWTH = 5.0
"""The largest growth of memory, in MiB, that is none: the noise of the allocator."""


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return a short piece for each form and, in the first repetition, the long one."""
    seconds, minutes = (1.0, 0.02) if settings.quick else (SECONDS, settings.minutes)
    common: dict[str, Any] = {"folder": settings.work / "served", "connections": CONNECTIONS}

    def short(form: str) -> Piece:
        words = settings.script("serving", form=form, seconds=seconds, **common)
        return Piece(form, lambda _: words)

    def sustained(records: Sequence[Record]) -> list[str]:
        rate = by_repetition(records, "json")[0]["result"]["per_second"]
        return settings.script(
            "serving", seconds=60 * minutes, rate=round(rate, 1), share=0.5, **common
        )

    found = [short(form) for form in FORMS]
    return [*found, Piece(SUSTAINED, sustained)] if repetition == 0 else found


def rows(records: Sequence[Record]) -> list[Row]:
    """Return the rate, the latency, the errors and the growth of memory."""
    found: list[Row] = []
    for form, words in FORMS.items():
        results = [record["result"] for record in by_repetition(records, form).values()]
        if not results:
            continue
        what, is_held = f"encodings over HTTP, one image each, {words}", form == "json"
        note = ", ".join(
            f"{label} {in_figures(median(r[name] for r in results))} ms"
            for name, label in (
                ("p50_ms", "median latency"),
                ("p99_ms", "99th percentile"),
                ("largest_ms", "largest"),
                ("processor_ms", "processor time of the server for a request"),
            )
        )
        rates, latencies = ([r[name] for r in results] for name in ("per_second", "p99_ms"))
        found += [
            Row(
                what,
                median(rates),
                unit="1/s",
                spread=(min(rates), max(rates)),
                target=500 if is_held else None,
                note=f"{note}; {CONNECTIONS} connections",
            ),
            Row(
                f"99th percentile of the latency of {what}",
                median(latencies),
                unit="ms",
                spread=(min(latencies), max(latencies)),
                target=100 if is_held else None,
                rule="at most",
            ),
        ]
    every = [record["result"] for record in records]
    if every:
        n = sum(result["n_requests"] for result in every)
        found.append(
            Row(
                f"errors of {n:,} requests over HTTP",
                sum(result["n_errors"] for result in every),
                unit="",
                target=0,
                rule="at most",
            )
        )
    long = by_repetition(records, SUSTAINED).get(0)
    if long is not None:
        result = long["result"]
        early, late = early_and_late(result["memory_kib"])
        found.append(
            Row(
                f"growth of the server's memory in {in_figures(result['seconds'] / 60)} minutes at "
                "half that rate",
                (late - early) / 1024,
                unit="MiB",
                target=MOST_GROWTH,
                rule="at most",
                note=f"{result['per_second']:.0f} requests a second; from the second fifth of the "
                f"time, {early / 1024:.1f} MiB, to the last, {late / 1024:.1f} MiB; 99th "
                f"percentile of the latency {in_figures(result['p99_ms'])} ms",
            )
        )
    return found


def early_and_late(memory: Sequence[int]) -> tuple[float, float]:
    """Return the median memory in the second and in the last fifth of the time.

    >>> early_and_late([1, 5, 5, 6, 6, 6, 7, 7, 9, 9])
    (5.5, 9.0)
    """
    fifth = max(1, len(memory) // 5)
    return float(median(memory[fifth : 2 * fifth] or memory)), float(median(memory[-fifth:]))


def section(records: Sequence[Record]) -> str:
    """Return how the server was asked, as Markdown."""
    return (
        "`reparam serve` answers for an encoder of 784-400-20 with its default limits, and a "
        f"client on the same cores keeps {CONNECTIONS} connections open. A request has one "
        "binarized image of MNIST. As many requests are sent as there are answers to; then half as "
        "many, at even times, and a request that is sent late counts from the time at which it was "
        "due."
    )


JOB = Job("serving", pieces, rows)
