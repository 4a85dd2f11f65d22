"""Images a second of training at batch 128, beside three others and the limit of the machine."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.settings import (
    Job,
    Piece,
    Settings,
    by_repetition,
    figures,
    fixed,
    per_second,
    ratio,
)
from experiments.ledger.records import Record
from experiments.ledger.rows import Row


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return the contenders, each for as many epochs; reparam also clipping, and in float32."""
    common: dict[str, Any] = {
        "seed": repetition,
        "epochs": 2 if settings.quick else 4,
        "limit": 6000 if settings.quick else None,
    }
    budget = 0.05 if settings.quick else 0.6
    scripts = {
        "limit": settings.script("limit", job="training", budget=budget),
        "tutorial": settings.script("tutorial", **common),
        "by hand": settings.script("by_hand", **common),
        "reparam": settings.script("reparam_throughput", **common),
        "reparam, clipping": settings.script("reparam_throughput", clip_norm=1.0, **common),
        "reparam float32": settings.script("reparam_throughput", precision="float32", **common),
    }
    if settings.pythae:
        scripts["pythae"] = settings.script("pythae_vae", python=settings.pythae, **common)
    return fixed(scripts)


def rows(records: Sequence[Record]) -> list[Row]:
    """Return how many times faster, and which share of the limit."""
    what = "training throughput, batch 128"
    contenders = [r for r in records if r["contender"] != "limit"]
    note = figures(contenders, per_second, "images/s") if contenders else ""
    found: list[Row] = []
    for name, against, target in (
        ("tutorial", "(a) the tutorial's loop", 4.5),
        ("pythae", "(b) pythae's trainer", 2.0),
        ("by hand", "(c) a loop by hand over tensors in memory, float32", 1.3),
    ):
        more: dict[str, Any] = {"what": what, "against": against, "target": target, "note": note}
        found += ratio(records, "reparam", name, per_second, **more)
    for name, how in (
        ("reparam, clipping", "gradients clipped as by default"),
        ("reparam float32", "in float32"),
    ):
        more = {"what": f"{what}, {how}", "against": "(c) the same"}
        found += ratio(records, name, "by hand", per_second, **more)
    used = [r["result"]["precision"] for r in by_repetition(records, "reparam").values()]
    limits = list(by_repetition(records, "limit").values())
    for name, precision, wanted in (
        ("reparam", used[0] if used else "", 0.55),
        ("reparam float32", "float32", None),
    ):
        found += ratio(
            records,
            name,
            "limit",
            per_second,
            of_limit(precision, "per_second"),
            what=f"{what}, {precision}",
            against=f"(d) the limit: matrix products alone, {precision}",
            target=wanted,
            note=figures(limits, of_limit(precision, "gigaflops"), "GFLOP/s") if used else "",
        )
    return found


def of_limit(precision: str, what: str) -> Callable[[Record], float]:
    """Return a function that returns a figure of one precision of a record of the limit."""
    return lambda record: float(record["result"][precision][what])


JOB = Job("throughput", pieces, rows)
