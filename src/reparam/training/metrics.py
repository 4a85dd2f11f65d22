"""The rows of metrics of a run, stored as JSON lines: one mapping of scalars for each line."""

import json
from collections.abc import Callable, Mapping
from math import isfinite, nan
from pathlib import Path
from typing import Any

from reparam.training.events import Callback, Event
from reparam.utils.files import read_regular, write_atomic, write_error

METRICS_LIMIT = 2**30
"""The largest file of metrics that is read, in bytes: some million rows."""

HUGE = 1e300
"""A larger number is damage, and no plot could show it beside others."""


def read_rows(path: Path, warn: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a file of metrics, without a last line that is cut.

    Arguments:
        path: The file; without one there are no rows.
        warn: A function that receives a warning about damaged rows, which are left out.

    Raises:
        OSError: The file exists and cannot be read.
    """
    try:
        lines = read_regular(path, METRICS_LIMIT).split(b"\n")
    except FileNotFoundError:
        return []
    whole, last = lines[:-1], lines[-1]
    found = [_row(line) for line in (*whole, last) if line.strip()]
    # Each split has one row at a step.
    rows = {(row["split"], row["step"]): row for row in found if row is not None}
    damaged = len(found) - len(rows) - bool(last.strip() and _row(last) is None)
    if damaged and warn is not None:
        warn(f"{path} is damaged: {damaged} of its {len(found)} rows are left out")
    return list(rows.values())


def _row(line: bytes) -> dict[str, Any] | None:
    """Return a row of metrics, with NaN for null; None for a line that is no row."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or row.get("split") not in ("train", "validation"):
        return None
    if not all(type(row.get(name)) is int and row[name] >= 0 for name in ("epoch", "step")):
        return None
    figures = [value for name, value in row.items() if name != "split" and value is not None]
    if not all(type(value) in (int, float) and not abs(value) > HUGE for value in figures):
        return None
    return {name: nan if value is None else value for name, value in row.items()}


def as_line(row: Mapping[str, Any]) -> str:
    """Return a row of metrics as a line of its file, with null for numbers that are not finite.

    >>> as_line({"step": 1, "loss": float("inf")})
    '{"step": 1, "loss": null}\\n'
    """
    values = {k: v if isinstance(v, str) or isfinite(v) else None for k, v in row.items()}
    return json.dumps(values) + "\n"


class MetricsFile(Callback):
    """Append every row to a file; at the start, remove the rows after the current step.

    Arguments:
        path: The file.
        warn: A function that receives a warning about damaged rows, which are removed too.

    Raises:
        WriteError: The file cannot be written.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path, self._warn = path, warn

    def on_start(self, event: Event) -> None:
        """Keep the rows up to the step from which training goes on."""
        try:
            kept = [row for row in read_rows(self.path, self._warn) if row["step"] <= event.step]
            write_atomic(self.path, "".join(map(as_line, kept)))
        except OSError as error:
            raise write_error(self.path, error) from error

    def on_log(self, event: Event) -> None:
        """Append the row."""
        if event.row:
            try:
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(as_line(event.row))
            except OSError as error:
                raise write_error(self.path, error) from error

    on_epoch = on_log
