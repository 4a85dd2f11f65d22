"""Stored measurements: JSON files that are written whole, and records that are added one by one.

A benchmark takes long and may be stopped. Each record is written when it is complete. A measurement
that is resumed on the same machine with the same options skips the records that exist.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reparam.errors import DataError

Record = dict[str, Any]


def read_json(path: Path) -> Any:
    """Return the values of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON, whole or not at all; NaN and infinity are refused.

    Raises:
        ValueError: A number that is not finite.
        OSError: The file cannot be written.
    """
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".writing-{path.name}")
    unfinished.write_text(f"{text}\n", encoding="utf-8")
    unfinished.replace(path)


class Records:
    """The records of a measurement, in a file with their provenance.

    Arguments:
        path: The JSON file.
        facts: The provenance and the options of the measurement.
        resume: Whether to continue the measurement in the file, if there is one.
        fixed: The facts that must be equal to continue.

    Raises:
        DataError: The measurement in the file differs in a fixed fact.
    """

    def __init__(
        self, path: Path, facts: dict[str, Any], *, resume: bool, fixed: Sequence[str]
    ) -> None:
        self.path = path
        self.values: dict[str, Any] = {**facts, "records": []}
        if not resume or not path.exists():
            return
        before = read_json(path)
        for name in fixed:
            if before.get(name) != facts[name]:
                raise DataError(
                    f"{path} was measured with {name}={before.get(name)!r}, now it is "
                    f"{facts[name]!r}: measure again, without --resume"
                )
        self.values["records"] = before["records"]

    @property
    def records(self) -> list[Record]:
        """The records so far."""
        found: list[Record] = self.values["records"]
        return found

    def has(self, **key: Any) -> bool:
        """Return whether there is a record with these values."""
        return any(key.items() <= record.items() for record in self.records)

    def add(self, record: Record) -> None:
        """Add a record, and write the file."""
        self.records.append(record)
        write_json(self.path, self.values)
