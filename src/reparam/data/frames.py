"""DataFrames of pandas, polars and Arrow: as tables, and back with the types of their columns."""

from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from reparam.data.arrays import table_of
from reparam.data.dates import dates_as_text
from reparam.data.delimited import check_names
from reparam.data.tables import STEPS, Table, is_text, of_arrow, without_zeros
from reparam.errors import DataError
from reparam.utils.files import reason

if TYPE_CHECKING:
    import pyarrow as pa


def of_frame(frame: object, name: str = "x", text_columns: Collection[str] = ()) -> Table | None:
    """Return a DataFrame as a table; None for anything else.

    Arguments:
        frame: A DataFrame of pandas, polars or Arrow.
        name: The name of the table in messages.
        text_columns: The columns of text that stay text, although their cells look like dates.

    Raises:
        DataError: A column of mixed values, or no column but nested values.
    """
    found = read_frame(frame, name, text_columns)
    return None if found is None else found[0]


def read_frame(
    frame: object, name: str = "x", text_columns: Collection[str] = ()
) -> "tuple[Table, FrameType] | None":
    """Return a DataFrame as a table, and its type; None for anything else.

    Arguments:
        frame: A DataFrame of pandas, polars or Arrow.
        name: The name of the table in messages.
        text_columns: The columns of text that stay text, although their cells look like dates.

    Raises:
        DataError: A column of mixed values, or no column but nested values.
    """
    arrow = _arrow_of(frame, name)
    if arrow is None:
        return None
    return of_arrow(arrow, name, text_columns), FrameType.of_arrow(arrow, _library_of(frame))


@dataclass(frozen=True)
class FrameType:
    """The library of a DataFrame, and the types of its columns.

    Arguments:
        backend: The library, such as ``pandas`` or ``polars``.
        empty: A table of Arrow with the columns and no rows. Its metadata hold the types that Arrow
            does not have, its dictionaries the classes of columns of categories.

    Example:
        >>> import numpy as np, pandas
        >>> sizes = pandas.Categorical(["S", "L"], ["S", "M", "L"], ordered=True)
        >>> kept = FrameType.of(pandas.DataFrame({"size": sizes}))
        >>> kept.frame({"size": np.array(["L", None], object)})["size"].cat.categories.tolist()
        ['S', 'M', 'L']
    """

    backend: str
    empty: "pa.Table"

    @classmethod
    def of(cls, frame: object, name: str = "x") -> Self | None:
        """Return the type of a DataFrame; None for anything else.

        Arguments:
            frame: A DataFrame of pandas, polars or Arrow.
            name: The name of the table in messages.

        Raises:
            DataError: A column of mixed values.
        """
        arrow = _arrow_of(frame, name)
        return None if arrow is None else cls.of_arrow(arrow, _library_of(frame))

    @classmethod
    def of_arrow(cls, arrow: "pa.Table", backend: str) -> Self:
        """Return the type of a DataFrame that was converted to Arrow.

        Arguments:
            arrow: The table of Arrow.
            backend: The library of the DataFrame.
        """
        import pyarrow as pa

        arrow = arrow.unify_dictionaries()
        # A slice of a column of categories keeps its dictionary, an empty array has none.
        columns = [
            column.chunk(0).slice(0, 0) if column.num_chunks else pa.array([], column.type)
            for column in arrow.columns
        ]
        return cls(backend, pa.table(columns, schema=arrow.schema))

    @property
    def is_numeric(self) -> bool:
        """Whether all columns are numbers or booleans."""
        from pyarrow import types

        tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
        return all(any(test(field.type) for test in tests) for field in self.empty.schema)

    @property
    def texts(self) -> list[str]:
        """The names of the columns of text."""
        return [field.name for field in self.empty.schema if is_text(field.type)]

    def frame(
        self,
        columns: Mapping[str, NDArray[Any]],
        like: object = None,
        written: Mapping[str, Sequence[str]] | None = None,
        nested: Collection[str] = (),
    ) -> Any:
        """Return columns as a DataFrame of this type.

        Arguments:
            columns: The columns by name, as ``Schema.decode`` returns them. One that the type does
                not have gets the type of its values.
            like: A DataFrame of pandas with as many rows, whose index the result gets.
            written: For columns of dates, by name, a few dates in whose notation a column of text
                has them; ISO 8601 for others.
            nested: The columns of ``like`` that come back unchanged, since cells are lists.
        """
        import narwhals as nw

        texts = {
            name: dates_as_text(columns[name], words)
            for name, words in (written or {}).items()
            if name in self.texts and columns[name].dtype.kind == "M"
        }
        table = to_arrow({**columns, **texts}, self.empty)
        library: Any = self.backend
        try:
            found: Any = nw.from_arrow(table, backend=library).to_native()
        except TypeError:  # pandas has no names for some of its types, such as dictionary[pyarrow]
            plain = table.replace_schema_metadata(None)
            found = nw.from_arrow(plain, backend=library).to_native()
        other: Any = table_of(like, "x")
        index = None if other is None else nw.maybe_get_index(other)
        if index is not None:
            found.index = index
        lacking = [name for name in nested if other is not None and name in other.columns]
        if lacking:
            made = nw.from_native(found, eager_only=True)
            made = made.with_columns(*(other[name] for name in lacking))
            order = [name for name in other.columns if name in made.columns]
            found = made.select(order).to_native()
        return found

    def to_text(self) -> str:
        """Return the type as text: see ``from_text``."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.empty.schema) as stream:
            # Of a table without rows no dictionary would be written.
            arrays = [column.chunk(0) for column in self.empty.columns]
            stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.empty.schema))
        encoded = b64encode(sink.getvalue().to_pybytes()).decode("ascii")
        return f"{self.backend}:{encoded}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the type that ``to_text`` wrote.

        Raises:
            ValueError: Another text.
        """
        import narwhals as nw
        import pyarrow as pa

        backend, _, encoded = text.partition(":")
        library: Any = backend
        nw.Implementation.from_backend(library)
        return cls(backend, pa.ipc.open_stream(b64decode(encoded, validate=True)).read_all())


def to_arrow(columns: Mapping[str, NDArray[Any]], empty: "pa.Table | None" = None) -> "pa.Table":
    """Return columns as a table of Arrow.

    Arguments:
        columns: The columns by name, as ``Schema.decode`` returns them.
        empty: A table with the types of the columns; those of their values when None.

    Example:
        >>> import numpy as np
        >>> to_arrow({"age": np.array([40, 32])}).to_pylist()
        [{'age': 40}, {'age': 32}]
    """
    import pyarrow as pa

    if empty is None:
        return pa.table({name: pa.array(values) for name, values in columns.items()})
    fields, arrays = [], []
    for name, values in columns.items():
        place = empty.schema.get_field_index(name)
        array = None if place < 0 else _typed(values, empty.column(place))
        if array is None:
            array = pa.array(values, from_pandas=True)
        field = pa.field(name, array.type)
        known = place >= 0 and empty.schema.field(place)
        # An Enum of polars has its classes in its metadata, and other classes do not fit it.
        if known and known.type == array.type and not _has_more_classes(array, empty, place):
            field = known
        fields.append(field)
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields, empty.schema.metadata))


def _has_more_classes(array: "pa.Array", empty: "pa.Table", place: int) -> bool:
    import pyarrow as pa

    return isinstance(array, pa.DictionaryArray) and len(array.dictionary) > len(
        empty.column(place).chunk(0).dictionary
    )


def _typed(values: NDArray[Any], like: "pa.ChunkedArray") -> "pa.Array | None":
    """Return values, as ``Column.decode`` returns them, in the type of a column of Arrow.

    None stands for a type that cannot hold them: the values then keep their own.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, array = like.type, pa.array(values, from_pandas=True)
    try:
        if pa.types.is_dictionary(kind):
            return _as_classes(array, like)
        if pa.types.is_null(kind) or pa.types.is_boolean(kind) != pa.types.is_boolean(array.type):
            return None
        if pa.types.is_duration(kind):
            steps = pc.multiply(array.cast(pa.float64()), float(STEPS[kind.unit]))
            return pc.round(steps).cast(pa.int64()).cast(kind)
        if pa.types.is_timestamp(kind) and pa.types.is_timestamp(array.type):
            # Times of a zone are counted in UTC.
            return array.cast(pa.int64()).cast(pa.timestamp("us", tz=kind.tz)).cast(kind)
        if pa.types.is_date(kind):
            return array.cast(pa.date32(), safe=False).cast(kind)
        if pa.types.is_timestamp(array.type):
            array = without_zeros(array).cast(pa.string())
        if pa.types.is_integer(kind) and pa.types.is_floating(array.type):
            array = pc.round(array)
        return array.cast(kind, safe=not pa.types.is_floating(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _as_classes(array: "pa.Array", like: "pa.ChunkedArray") -> "pa.Array | None":
    """Return values as the classes of a column of categories, with those that it lacks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(array.type) and not pa.types.is_temporal(like.type.value_type):
        array = without_zeros(array).cast(pa.string())
    plain, classes = array.cast(like.type.value_type), like.chunk(0).dictionary
    is_new = pc.invert(pc.is_in(plain.drop_null(), value_set=classes))
    classes = pa.concat_arrays([classes, plain.drop_null().filter(is_new).unique()])
    places = pc.index_in(plain, value_set=classes)
    index = like.type.index_type
    if len(classes) > 2 ** min(index.bit_width - 1, 31):
        index = pa.int32()
    return pa.DictionaryArray.from_arrays(places.cast(index), classes, ordered=like.type.ordered)


def _library_of(frame: object) -> str:
    """Return the name of the library of a DataFrame."""
    table: Any = table_of(frame, "x")
    return str(table.implementation.value)


def _arrow_of(frame: object, name: str) -> "pa.Table | None":
    """Return a DataFrame as a table of Arrow, without the index of pandas; None for other data."""
    import pyarrow as pa

    table = table_of(frame, name)
    if table is None:
        return None
    check_names([str(column) for column in table.columns], name)
    if table.implementation.is_pandas():
        for column, kind in table.to_native().dtypes.items():
            if str(kind).startswith("Sparse"):
                raise DataError(f"column {column!r} of {name} is sparse: give x.sparse.to_dense()")
    try:
        if table.implementation.is_pandas():
            # With preserve_index=False Arrow drops the labels of columns that are not text.
            return pa.Table.from_pandas(table.to_native().reset_index(drop=True))
        return table.to_arrow()
    except Exception as error:  # Arrow has several classes of errors for values of mixed types
        raise _mixed(table, name, error) from error


def _mixed(table: Any, name: str, error: Exception) -> DataError:
    """Return the error for a frame of narwhals that has a column that Arrow has no type for."""
    for column in table.iter_columns():
        kinds = sorted({type(v).__name__ for v in column.to_list() if v is not None})
        try:
            column.to_arrow()
        except Exception as own:  # as above
            what = f"column {column.name!r} of {name} holds values"
            if len(kinds) > 1:
                return DataError(f"{what} of several types ({', '.join(kinds)}): give it one type")
            return DataError(
                f"{what} of type {', '.join(kinds)} that are not read ({reason(own)}): convert it, "
                "for example to float"
            )
    return DataError(f"{name} is a table that cannot be read ({reason(error)}): convert it")
