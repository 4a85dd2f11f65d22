"""The stored rows: one line of JSON for each set, seed and contender."""

import json
from pathlib import Path
from typing import Any

from experiments.ledger.provenance import ROOT

STORED = ROOT / "docs" / "defaults"
"""The folder of the rows, a file for each contender."""

Stored = dict[str, Any]
Key = tuple[str, int, str]
"""Set, seed and contender."""


def rows_of(file: Path) -> list[Stored]:
    """Return the rows of a file, in their order; none if it does not exist."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def read_rows(folder: Path = STORED) -> dict[Key, Stored]:
    """Return all rows; of several of one key, the last."""
    lines = [row for file in sorted(folder.glob("*.jsonl")) for row in rows_of(file)]
    return {(row["set"], row["seed"], row["contender"]): row for row in lines}


def add_row(row: Stored, folder: Path = STORED) -> None:
    """Append a row to the file of its contender; a figure that is not finite is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps(row, allow_nan=False, ensure_ascii=False)
    with (folder / f"{row['contender']}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
