"""The learning rate: a grid of fixed ones, and the one that a run finds for itself.

``python -m experiments.defaults.rate`` measures what ``docs/defaults-rate.jsonl`` does not have.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import reparam as rp
from experiments.defaults import images
from experiments.defaults.rows import Stored, rows_of
from experiments.defaults.sets import table

GRID = (3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 8e-3, 1.6e-2)
"""The fixed learning rates."""

LR = 5e-3
"""The learning rate before there was a range test."""

RULE = 2.0
"""The rate times the width of a rule that has 5e-3 at 400."""

WIDTHS = {
    **dict.fromkeys(("cardio", "adult", "banknote", "wine-red"), 128),
    **dict.fromkeys(("digits", "mnist", "mnist-deep", "mnist-400-4", "mnist-1000", "frey"), 400),
    **{"mnist-1000-3": 1000, "mnist-wide": 2048},
}
"""The widths of the hidden layers of the perceptrons."""

INTRODUCTION = """\
Written by `python -m experiments.defaults.rate --page` from the rows in
[defaults-rate.jsonl](defaults-rate.jsonl); do not edit. `python -m experiments.defaults.rate`
measures the grid, `--test` the range test alone, and `--whole` runs of the default length. The sets
are those of [defaults](defaults.md); `mnist-deep` has two hidden layers of 400, `mnist-wide` one of
2,048, `mnist-400-4` four of 400, `mnist-1000-3` three of 1,000; `frey-conv` is the variant
`conv-vae` on 28 × 20 pixels."""

CANDIDATES = """\
Each cell has the rate that a candidate picks and what it loses against the best of the grid, in
nats; between two rates of the grid the ELBO is interpolated, and beyond it constant. The grid is
one seed of short runs, which bear higher rates than long ones. The range test
(`training/range_test.py`) is kept: a rate for every width does as well on these perceptrons, but
has nothing to say on convolutions, depth and likelihoods. The last column has the rates that the
test finds with several seeds. The rate with the least smoothed loss itself, over five, was tried
first: on flat curves it varies by a factor of two, and it loses 0.9 nats on the digits."""

WHOLE = """\
The plain command without options, which the doctor examines. On banknote the advice
`training-length` is right: 14,000 steps have -19.54. On cardio the mean of the ELBO is that of two
of 550 rows, whose encoder extrapolates, with either rate; the median at 0.0078 is -75.15, and the
log-likelihood by 50 importance samples -75.60. `frey-folder` is not solved: in 150 steps at 0.0068
the loss has a spike, and the doctor finds `learning-rate` and `encoder`."""

ROWS = Path(__file__).parents[2] / "docs" / "defaults-rate.jsonl"


class Case(NamedTuple):
    """A model on a data set.

    Arguments:
        variant: The variant.
        given: The training examples.
        held: The examples of the score; None for the test split of the data set.
        steps: The number of steps of a run, which takes at most a minute.
    """

    variant: Callable[..., rp.Recipe]
    given: object
    held: object
    steps: int


def of_table(name: str, folder: Path) -> Case:
    """Return the plain command on a table."""
    data = table(name, 0, folder)
    return Case(rp.variants.vae, data.train, data.test, 2000)


def of_images(
    load: Callable[[int, Path], images.Images], steps: int, folder: Path, **options: Any
) -> Case:
    """Return a variant on images; with options of its own."""
    found = load(0, folder)
    variant = partial(found.variant, **options) if options else found.variant
    return Case(variant, found.given, found.held, steps)


def of_faces(steps: int, folder: Path) -> Case:
    """Return a convolutional model on Frey's faces as an array of 28 × 20 pixels."""
    return of_images(images.frey, steps, folder)._replace(variant=rp.variants.conv_vae)


def of_large_faces(folder: Path) -> Case:
    """Return a convolutional model on Frey's faces as a folder of files with 64 × 64 pixels."""
    faces = np.load(folder / "freyfaces" / "freyfaces.npy", allow_pickle=False)
    place = Path(tempfile.gettempdir()) / "reparam-frey-64"
    order = np.random.default_rng(0).permutation(len(faces))
    for i, face in enumerate(faces[order]):
        (place / ("test" if i < 400 else "train")).mkdir(parents=True, exist_ok=True)
        file = place / ("test" if i < 400 else "train") / f"{i:04}.png"
        if not file.exists():
            Image.fromarray(face).resize((64, 64)).save(file)
    data = rp.data.load("images", path=place, size=64)
    return Case(rp.variants.conv_vae, data, None, 150)


CASES: dict[str, Callable[[Path], Case]] = {
    **{name: partial(of_table, name) for name in ("cardio", "adult", "banknote", "wine-red")},
    "digits": partial(of_images, images.digits, 2000),
    "mnist": partial(of_images, images.mnist, 1500),
    "mnist-deep": partial(of_images, images.mnist, 1500, hidden=(400, 400)),
    "mnist-wide": partial(of_images, images.mnist, 1500, hidden=(2048,)),
    "mnist-1000-3": partial(of_images, images.mnist, 1000, hidden=(1000, 1000, 1000)),
    "mnist-400-4": partial(of_images, images.mnist, 1500, hidden=(400, 400, 400, 400)),
    "mnist-1000": partial(of_images, images.few_mnist, 1500),
    "frey": partial(of_images, images.frey, 1500),
    "frey-conv": partial(of_faces, 200),
    "frey-folder": partial(of_images, images.frey_folder, 200),
    "frey-64": of_large_faces,
    "cifar10-5000": partial(of_images, images.few_cifar10, 100),
}
"""The cases by name."""


def measure(name: str, lr: float | None, seed: int, folder: Path, is_whole: bool = False) -> Stored:
    """Return the score of a run, the ELBO of held-out examples in nats, and the doctor's findings.

    Arguments:
        name: The case.
        lr: The learning rate; None for the one that the run finds.
        seed: The seed of the run.
        folder: The folder of all data sets.
        is_whole: Whether the run has its default length, and the doctor examines it.
    """
    case = CASES[name](folder)
    steps = None if is_whole else case.steps
    began = time.perf_counter()
    run = rp.fit(case.variant, case.given, lr=lr, steps=steps, seed=seed, progress=False)
    seconds = time.perf_counter() - began
    held = run.examples(case.held, seed=0, limit=2000)
    elbo = run.evaluate(held, n_samples=2, seed=0, train=False).per_example["elbo"]
    return {
        "set": name,
        "lr": lr,
        "seed": seed,
        "steps": steps,
        "found": run.config["lr"],
        "elbo": float(elbo.mean()),
        "seconds": round(seconds, 1),
    } | (findings(run) if is_whole else {})


def findings(run: rp.Run) -> Stored:
    """Return the names of what the doctor finds."""
    found = rp.doctor.examine(run)
    return {kind: [finding.name for finding in found.of(kind)] for kind in ("problem", "advice")}


def found(name: str, seed: int, folder: Path) -> Stored:
    """Return the rate that a run of the default length finds, which ends after the test."""
    case = CASES[name](folder)
    began = time.process_time()
    run = rp.fit(
        case.variant,
        case.given,
        seed=seed,
        progress=False,
        callbacks=[lambda event: event.stop()],
    )
    seconds = round(time.process_time() - began, 1)
    return {"set": name, "lr": "test", "seed": seed, "steps": 0, "found": run.config["lr"]} | {
        "seconds": seconds
    }


def at(rates: dict[float, float], lr: float) -> float:
    """Return the score at a rate, on lines between the logarithms of the measured rates.

    >>> round(at({1e-3: 0.0, 1e-1: 2.0}, 1e-2), 6)
    1.0
    """
    logs = np.log(sorted(rates))
    return float(np.interp(np.log(lr), logs, [rates[rate] for rate in sorted(rates)]))


def page(rows: list[Stored]) -> str:
    """Return the page: the grid, what each candidate picks, and what it loses against the best."""
    used = [lr for lr in GRID if any(row["lr"] == lr and row["steps"] for row in rows)]
    head = ["set", "steps", *(f"{lr:g}" for lr in used)]
    lines = ["# The learning rate by default", "", INTRODUCTION, "", "## Fixed rates", ""]
    lines += ["Held-out ELBO in nats, seed 0.", "", *_head(head)]
    picks = []
    for name in CASES:
        own = [row for row in rows if row["set"] == name and row["seed"] == 0]
        grid = {row["lr"]: row["elbo"] for row in own if row["lr"] in GRID and row["steps"]}
        if not grid:
            continue
        steps = next(row["steps"] for row in own if row["lr"] in grid and row["steps"])
        best = max(grid, key=grid.__getitem__)
        cells = [f"{grid[lr]:.2f}" if lr in grid else "" for lr in used]
        shown = [f"**{c}**" if lr == best else c for lr, c in zip(used, cells, strict=True)]
        lines.append("| " + " | ".join([name, f"{steps:,}", *shown]) + " |")
        tests = [row["found"] for row in rows if row["set"] == name and row["lr"] == "test"]
        rates = [tests[0] if tests else None, LR, RULE / WIDTHS[name] if name in WIDTHS else None]
        loss = [None if lr is None else grid[best] - at(grid, lr) for lr in rates]
        pairs = [
            "" if lr is None else f"{lr:.2g}: {x:.2f}" for lr, x in zip(rates, loss, strict=True)
        ]
        picks.append([name, f"{best:g}", *pairs, ", ".join(f"{lr:g}" for lr in tests)])
    lines += ["", "## Candidates", "", CANDIDATES, ""]
    lines += _head(["set", "best", "range test", "5e-3", "2 / width", "range test, seeds"])
    lines += ["| " + " | ".join(pick) + " |" for pick in picks]
    lines += ["", "## Whole runs", "", WHOLE, ""]
    lines += _head(["set", "rate", "ELBO", "problems", "advice", "seconds"])
    for row in rows:
        if row["steps"] is None:
            how = "range test" if row["lr"] is None else "fixed"
            marks = [", ".join(row[kind]) or "none" for kind in ("problem", "advice")]
            cells = [row["set"], f"{row['found']:g} ({how})", f"{row['elbo']:.2f}", *marks]
            lines.append("| " + " | ".join([*cells, f"{row['seconds']:.0f}"]) + " |")
    return "\n".join(lines) + "\n"


def _head(names: list[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]


def main() -> None:
    """Measure what no stored row has."""
    parser = argparse.ArgumentParser(prog="python -m experiments.defaults.rate")
    parser.add_argument("--sets", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--lr", nargs="+", type=float, default=list(GRID))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="runs of the default length, examined")
    parser.add_argument("--test", action="store_true", help="only the range test")
    parser.add_argument("--data-dir", default=os.environ.get("REPARAM_DATA_DIR"))
    parser.add_argument("--page", action="store_true", help="only write the page")
    options = parser.parse_args()
    if options.page:
        ROWS.parent.with_name("defaults-rate.md").write_text(page(rows_of(ROWS)), encoding="utf-8")
        return
    rates: list[float | None] = [None, LR] if options.whole else options.lr
    for name in options.sets:
        for lr in rates:
            key = (name, "test" if options.test else lr, options.seed, options.whole)
            if any(
                (r["set"], r["lr"], r["seed"], r["steps"] is None) == key for r in rows_of(ROWS)
            ):
                continue
            folder = Path(options.data_dir)
            if options.test:
                row = found(name, options.seed, folder)
            else:
                row = measure(name, lr, options.seed, folder, options.whole)
            print(row, flush=True)
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
