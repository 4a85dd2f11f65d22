"""Tables from files and from DataFrames: columns of numbers, text and dates, by name.

Parquet, Arrow and DataFrames have types; the types of delimited text are found.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import table_of
from reparam.data.delimited import (
    check_names,
    decimals_of,
    read_delimited,
    values_of,
)
from reparam.errors import DataError
from reparam.schema import Stored
from reparam.utils.files import as_path, reason, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITED = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
"""The endings of files of delimited text."""

COLUMNAR = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
"""The endings of files of typed columns."""

READING = ("na_values", "delimiter", "header", "encoding", "skip_bad_rows", "decimal")
"""The options of ``read_table`` that a run records."""

MOST_DECIMALS = 9
"""More decimals than this are rounding errors of binary numbers."""


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Arguments:
        name: Its name in messages.
        columns: float64 with NaN, ``datetime64`` with NaT, or objects that are text or None, by
            name, each with shape (N,).
        stored: The type of each column in the user's table.
        decimals: The decimals of columns of numbers, where there are few.
        notes: Remarks on how the table was understood.
        decimal: The mark before decimals in a file of text.
    """

    name: str
    columns: Mapping[str, NDArray[Any]]
    stored: Mapping[str, Stored]
    decimals: Mapping[str, int | None]
    notes: tuple[str, ...] = ()
    decimal: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def without(self, *names: str) -> "Table":
        """Return the table without some columns."""
        columns = {name: values for name, values in self.columns.items() if name not in names}
        return replace(self, columns=columns)

    def take(self, rows: NDArray[Any]) -> "Table":
        """Return some rows, by their numbers."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, columns=columns)


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    na_values: Sequence[str] = (),
    encoding: str | None = None,
    skip_bad_rows: bool = False,
    decimal: str | None = None,
    text_columns: Collection[str] = (),
    mixed_columns: Collection[str] = (),
) -> Table:
    """Return the table in a file: delimited text, Parquet or Arrow.

    Arguments:
        path: The file; one that ends in one of ``COLUMNAR`` has typed columns, any other is text.
        delimiter: The character between cells of text; found when None.
        header: Whether the first line of text names the columns; found when None.
        na_values: Further cells of text that are missing values, beside ``delimited.MISSING``.
        encoding: The encoding of text; UTF-8 when None.
        skip_bad_rows: Whether rows of text with another number of cells are left out.
        decimal: The mark before decimals in text, a point or a comma; found when None.
        text_columns: The columns of text that stay text, whatever their cells.
        mixed_columns: The columns that are text where some of their cells are no numbers.

    Raises:
        DataError: A file that is missing, damaged or empty; the message names row and column.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "people.csv"
        ...     _ = file.write_text("age,sex\\n40,F\\n32,M\\n")
        ...     read_table(file).columns
        {'age': array([40., 32.]), 'sex': array(['F', 'M'], dtype=object)}
    """
    place = as_path(path)
    if place.is_dir() or not place.exists():
        what = "is a folder" if place.is_dir() else "does not exist"
        raise DataError(f"{place} {what}: give a file of {', '.join((*DELIMITED, *COLUMNAR))}")
    if place.suffix.lower() in COLUMNAR:
        return of_arrow(_columnar(place), str(place))
    text = read_delimited(
        place,
        delimiter=delimiter,
        header=header,
        na_values=na_values,
        encoding=encoding,
        skip_bad_rows=skip_bad_rows,
        decimal=decimal,
    )
    columns: dict[str, NDArray[Any]] = {}
    stored: dict[str, Stored] = {}
    decimals: dict[str, int | None] = {}
    notes = [*text.notes]
    for cells in text.columns:
        is_text = cells.name in text_columns
        columns[cells.name], kind, more = values_of(
            cells, place, text.first_line, is_text, cells.name in mixed_columns, text.decimal
        )
        stored[cells.name] = kind
        notes += more
        if kind in ("int", "float"):
            decimals[cells.name] = _few(decimals_of(cells.distinct, text.decimal))
    return Table(str(place), columns, stored, decimals, tuple(notes), text.decimal)


def of_frame(frame: object, name: str = "x") -> Table | None:
    """Return a DataFrame as a table; None for anything else.

    Arguments:
        frame: A DataFrame of pandas, polars or Arrow.
        name: The name of the table in messages.

    Raises:
        DataError: A column of mixed or nested values.
    """
    table = table_of(frame, name)
    if table is None:
        return None
    check_names([str(column) for column in table.columns], name)
    try:
        arrow = _arrow_of(table)
    except Exception as error:  # Arrow has several classes of errors for values of mixed types
        raise DataError(
            f"{name} has a column of mixed values ({reason(error)}): give each column one type"
        ) from error
    return of_arrow(arrow, name)


def _arrow_of(table: Any) -> "pa.Table":
    """Return a frame of narwhals as a table of Arrow, without the index of pandas."""
    import pyarrow as pa

    native = table.to_native()
    if table.implementation.is_pandas():
        return pa.Table.from_pandas(native, preserve_index=False)
    return table.to_arrow()


def of_arrow(table: "pa.Table", name: str) -> Table:
    """Return a table of Arrow.

    Arguments:
        table: The table.
        name: Its name in messages.

    Raises:
        DataError: No rows, columns of one name, or a column of nested values.
    """
    check_names(table.column_names, name)
    if table.num_rows == 0 or table.num_columns == 0:
        raise DataError(
            f"{name} has {table.num_rows} rows of {table.num_columns} columns: give a table with "
            "one row for each example"
        )
    columns: dict[str, NDArray[Any]] = {}
    stored: dict[str, Stored] = {}
    decimals: dict[str, int | None] = {}
    for field in table.schema:
        what = f"column {field.name!r} of {name}"
        values, kind = _values(table.column(field.name), what)
        columns[field.name], stored[field.name] = values, kind
        if kind in ("int", "float"):
            decimals[field.name] = 0 if kind == "int" else _decimals(values)
    return Table(name, columns, stored, decimals)


def table_of_numbers(columns: Mapping[str, NDArray[Any]], name: str) -> Table:
    """Return columns of numbers as a table, NaN for missing values.

    Example:
        >>> table_of_numbers({"a": np.array([1.0, np.nan])}, "x").stored
        {'a': 'int'}
    """
    decimals = {key: _decimals(values) for key, values in columns.items()}
    kinds: dict[str, Stored] = {k: "int" if n == 0 else "float" for k, n in decimals.items()}
    return Table(name, columns, kinds, decimals)


def backend_of(frame: object) -> str | None:
    """Return the name of the library of a DataFrame; None for anything else.

    >>> backend_of(np.zeros(3)) is None
    True
    """
    table = table_of(frame, "x")
    return None if table is None else str(table.implementation.value)


def to_frame(
    columns: Mapping[str, NDArray[Any]], backend: str | None = None, like: object = None
) -> Any:
    """Return columns as a DataFrame, or as a table of Arrow.

    Arguments:
        columns: The columns by name, as ``Schema.decode`` returns them.
        backend: The library, such as ``pandas`` or ``polars``; None for Arrow.
        like: A DataFrame of pandas with as many rows, whose index the result gets.

    Example:
        >>> to_frame({"age": np.array([40, 32])}).to_pylist()
        [{'age': 40}, {'age': 32}]
    """
    import pyarrow as pa

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    if backend is None:
        return table
    import narwhals as nw

    library: Any = backend
    found: Any = nw.from_arrow(table, backend=library).to_native()
    other: Any = table_of(like, "x")
    index = None if other is None else nw.maybe_get_index(other)
    if index is not None:
        found.index = index
    return found


def write_frame(path: Path, table: "pa.Table") -> None:
    """Write a table of Arrow to a file that ends in ``.csv`` or ``.parquet``.

    Raises:
        WriteError: The file cannot be written.
    """
    from pyarrow import csv, parquet

    is_text = path.suffix.lower() == ".csv"

    def write(file: BinaryIO) -> None:
        if is_text:
            csv.write_csv(_without_times(table), file, csv.WriteOptions(quoting_style="needed"))
        else:
            parquet.write_table(table, file)

    write_whole(path, write)


def _without_times(table: "pa.Table") -> "pa.Table":
    """Return a table with dates in place of times that are all midnight."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            days = table.column(i).cast(pa.date32(), safe=False)
            if pc.all(pc.equal(days.cast(field.type), table.column(i))).as_py():
                table = table.set_column(i, field.name, days)
    return table


def _columnar(path: Path) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import feather, parquet

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return parquet.read_table(path)
        try:
            return feather.read_table(path)
        except pa.ArrowInvalid:
            with pa.memory_map(str(path)) as source:
                return pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as a table ({reason(error)}): replace it"
        ) from error


def _values(column: "pa.ChunkedArray", what: str) -> tuple[NDArray[Any], Stored]:
    """Return the values of a column of Arrow, and their type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.cast(kind.value_type), what)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan), "float"
    if pa.types.is_boolean(kind):
        return _floats(column.cast(pa.int8())), "bool"
    if pa.types.is_integer(kind):
        return _floats(column), "int"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _floats(column), "float"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.array(column.to_pylist(), object), "text"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        moments = pc.cast(column, pa.timestamp("us")) if pa.types.is_date(kind) else column
        if pa.types.is_timestamp(kind):
            moments = pc.cast(column, pa.timestamp("us", tz=kind.tz), safe=False)
            moments = moments.cast(pa.int64()).cast(pa.timestamp("us"))
        return moments.to_numpy().astype("datetime64[us]"), "date"
    if pa.types.is_duration(kind):
        seconds = _floats(pc.cast(column, pa.duration("us"), safe=False).cast(pa.int64())) / 1e6
        return seconds, "float"
    raise DataError(
        f"{what} holds values of type {kind}: a column of numbers, text, booleans or dates is "
        "needed, so convert it or leave it out"
    )


def _floats(column: "pa.ChunkedArray") -> NDArray[np.float64]:
    import pyarrow as pa

    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(numbers, np.float64)


def _decimals(values: NDArray[np.float64]) -> int | None:
    """Return the number of decimals of numbers; None where it is large.

    >>> _decimals(np.array([1.5, 2.25, np.nan])), _decimals(np.array([1 / 3]))
    (2, None)
    """
    finite = np.unique(values[np.isfinite(values)])
    for n in range(MOST_DECIMALS + 1):
        if np.allclose(finite, finite.round(n), rtol=1e-12, atol=0):
            return n
    return None


def _few(decimals: int) -> int | None:
    return decimals if decimals <= MOST_DECIMALS else None
