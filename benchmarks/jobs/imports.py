"""The time of importing reparam, over that of importing torch."""

import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.settings import Job, Piece, Settings, by_repetition, figures, fixed, ratio
from experiments.ledger.records import Record
from experiments.ledger.rows import Row

TIMES = 3
"""Processes of each kind in a repetition, since each is short; the median counts."""

SAYS = "import sys, json; print(json.dumps({'torch': 'torch' in sys.modules}))"
PROGRAMS = {
    "torch": "import torch",
    "reparam": "import reparam",
    "all that trains": "import reparam; reparam.fit, reparam.load, reparam.data, reparam.variants",
    "help": "from reparam.cli.main import main; main(['--help'])",
}


def pieces(settings: Settings, repetition: int) -> list[Piece]:
    """Return a process for each program, several times around."""
    return fixed(
        {
            f"{name} {number}": [sys.executable, "-c", f"{code}; {SAYS}"]
            for number in range(TIMES)
            for name, code in PROGRAMS.items()
        }
    )


def rows(records: Sequence[Record]) -> list[Row]:
    """Return the times over that of torch."""
    records = merged(records)
    said = figures(records, lambda r: r["wall_s"], "s")
    found: list[Row] = []
    for name, what, target in (
        ("reparam", "import reparam", 1.15),
        ("all that trains", "import reparam, with fit, load, data and variants", 1.15),
        ("help", "reparam --help, which must not import torch", 1.0),
    ):
        loaded = any(r["result"]["torch"] for r in by_repetition(records, name).values())
        found += ratio(
            records,
            name,
            "torch",
            lambda r: r["wall_s"],
            what=what,
            against="import torch",
            target=target,
            rule="at most",
            note=f"{said}; torch is {'' if loaded else 'not '}imported",
            valid=name != "help" or not loaded,
        )
    return found


def merged(records: Sequence[Record]) -> list[Record]:
    """Return one record for each program and repetition, with the median of its times."""
    found = []
    for repetition in sorted({r["repetition"] for r in records}):
        for name in PROGRAMS:
            same = [
                r
                for r in records
                if r["repetition"] == repetition and r["contender"].rpartition(" ")[0] == name
            ]
            if same:
                time = median([r["wall_s"] for r in same])
                found.append({**same[0], "contender": name, "wall_s": time})
    return found


JOB = Job("imports", pieces, rows)
