"""Tables larger than memory: Parquet and Arrow files that are encoded once into the cache.

A table is read by batches of rows, twice. The first pass looks for what its schema depends on: the
first rows, and of all others those with the extremes of a column, its first missing value, its
first number that is not whole, and the first value of each class. The schema is that of these rows,
as if they were the table. The second pass encodes every row as float32.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.data.cache import cached, write_rows
from reparam.data.checks import UNLABELED
from reparam.data.columns import FEW_VALUES
from reparam.data.dataset import Dataset, Split
from reparam.data.dependencies import with_dependencies
from reparam.data.infer import (
    MOST_CLASSES,
    Override,
    column_of,
    refuse_infinite,
    schema_of,
)
from reparam.data.mixed import labels_of
from reparam.data.relations import with_relations
from reparam.data.remarks import remarks
from reparam.data.tables import Table, of_arrow
from reparam.errors import DataError
from reparam.schema import Schema, missing_in
from reparam.spec import DataSpec
from reparam.utils.files import reason, stored_path

if TYPE_CHECKING:
    import pyarrow as pa

BATCH, HEAD = 65_536, 200_000
"""The rows of a batch of Parquet, and the first rows that the schema depends on."""

PARQUET = (".parquet", ".pq")
"""The endings of files of Parquet; the other typed files are of Arrow."""


@dataclass(frozen=True)
class Batched:
    """The rows of a typed file in batches.

    Arguments:
        path: The file.
        n_rows: The number of rows.
        n_columns: The number of columns.
    """

    path: Path
    n_rows: int
    n_columns: int

    def batches(self, columns: Sequence[str] | None = None) -> "Iterator[pa.Table]":
        """Yield the rows of some columns, or of all.

        Raises:
            DataError: A file that is damaged.
        """
        import pyarrow as pa

        with _readable(self.path) as opened:
            if self.path.suffix.lower() in PARQUET:
                for batch in opened.iter_batches(BATCH, columns=columns):
                    yield pa.Table.from_batches([batch])
                return
            for i in range(opened.num_record_batches):
                table = pa.Table.from_batches([opened.get_batch(i)])
                table = table if columns is None else table.select(list(columns))
                for start in range(0, table.num_rows, BATCH):
                    yield table.slice(start, BATCH)


def batched(path: Path) -> Batched | None:
    """Return a typed file by batches; None for one that has none, such as an Arrow stream.

    Raises:
        DataError: A file of Parquet that is damaged.
    """
    try:
        with _readable(path) as opened:
            if path.suffix.lower() in PARQUET:
                metadata = opened.metadata
                return Batched(path, metadata.num_rows, len(opened.schema_arrow.names))
            counts = [opened.get_batch(i).num_rows for i in range(opened.num_record_batches)]
            return Batched(path, sum(counts), len(opened.schema.names))
    except DataError:
        if path.suffix.lower() in PARQUET:
            raise
        return None


@contextmanager
def _readable(path: Path) -> Iterator[Any]:
    """Open a file of Parquet or Arrow."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if path.suffix.lower() in PARQUET:
            with parquet.ParquetFile(path, page_checksum_verification=True) as opened:
                yield opened
        else:
            with pa.memory_map(str(path)) as source:
                yield pa.ipc.open_file(source)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as a table ({reason(error)}): replace it"
        ) from error


@dataclass
class Seen:
    """What was seen of a column, to tell which rows show something new.

    Arguments:
        low: The least value, or the first moment.
        high: The largest.
        values: The distinct texts, or the first distinct numbers.
        has_missing: Whether a value is missing.
        has_fraction: Whether a number is not whole.
    """

    low: Any = None
    high: Any = None
    values: set[Any] = field(default_factory=set)
    has_missing: bool = False
    has_fraction: bool = False

    def new_in(self, values: NDArray[Any]) -> list[int]:
        """Return the numbers of the rows that show something new, and remember it.

        Arguments:
            values: The values of some rows, as in a ``Table``, with shape (N,).
        """
        found: list[int] = []
        missing = missing_in(values)
        if missing.any() and not self.has_missing:
            self.has_missing = True
            found.append(int(missing.argmax()))
        places = np.flatnonzero(~missing)
        if not len(places):
            return found
        there = values[places]
        most = MOST_CLASSES if values.dtype.kind == "O" else FEW_VALUES
        if len(self.values) <= most:
            distinct, first = np.unique(there, return_index=True)
            new = [(v, i) for v, i in zip(distinct.tolist(), first, strict=True)]
            new = [(v, i) for v, i in new if v not in self.values][: most + 1]
            self.values |= {v for v, _ in new}
            found += [int(places[i]) for _, i in new]
        if values.dtype.kind == "O":
            return found
        least, largest = int(there.argmin()), int(there.argmax())
        if self.low is None or there[least] < self.low:
            self.low = there[least]
            found.append(int(places[least]))
        if self.high is None or there[largest] > self.high:
            self.high = there[largest]
            found.append(int(places[largest]))
        if values.dtype.kind == "f" and not self.has_fraction:
            fractions = there != there.round()
            if fractions.any():
                self.has_fraction = True
                found.append(int(places[fractions.argmax()]))
        return found


def telling_rows(source: Batched) -> Table:
    """Return the first rows of a table, and those of the others that show something new.

    Raises:
        DataError: Infinite numbers.
    """
    import pyarrow as pa

    seen: dict[str, Seen] = {}
    kept, start = [], 0
    for batch in source.batches():
        table = of_arrow(batch, _named(source, start))
        refuse_infinite(table)
        rows = {
            row
            for name, values in table.columns.items()
            for row in seen.setdefault(name, Seen()).new_in(values)
        }
        n_first = min(max(0, HEAD - start), len(table))
        later = sorted(row for row in rows if row >= n_first)
        kept += [batch.slice(0, n_first), batch.take(pa.array(later, pa.int64()))]
        start += len(table)
    return of_arrow(pa.concat_tables(kept), str(source.path))


def _named(source: Batched, start: int) -> str:
    """Return the name of a batch in messages, which count rows from its first one."""
    return str(source.path) if start == 0 else f"{source.path} from row {start:,} on"


def encoded_table(
    source: Batched,
    *,
    target: str | None = None,
    schema: Schema | None = None,
    overrides: Mapping[str, Override] | None = None,
    missing_as_value: bool = False,
    name: str = "table",
) -> Dataset:
    """Return a data set of a table that is encoded in the cache, all of it for training.

    Arguments:
        source: The table.
        target: The column that holds the labels; see ``from_table``.
        schema: The columns of x; inferred when None.
        overrides: What the user says of columns, by name.
        missing_as_value: Whether missing values are values of their own.
        name: The name of the data in messages.

    Raises:
        DataError: A table with no column to learn from, or a target that is no class.
        OptionError: A column that does not exist.
    """
    stat = source.path.stat()
    key = {
        "path": stored_path(source.path.absolute()),
        "n_bytes": stat.st_size,
        "changed": stat.st_mtime_ns,
        "target": target,
        "schema": None if schema is None else schema.to_list(),
        "overrides": overrides,
        "missing_as_value": missing_as_value,
    }

    def make(path: Path) -> Mapping[str, Any]:
        few = telling_rows(source)
        classes: tuple[str, ...] = ()
        others = dict(overrides or {})
        column: list[dict[str, Any]] = []
        if target is not None:
            said_of_it = others.pop(target, {})
            classes = labels_of(few, target, said_of_it)[1]
            column = Schema((column_of(few, target, said_of_it),)).to_list()
            few = few.without(target)
        found = schema or _inferred(few, others, missing_as_value, is_whole=source.n_rows <= HEAD)
        size = (source.n_rows, len(found.features))
        write_rows(path, size, np.dtype(np.float32), _encoded(source, found))
        said = f"columns are described by the first {HEAD:,} rows, and by the extremes of all"
        notes = [*([said] if source.n_rows > HEAD else []), *remarks(few, found)]
        return {"schema": found.to_list(), "classes": classes, "target": column, "notes": notes}

    made = cached("tables", key, make)
    found, classes = Schema.from_list(made.facts["schema"]), tuple(made.facts["classes"])
    y = None
    if target is not None:
        y = _labels(source, Schema.from_list(made.facts["target"]))
    spec = DataSpec(
        (len(found.features),),
        "mixed",
        n_classes=len(classes) or None,
        name=name,
        columns=found.names,
        schema=found,
    )
    split = Split(made.mapped.tensor(), y, mapped=made.mapped)
    told = f"the encoded rows are in {made.mapped.path}"
    notes = (*made.facts["notes"], told)
    return Dataset(name, spec, {"train": split}, class_names=classes, notes=notes)


def _inferred(
    few: Table, overrides: Mapping[str, Override], missing_as_value: bool, *, is_whole: bool
) -> Schema:
    """Return the schema of the telling rows of a table.

    Whether a column numbers the rows, or is free text, is seen in rows that follow each other.

    Arguments:
        few: The telling rows.
        overrides: What the user says of columns, by name.
        missing_as_value: Whether missing values are values of their own.
        is_whole: Whether the telling rows are all rows of the table.
    """
    head = few.take(np.arange(min(HEAD, len(few))))
    alone = {}
    for name, values in head.columns.items():
        there = values[~missing_in(values)]
        if name in overrides or not len(there) or bool((there == there[0]).all()):
            continue
        column = column_of(head, name, {})
        if column.kind == "ignored":
            alone[name] = column
    ignored = {name: {"kind": "ignored"} for name in alone}
    found = schema_of(few, {**overrides, **ignored}, missing_as_value).with_columns(alone)
    if is_whole:
        return with_relations(found, few, overrides)
    # Formulas and orders of the first rows may not be those of all others.
    return with_dependencies(found, few, overrides)


def _encoded(source: Batched, schema: Schema) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of a table as x, with shape (n, D)."""
    start = 0
    for batch in source.batches():
        table = of_arrow(batch, _named(source, start))
        yield schema.encode(table.columns, table.name)
        start += len(table)


def _labels(source: Batched, schema: Schema) -> Tensor:
    """Return the labels in a column of a table, -1 for missing ones, with shape (N,)."""
    (column,) = schema.columns
    parts, start = [], 0
    for batch in source.batches([column.name]):
        table = of_arrow(batch, _named(source, start))
        codes = column.encode(table.columns[column.name], table.name)
        parts.append(np.where(np.isnan(codes), UNLABELED, codes).astype(np.int64))
        start += len(table)
    return torch.from_numpy(np.concatenate(parts))
