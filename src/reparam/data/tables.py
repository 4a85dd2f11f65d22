"""Tables from files: columns of numbers, text and dates, by name.

Parquet and Arrow have types; the types of delimited text are found.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reparam.data.dates import dates_as_text
from reparam.data.delimited import (
    LARGEST_EXACT,
    MISSING,
    ROUNDED,
    Values,
    cells_of,
    check_names,
    few_decimals,
    read_delimited,
    values_of,
)
from reparam.errors import DataError
from reparam.schema import Stored, Value, missing_in
from reparam.utils.files import as_path, reason, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITED = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
"""The endings of files of delimited text."""

COLUMNAR = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
"""The endings of files of typed columns."""

STEPS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""The units of durations, and their number in a second."""

READING = ("na_values", "delimiter", "header", "encoding", "skip_damaged", "decimal")
"""The options of ``read_table`` that a run records."""


@dataclass(frozen=True)
class Classes:
    """The classes that the type of a column declares, as a column of categories does.

    Arguments:
        values: The classes that rows of the whole table have, in their order.
        is_ordered: Whether their order means something.
    """

    values: tuple[Value, ...]
    is_ordered: bool


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Arguments:
        name: Its name in messages.
        columns: float64 with NaN, ``datetime64`` with NaT, or objects that are text or None, by
            name, each with shape (N,).
        stored: The type of each column in the user's table.
        decimals: The decimals of columns of numbers, where there are few.
        declared: The classes of columns of categories.
        notes: Remarks on how the table was understood.
        decimal: The mark before decimals in a file of text.
        zones: The zones of columns of times that have one, by name; times count from UTC.
        orders: The orders of year, month and day in columns of dates of text, by name.
        written: A few dates of these columns, which show how all are written, by name.
        cells: The cells as they stand in the file, where they are kept.
        nested: Why columns are left out whose cells are lists or mappings, by name.
    """

    name: str
    columns: Mapping[str, NDArray[Any]]
    stored: Mapping[str, Stored]
    decimals: Mapping[str, int | None]
    declared: Mapping[str, Classes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    decimal: str | None = None
    zones: Mapping[str, str] = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cells: "pa.Table | None" = None
    nested: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def without(self, *names: str) -> "Table":
        """Return the table without some columns."""
        columns = {name: values for name, values in self.columns.items() if name not in names}
        return replace(self, columns=columns, cells=None)

    def take(self, rows: NDArray[Any]) -> "Table":
        """Return some rows, by their numbers."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, cells=None)


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    na_values: Sequence[str] = (),
    encoding: str | None = None,
    skip_damaged: bool = False,
    decimal: str | None = None,
    usual_decimal: str | None = None,
    text_columns: Collection[str] = (),
    mixed_columns: Collection[str] = (),
    keeps_cells: bool = False,
) -> Table:
    """Return the table in a file: delimited text, Parquet or Arrow.

    Arguments:
        path: The file; one that ends in one of ``COLUMNAR`` has typed columns, any other is text.
        delimiter: The character between cells of text; found when None.
        header: Whether the first line of text names the columns; found when None.
        na_values: Further cells of text that are missing values, beside ``delimited.MISSING``.
        encoding: The encoding of text; UTF-8 when None.
        skip_damaged: Whether damaged rows of text are left out, at most half: see ``delimited``.
        decimal: The mark before decimals in text, a point or a comma; found when None.
        usual_decimal: The mark of text whose cells do not tell it; None for none.
        text_columns: The columns of text that stay text, whatever their cells.
        mixed_columns: The columns that are text where some of their cells are no numbers.
        keeps_cells: Whether the table keeps the cells as they stand in the file; of one without
            damaged rows.

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
        typed = _columnar(place)
        return replace(of_arrow(typed, str(place)), cells=typed if keeps_cells else None)
    text = read_delimited(
        place,
        delimiter=delimiter,
        header=header,
        na_values=na_values,
        encoding=encoding,
        skip_damaged=skip_damaged,
        decimal=decimal,
        usual_decimal=usual_decimal,
        text_columns=text_columns,
        mixed_columns=mixed_columns,
    )
    return Table(
        str(place),
        {column.name: column.values for column in text.columns},
        {column.name: column.stored for column in text.columns},
        {c.name: c.decimals for c in text.columns if c.stored in ("int", "float")},
        notes=(*text.notes, *(note for column in text.columns for note in column.notes)),
        decimal=text.decimal,
        zones={column.name: column.zone for column in text.columns if column.zone},
        orders={column.name: column.order for column in text.columns if column.order},
        written={column.name: column.written for column in text.columns if column.written},
        cells=text.cells if keeps_cells and not skip_damaged else None,
    )


def of_arrow(table: "pa.Table", name: str, text_columns: Collection[str] = ()) -> Table:
    """Return a table of Arrow.

    Arguments:
        table: The table.
        name: Its name in messages.
        text_columns: The columns of text that stay text, whatever their cells.

    Raises:
        DataError: No rows, columns of one name, or no column but nested values, which are left out
            beside others.
    """
    check_names(table.column_names, name)
    notes = []
    if table.num_rows == 0 or table.num_columns == 0:
        raise DataError(
            f"{name} has {table.num_rows} rows of {table.num_columns} columns: give a table with "
            "one row for each example"
        )
    import pyarrow as pa

    columns: dict[str, NDArray[Any]] = {}
    stored: dict[str, Stored] = {}
    decimals: dict[str, int | None] = {}
    declared: dict[str, Classes] = {}
    zones: dict[str, str] = {}
    orders: dict[str, str] = {}
    written: dict[str, tuple[str, ...]] = {}
    is_untyped = all(is_text(named.type) for named in table.schema)
    nested = [named for named in table.schema if _is_nested(named.type)]
    if len(nested) == table.num_columns:
        nested = []  # the first one is refused
    left_out = {n.name: f"each cell is a {n.type}, and no single value" for n in nested}
    notes += [f"left out: {column} ({why})" for column, why in left_out.items()]
    for named in table.schema:
        if named in nested:
            continue
        what = f"column {named.name!r} of {name}"
        column = table.column(named.name)
        rounded = _rounded(column)
        if rounded is not None:
            notes.append(ROUNDED.format(name=named.name, value=rounded))
            column = column.cast(pa.string())
        notes += _lost_digits(column, named.name)
        values, kind = _values(column, what)
        if is_text(named.type) and named.name not in text_columns:
            read = _read_text(column, named.name, is_untyped)
            notes += read.notes
            if read.stored != "text":
                values, kind = read.values, read.stored
            if read.stored == "date":
                zones[named.name], orders[named.name] = read.zone, read.order
                written[named.name] = read.written
        columns[named.name], stored[named.name] = values, kind
        if kind in ("int", "float", "duration"):
            decimals[named.name] = 0 if kind == "int" else few_decimals(values)
        if pa.types.is_dictionary(named.type) and _declares(named.type.value_type):
            declared[named.name] = _classes(column, named)
        if pa.types.is_timestamp(named.type):
            zones[named.name] = named.type.tz or ""
    return Table(
        name,
        columns,
        stored,
        decimals,
        declared,
        tuple(notes),
        zones={key: zone for key, zone in zones.items() if zone},
        orders=orders,
        written=written,
        nested=left_out,
    )


def table_of_numbers(rows: NDArray[Any], names: Sequence[str], name: str) -> Table:
    """Return rows of numbers as a table, NaN for missing values.

    Arguments:
        rows: The rows, with shape (N, D).
        names: The names of the D columns.
        name: The name of the table in messages.

    Example:
        >>> table_of_numbers(np.array([[1.0], [np.nan]]), ["a"], "x").stored
        {'a': 'int'}
    """
    columns = dict(zip(names, rows.T, strict=True))
    decimals = {key: few_decimals(values) for key, values in columns.items()}
    kinds: dict[str, Stored] = {k: "int" if n == 0 else "float" for k, n in decimals.items()}
    return Table(name, columns, kinds, decimals)


def write_frame(
    path: Path, table: "pa.Table", written: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Write a table of Arrow to a file that ends in ``.csv`` or ``.parquet``.

    Arguments:
        path: The file.
        table: The table.
        written: For columns of dates, by name, a few dates in whose notation a file of text has
            them; ISO 8601 for others.

    Raises:
        WriteError: The file cannot be written.
    """
    from pyarrow import csv, parquet

    is_text = path.suffix.lower() == ".csv"

    def write(file: BinaryIO) -> None:
        if is_text:
            csv.write_csv(
                _for_text(table, written or {}), file, csv.WriteOptions(quoting_style="needed")
            )
        else:
            parquet.write_table(table, file)

    write_whole(path, write)


def _for_text(table: "pa.Table", written: Mapping[str, Sequence[str]]) -> "pa.Table":
    """Return a table in types that text has: dates without zeros, seconds, classes as values.

    Arguments:
        table: The table.
        written: See ``write_frame``.
    """
    import pyarrow as pa

    for i, named in enumerate(table.schema):
        column, kind = table.column(i), named.type
        if pa.types.is_timestamp(kind) and named.name in written:
            moments = column.cast(pa.int64()).cast(pa.timestamp("us")).to_numpy()
            column = pa.array(dates_as_text(moments, written[named.name]), pa.string())
        elif pa.types.is_timestamp(kind):
            column = without_zeros(column)
        elif pa.types.is_duration(kind):
            column = pa.array(_floats(column.cast(pa.int64())) / STEPS[kind.unit], from_pandas=True)
        elif pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        table = table.set_column(i, named.name, column)
    return table


def without_zeros(moments: "pa.Array | pa.ChunkedArray") -> "pa.Array | pa.ChunkedArray":
    """Return times as dates where all are midnight, as seconds where none has a part of one.

    Arguments:
        moments: The times, of an Arrow type of time stamps.

    Example:
        >>> import pyarrow as pa
        >>> without_zeros(pa.array([0, 86_400_000], pa.timestamp("ms"))).type
        DataType(date32[day])
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for kind in (pa.date32(), pa.timestamp("s", moments.type.tz)):
        short = moments.cast(kind, safe=False)
        if pc.all(pc.equal(short.cast(moments.type), moments)).as_py():
            return short
    return moments


def codes_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return values as numbers in their order, -1 for missing ones, with shape (N,).

    >>> codes_of(np.array(["b", None, "a", "b"], object)).tolist()
    [1, -1, 0, 1]
    """
    missing = missing_in(values)
    found = np.full(len(values), -1)
    found[~missing] = np.unique(values[~missing], return_inverse=True)[1]
    return found


def _columnar(path: Path) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import feather, parquet

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with parquet.ParquetFile(path, page_checksum_verification=True) as opened:
                check_names(opened.schema_arrow.names, path)
                return opened.read()
        try:
            return feather.read_table(path)
        except pa.ArrowInvalid:
            with pa.memory_map(str(path)) as source:
                return pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as a table ({reason(error)}): replace it"
        ) from error


def _read_text(column: "pa.ChunkedArray", name: str, is_untyped: bool) -> Values:
    """Return a column of text, as dates or numbers with decimals where all of its cells are such.

    Whole numbers may be codes, and stay text.

    Arguments:
        column: The column.
        name: Its name.
        is_untyped: Whether all columns of the table are text: then cells are read as those of a
            file of text.
    """
    read = values_of(cells_of(name, column, MISSING if is_untyped else ()))
    if read.misfits is not None:
        said = f"column {name!r} has {read.misfits.word!r}, and {read.misfits.others}: it is text"
        return replace(read, notes=[*read.notes, said])
    if is_untyped or read.stored in ("date", "text"):
        return read
    if read.stored == "float":
        said = f"column {name!r} holds numbers as text: they are read as numbers"
        return replace(read, notes=[said, *read.notes])
    return replace(read, stored="text", notes=[])


def _values(column: "pa.ChunkedArray", what: str) -> tuple[NDArray[Any], Stored]:
    """Return the values of a column of Arrow, and their type.

    Arguments:
        column: The column.
        what: The column in messages.

    Raises:
        DataError: Values of a type that is not read, or dates too far from 1970.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        try:
            plain = column.cast(kind.value_type)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise _unread(what, kind.value_type) from None
        return _values(plain, what)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan), "float"
    if pa.types.is_boolean(kind):
        return _floats(column.cast(pa.int8())), "bool"
    if pa.types.is_integer(kind):
        return _floats(column), "int"
    if pa.types.is_float32(kind):
        # The shortest decimal, such as 26.4, and not the number that float32 holds in its place.
        return _floats(column.cast(pa.string())), "float"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _floats(column), "float"
    if is_text(kind):
        return np.array(column.to_pylist(), object), "text"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        moments = pc.cast(column, pa.timestamp("us")) if pa.types.is_date(kind) else column
        if pa.types.is_timestamp(kind):
            try:
                moments = pc.cast(column, pa.timestamp("us", tz=kind.tz), safe=kind.unit != "ns")
            except pa.ArrowInvalid:
                raise DataError(
                    f"{what} has dates more than 290,000 years from 1970: leave these cells empty"
                ) from None
            moments = moments.cast(pa.int64()).cast(pa.timestamp("us"))
        return moments.to_numpy().astype("datetime64[us]"), "date"
    if pa.types.is_duration(kind):
        return _floats(column.cast(pa.int64())) / STEPS[kind.unit], "duration"
    raise _unread(what, kind)


_FIXES = {
    "pandas.period": "periods of time: convert it to dates by .dt.to_timestamp()",
    "pandas.interval": "intervals: convert it to classes by .astype(str)",
}
"""What columns of types that pandas alone has hold, and how to convert them."""


def _unread(what: str, kind: "pa.DataType") -> DataError:
    """Return the error for a column of a type that is not read."""
    import pyarrow as pa

    known = _FIXES.get(kind.extension_name) if isinstance(kind, pa.BaseExtensionType) else None
    if known is not None:
        return DataError(f"{what} holds {known}, or leave it out")
    return DataError(
        f"{what} holds values of type {kind}: a column of numbers, text, booleans or dates is "
        "needed, so convert it or leave it out"
    )


def is_text(kind: "pa.DataType") -> bool:
    """Return whether a type of Arrow is one of text."""
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _is_nested(kind: "pa.DataType") -> bool:
    """Return whether values are lists or mappings of numbers, text and so on.

    Bytes within them may be images, which are not left out without an error.
    """
    import pyarrow as pa

    return bool(pa.types.is_nested(kind)) and "binary" not in str(kind)


def _declares(kind: "pa.DataType") -> bool:
    """Return whether categories of a type are classes: text and numbers are, dates are not."""
    import pyarrow as pa

    return is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _classes(column: "pa.ChunkedArray", named: "pa.Field") -> Classes:
    """Return the classes that rows of a column of categories have.

    Arguments:
        column: The column.
        named: Its field, whose metadata say whether it is an ``Enum`` of polars, which has an order
            that means nothing.
    """
    used = set(column.cast(column.type.value_type).drop_null().unique().to_pylist())
    listed = column.unify_dictionaries().chunk(0).dictionary.to_pylist()
    is_enum = any(key.startswith(b"_PL_ENUM") for key in named.metadata or ())
    values = tuple(dict.fromkeys(value for value in listed if value in used))
    return Classes(values, column.type.ordered and not is_enum)


def _lost_digits(column: "pa.ChunkedArray", name: str) -> list[str]:
    """Return a remark on a column of times or durations that are not read to their last digit."""
    import pyarrow as pa

    kind = column.type
    if not pa.types.is_duration(kind) and not (pa.types.is_timestamp(kind) and kind.unit == "ns"):
        return []
    steps = column.drop_null().cast(pa.int64()).to_numpy()
    if pa.types.is_timestamp(kind) and (steps % 1000).any():
        return [f"column {name!r} has times below a microsecond, which are left out"]
    per_second = STEPS[kind.unit]
    if pa.types.is_duration(kind) and (np.rint(steps / per_second * per_second) != steps).any():
        return [
            f"column {name!r} has durations with more digits than double precision has: the last "
            "ones are rounded"
        ]
    return []


def _rounded(column: "pa.ChunkedArray") -> int | None:
    """Return the first whole number that double precision rounds; None without any."""
    import pyarrow as pa

    if not pa.types.is_integer(column.type) or column.type.bit_width < 64:
        return None
    numbers = column.drop_null().to_numpy()
    large = numbers[(numbers > LARGEST_EXACT) | (numbers < -LARGEST_EXACT)]
    return next((n for n in large.tolist() if int(float(n)) != n), None)


def _floats(column: "pa.ChunkedArray") -> NDArray[np.float64]:
    import pyarrow as pa

    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(numbers, np.float64)
