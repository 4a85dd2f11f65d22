"""What a wall-clock time buys: ELBO and log-likelihood of test images after several times.

``reparam train vae --budget`` with nothing else but the data and the likelihood of the others,
beside the fixed recipes of these benchmarks, the tutorial's loop and pythae. The time of a
contender begins after it has imported torch.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.jobs.to_elbo import RECIPE, in_words
from benchmarks.settings import Job, Piece, Settings
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUDGETS = (5, 15, 60, 600)
"""The times in seconds; the longest is measured in the first repetition only."""

SAMPLES = 200
"""The number of importance samples behind a log-likelihood."""

PLAIN = {name: RECIPE[name] for name in ("data", "binarize", "likelihood", "validation", "device")}
"""The data and the likelihood of the others, without any other choice."""

FIXED = {
    "the recipe of to-elbo": RECIPE,
    "15 epochs": {**PLAIN, "epochs": 15},
    "the default": PLAIN,
}
"""The fixed recipes of ``reparam train vae``."""

FIGURES = {"elbo": "test ELBO", "log_likelihood": "log-likelihood"}
"""The figures, and what they are called."""


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return a run for every budget and recipe, and one of each other for all budgets."""
    work = settings.work / f"frontier-{repetition}"
    budgets: Sequence[int] = BUDGETS if repetition == 0 else BUDGETS[:-1]
    samples = SAMPLES
    if settings.quick:
        budgets, samples = (1,), 5

    def measured(weights: Path) -> list[str]:
        return settings.script("elbo", weights=weights, samples=samples)

    def ours(name: str, options: dict[str, Any]) -> Piece:
        run = work / name.replace(" ", "-")

        def command(_: Sequence[Record]) -> list[str]:
            # An interrupted run must not be resumed.
            shutil.rmtree(run, ignore_errors=True)
            place = [f"--data-dir={settings.data_dir}", f"--seed={repetition}", f"--out={run}"]
            words = in_words(options)
            return [sys.executable, "-m", "reparam", "train", "vae", *words, *place]

        return Piece(name, command, lambda: measured(run / "model.safetensors"))

    def other(name: str, script: str, **more: Any) -> Piece:
        common: dict[str, Any] = {"seed": repetition, "folder": work / script, **more}
        common["budgets"] = ",".join(map(str, budgets))
        words = settings.script(script, **common)
        return Piece(name, lambda _: words, lambda: measured(work / script))

    found = [ours(f"budget {seconds}", {**PLAIN, "budget": f"{seconds}s"}) for seconds in budgets]
    if not settings.quick:
        found += [ours(name, dict(recipe)) for name, recipe in FIXED.items()]
    limit = 2000 if settings.quick else None
    found.append(other("tutorial", "tutorial", limit=limit))
    if settings.pythae:
        found.append(other("pythae", "pythae_vae", python=settings.pythae, limit=limit))
    return found


class Point(NamedTuple):
    """The figures of a contender after a time.

    Arguments:
        contender: Its name.
        limit: The time in seconds that it had; None for a run of a fixed length.
        seconds: Its time in seconds; of a run of ours that of the whole process.
        figures: Its figures by name, in nats.
    """

    contender: str
    limit: float | None
    seconds: float
    figures: Mapping[str, float]


def points(records: Sequence[Record], repetition: int) -> list[Point]:
    """Return the points of a repetition."""
    found = []
    for record in (r for r in records if r["repetition"] == repetition):
        name, checked = str(record["contender"]), record["checked"]
        budget, _, seconds = name.partition(" ")
        if budget == "budget":
            found.append(Point("reparam --budget", float(seconds), record["wall_s"], checked))
        elif name in FIXED:
            found.append(Point(name, None, record["wall_s"], checked))
        else:
            found += [Point(name, float(at), float(at), each) for at, each in checked.items()]
    return found


def beside(own: Point, every: Sequence[Point], figure: str) -> Point | None:
    """Return the best of the points of others that took no longer; None if there are none."""
    others = [
        point
        for point in every
        if point.contender != own.contender
        and point.seconds <= (own.seconds if point.limit is None else own.limit or 0.0)
    ]
    return max(others, key=lambda point: point.figures[figure], default=None)


def rows(records: Sequence[Record]) -> list[Row]:
    """Return by how much a budget exceeds the best of the others that took no longer."""
    found: list[Row] = []
    by_seed = [points(records, r) for r in sorted({r["repetition"] for r in records})]
    for seconds, (name, what) in product(BUDGETS, FIGURES.items()):
        over, note = [], ""
        for every in by_seed:
            own = [p for p in every if p.contender == "reparam --budget" and p.limit == seconds]
            best = beside(own[0], every, name) if own else None
            if best is None:
                continue
            over.append(own[0].figures[name] - best.figures[name])
            note = (
                f"in the last repetition {own[0].figures[name]:.2f} nats in {own[0].seconds:.1f} s "
                f"with --budget={seconds}s, and {best.figures[name]:.2f} by {best.contender} in "
                f"{best.seconds:.1f} s"
            )
        if over:
            more: dict[str, Any] = {"spread": (min(over), max(over)), "note": note, "target": 0.0}
            more["against"] = "the best of fixed recipes, tutorial and pythae in that time"
            found.append(Row(f"{what} on MNIST, --budget={seconds}s", median(over), **more))
    return found


def picture(records: Sequence[Record]) -> "Figure":
    """Draw both figures over the time, a line for every contender, of the first repetition."""
    from matplotlib.figure import Figure  # only the page needs it

    drawing = Figure((9, 4), layout="constrained")
    lines: dict[str, list[Point]] = {}
    for point in sorted(points(records, 0), key=lambda point: point.seconds):
        lines.setdefault(point.contender, []).append(point)
    axes = drawing.subplots(1, 2)
    for axis, (name, what) in zip(axes, FIGURES.items(), strict=True):
        for label, found in lines.items():
            marker = "o-" if len(found) > 1 else "s"
            y = [point.figures[name] for point in found]
            axis.plot([point.seconds for point in found], y, marker, label=label)
        axis.set_xscale("log")
        axis.set(xlabel="seconds", ylabel=f"{what}, nats", xticks=BUDGETS)
        axis.set_xticklabels(list(map(str, BUDGETS)))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend()
    return drawing


JOB = Job("frontier", pieces, rows)
