"""Tables of pandas, polars and other libraries, read through narwhals.

narwhals is imported only for objects that may be tables, and none of the libraries is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reparam.errors import DataError, unknown

PLAIN = (str, bytes, list, tuple, dict, set, int, float, type, type(None))
"""The types of objects that are neither an array nor a table."""


def table_of(values: object, name: str) -> Any | None:
    """Return a DataFrame or a Series as a frame of narwhals; None for anything else.

    Arguments:
        values: Anything.
        name: The name of the values in messages, and of the column that a Series becomes.

    Raises:
        DataError: A table that is not in memory, such as a LazyFrame of polars.
    """
    if isinstance(values, (np.ndarray, np.generic, Tensor, *PLAIN)):
        return None
    import narwhals as nw

    table: Any = values
    try:
        if nw.dependencies.is_into_series(table):
            return nw.from_native(table, series_only=True).alias(name).to_frame()
        if nw.dependencies.is_into_dataframe(table):
            return nw.from_native(table, eager_only=True)
    except nw.exceptions.NarwhalsError as error:
        raise DataError(
            f"{name} is a table that cannot be read ({first_line(error)}): give an array of its "
            "numbers, as .to_numpy() returns"
        ) from error
    return None


def columns_of(values: object, name: str) -> dict[str, NDArray[Any]] | None:
    """Return the columns of a table, float64 or objects that are text; None for other data.

    Arguments:
        values: A DataFrame, or a mapping from names to one value or to one for each row. A missing
            number is NaN, a missing text None.
        name: The name of the values in messages.

    Raises:
        DataError: A column of dates, or of other objects than text.

    Example:
        >>> columns_of({"age": [40], "sex": ["F"]}, "c")
        {'age': array([40.]), 'sex': array(['F'], dtype=object)}
    """
    if isinstance(values, Mapping):
        return {str(key): _column(column, f"{name}[{key!r}]") for key, column in values.items()}
    frame = table_of(values, name)
    if frame is None:
        return None
    import narwhals as nw

    columns = {}
    for column in frame.iter_columns():
        given = _floats(column) if _is_number(column) else column.to_list()
        if column.dtype in (nw.Categorical, nw.Enum):
            given = [None if v is None or v != v else str(v) for v in given]
        columns[str(column.name)] = _column(given, f"{name}[{column.name!r}]")
    return columns


def columns_apart(
    table: object, label: str | None, covariates: Sequence[str], name: str = "x"
) -> tuple[Any, Any, Any]:
    """Return a table without some columns, the column of labels, and the table of covariates.

    Arguments:
        table: A DataFrame.
        label: The name of the column of labels; None without one.
        covariates: The names of the columns of covariates.
        name: The name of the table in messages.

    Raises:
        DataError: An array, which has no named columns.
        OptionError: A column that does not exist.
    """
    frame = table_of(table, name)
    wanted = [*([] if label is None else [label]), *covariates]
    if frame is None:
        raise DataError(
            f"{name} is a {type(table).__name__} without the named columns {', '.join(wanted)}: "
            "give a DataFrame, or arrays for y and covariates"
        )
    for column in wanted:
        if column not in frame.columns:
            raise unknown(f"column of {name}", column, map(str, frame.columns))
    x = frame.select([column for column in frame.columns if column not in wanted])
    found = None if label is None else columns_of(frame.select(label).to_native(), name)
    beside = frame.select(covariates).to_native() if covariates else None
    return x.to_native(), None if found is None else found[str(label)], beside


def numbers_of(frame: Any, name: str) -> NDArray[Any]:
    """Return the columns of a frame of narwhals, with shape (rows, columns)."""
    columns = list(frame.iter_columns())  # by place, since pandas has columns without a name
    other = [column for column in columns if not _is_number(column)]
    if other:
        listed = ", ".join(f"{column.name} ({column.dtype})" for column in other[:4])
        more = ", ..." if len(other) > 4 else ""
        raise DataError(
            f"{name} has {len(other)} of {len(columns)} columns that hold no numbers: "
            f"{listed}{more}; drop them, or number their values (sparse columns become dense by "
            "x.sparse.to_dense())"
        )
    is_whole = all(column.dtype.is_integer() for column in columns)
    if not is_whole or any(column.null_count() for column in columns):
        return np.stack([_floats(column) for column in columns], axis=1)
    array: NDArray[Any] = frame.to_numpy()
    return array


def _column(values: object, name: str) -> NDArray[Any]:
    """Return a column as float64, or as objects that are text or None."""
    array = np.asarray(values.tolist() if isinstance(values, Tensor) else values)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    listed = [None if v is None or v != v else v for v in array.ravel().tolist()]
    other = [v for v in listed if not isinstance(v, str | None)]
    if array.dtype.kind not in "OU" or other or array.ndim > 1:
        shown = other[0] if other else array.dtype
        raise DataError(
            f"{name} holds {shown!r}: a column of numbers or of text is needed, so convert it"
        )
    return np.array(listed, object).reshape(array.shape)


def _is_number(column: Any) -> bool:
    return bool(column.dtype.is_numeric()) or str(column.dtype) == "Boolean"


def _floats(column: Any) -> NDArray[np.float64]:
    import narwhals as nw

    numbers: NDArray[np.float64] = column.cast(nw.Float64).to_numpy()
    return numbers


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error, without its full stop."""
    return str(error).partition("\n")[0].rstrip(".")
