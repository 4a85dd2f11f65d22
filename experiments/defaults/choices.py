"""The options of tables, each chosen on held-out training rows.

``python -m experiments.defaults.choices`` measures what ``docs/defaults-tables.jsonl`` does not
have: one option is changed at a time, and a quarter of the training rows of the seed 0 is held out,
so that no test row is seen.
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sklearn.model_selection import train_test_split

import reparam as rp
from experiments.defaults.ours import dataset
from experiments.defaults.rows import Stored, rows_of
from experiments.defaults.sets import table
from experiments.ledger.provenance import ROOT, provenance, words

ROWS, PAGE = ROOT / "docs" / "defaults-tables.jsonl", ROOT / "docs" / "defaults-tables.md"

SETS = ("iris", "wine", "diabetes", "breast-cancer", "concrete", "banknote", "wine-red", "cardio")
"""The tables, four of which have fewer than 500 training rows."""

HELD_OUT = 0.25
"""The share of the training rows that are held out."""

OF_MODEL: Mapping[str, Sequence[Any]] = {
    "dropout": (0.0, 0.1, 0.3, 0.5),
    "hidden": ((64, 64), (256, 256), (128, 128, 128)),
    "skip": (False,),
    "activation": ("relu",),
    "likelihood": ("gaussian",),
}
"""The options of the variant, and the values that are tried beside the default."""

OF_TRAINING: Mapping[str, Sequence[Any]] = {
    "lr": (0.002, 0.016),
    "lr_schedule": ("cosine",),
    "clip_norm": (1.0, 10.0),
    "ema": (0.0, 0.998),
    "batch_size": (512,),
    "steps": (2_000, 7_000),
}
"""The options of ``rp.fit``."""

DEFAULT = "default"

INTRODUCTION = """\
# The options of tables by default

Written by `python -m experiments.defaults.choices --page` from the rows in
[defaults-tables.jsonl](defaults-tables.jsonl); do not edit. One option at a time is changed. A
quarter of the training rows of [the suite](defaults.md) is held out, and log p(x) is the mean over
these rows in nats; no test row is used. One seed: differences below about 0.2 nats are noise."""


def trials() -> Iterator[tuple[str, Any]]:
    """Yield the options and their values, the default first."""
    yield DEFAULT, None
    for options in (OF_MODEL, OF_TRAINING):
        for name, values in options.items():
            yield from ((name, value) for value in values)


def measure(name: str, option: str, value: Any, folder: Path) -> Stored:
    """Return the score of a run with one option changed.

    Arguments:
        name: The table.
        option: The name of the option.
        value: Its value.
        folder: The folder of all data sets.
    """
    rows, held = train_test_split(table(name, 0, folder).train, test_size=HELD_OUT, random_state=1)
    of_model = {option: value} if option in OF_MODEL else {}
    of_training = {option: value} if option in OF_TRAINING else {}
    began = time.perf_counter()
    model = partial(rp.variants.vae, **of_model) if of_model else rp.variants.vae
    run = rp.fit(model, dataset(rows, held), seed=0, progress=False, **of_training)
    seconds = time.perf_counter() - began
    found = run.evaluate(split="test", n_samples=500, seed=0, train=False)
    return {
        "set": name,
        "option": option,
        "value": value,
        "rows": len(rows),
        "log_likelihood": found.log_likelihood,
        "steps": run.rows[-1]["step"] if run.rows else 0,
        "lr": run.config["lr"],
        "seconds": round(seconds, 1),
    }


def key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what a row is of."""
    return row["set"], row["option"], json.dumps(row["value"])


def page(rows: Sequence[Stored]) -> str:
    """Return the page: the default, and what each other value adds to it or takes from it."""
    found = {key(row): row for row in rows}
    sets = [name for name in SETS if (name, DEFAULT, "null") in found]
    lines = [INTRODUCTION, "", f"| option | {' | '.join(sets)} |"]
    lines.append(f"| --- | {' | '.join('---' for _ in sets)} |")
    for option, value in trials():
        cells = []
        for name in sets:
            row = found.get((name, option, json.dumps(value)))
            usual = found[name, DEFAULT, "null"]["log_likelihood"]
            if row is None or row["log_likelihood"] is None:
                cells.append("")
            elif option == DEFAULT:
                cells.append(f"{usual:.2f}")
            else:
                cells.append(f"{row['log_likelihood'] - usual:+.2f}")
        if any(cells):
            label = option if option == DEFAULT else f"{option} {_shown(value)}"
            lines.append(f"| {label} | {' | '.join(cells)} |")
    origin = dict.fromkeys(words(row | {"seed": 0}) for row in rows)
    return "\n".join([*lines, "", *(f"- {text}" for text in origin), ""])


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def main() -> None:
    """Measure what no stored row has, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m experiments.defaults.choices")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    known = [DEFAULT, *OF_MODEL, *OF_TRAINING]
    parser.add_argument("--options", nargs="+", choices=known, default=known)
    parser.add_argument("--data-dir", default=os.environ.get("REPARAM_DATA_DIR"))
    parser.add_argument("--page", action="store_true", help="only write the page")
    options = parser.parse_args()
    if options.data_dir is None and not options.page:
        parser.error("give --data-dir, or set REPARAM_DATA_DIR")
    done = {key(row) for row in rows_of(ROWS)}
    given = [Path(word).name if os.path.isabs(word) else word for word in sys.argv[1:]]
    command = shlex.join(["python", "-m", "experiments.defaults.choices", *given])
    for name in () if options.page else options.sets:
        for option, value in trials():
            if option not in options.options or (name, option, json.dumps(value)) in done:
                continue
            row = measure(name, option, value, Path(options.data_dir).resolve())
            with ROWS.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row | provenance(command, threads=1)) + "\n")
            print(row, flush=True)
    PAGE.write_text(page(rows_of(ROWS)), encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
