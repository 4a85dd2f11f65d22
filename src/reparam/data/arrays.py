r"""Arrays and tables of any library as dense tensors, or one sentence on how to convert them.

A container whose numbers could be read wrongly (a mask that would be dropped, a sparse matrix that
would become one object, fields of different types) is refused. Tables of pandas, polars and other
libraries are read through narwhals, which is imported only for objects that may be tables; none of
the libraries is needed.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.errors import DataError, unknown
from reparam.spec import listed_names
from reparam.utils.files import reason

Array = Tensor | NDArray[Any]

_KINDS = {
    "c": "complex numbers: real numbers are needed, so take x.real or x.imag",
    "S": "bytes of text: real numbers are needed, so convert them",
    "U": "text: real numbers are needed, so convert them",
    "M": "dates: real numbers are needed, so convert them, for example to days since the first",
    "m": "time spans: real numbers are needed, so convert them, for example to seconds",
}
"""The kinds of NumPy arrays without real numbers, and how to convert them."""

_PARTS = ("x", "y", "covariates")
"""The keys of data in a mapping."""


@runtime_checkable
class _SupportsArray(Protocol):
    """An array of another library, by the protocol of NumPy."""

    def __array__(self) -> NDArray[Any]:
        """Return the values as an array of NumPy."""


def is_array(values: object) -> bool:
    """Return whether values are an array or a table of some library, of any content.

    >>> is_array(np.zeros(3)), is_array("zeros"), is_array([0.0])
    (True, False, False)
    """
    if isinstance(values, Tensor | np.ndarray) or _is_of("scipy.sparse", values):
        return True
    if isinstance(values, PLAIN):
        return False
    return table_of(values, "x") is not None or isinstance(values, _SupportsArray)


def parts_of(data: object) -> tuple[Any, Any, Any] | None:
    """Return x, y and covariates, each None where it is missing, of a tuple or mapping of them.

    Anything else than (x,), (x, y), (x, y, covariates) or a mapping with the key ``x`` gives None.

    Raises:
        OptionError: A key that is not one of the three.

    Example:
        >>> parts_of((3, 1)), parts_of({"x": 3, "covariates": 2}), parts_of(3)
        ((3, 1, None), (3, None, 2), None)
    """
    if isinstance(data, Mapping) and "x" in data:
        for key in data:
            if key not in _PARTS:
                raise unknown("key of the data", key, _PARTS)
        return data["x"], data.get("y"), data.get("covariates")
    if isinstance(data, tuple | list) and 1 <= len(data) <= len(_PARTS):
        x, y, covariates = (*data, None, None)[:3]
        return x, y, covariates
    return None


def as_tensor(values: object, name: str) -> Tensor:
    """Return a dense tensor of real numbers on the CPU, which shares memory where it can.

    Arguments:
        values: A tensor; a NumPy array, or an object that NumPy converts; a DataFrame or Series of
            pandas, polars or another library that narwhals knows, whose missing values become NaN.
        name: The name of the values in messages.

    Raises:
        DataError: Anything that is no dense array of real numbers; the message tells how to
            convert it.

    Example:
        >>> as_tensor(np.arange(3), "x")
        tensor([0, 1, 2])
    """
    found = _of_tensor(values, name) if isinstance(values, Tensor) else _of_other(values, name)
    if found.dtype == torch.uint64 and bool((found.view(torch.int64) < 0).any()):
        raise DataError(
            f"{name} has whole numbers beyond 2^63 - 1: scale them, or convert them to floats"
        )
    return found.long() if found.dtype == torch.uint64 else found


def _of_other(values: object, name: str) -> Tensor:
    if _is_of("scipy.sparse", values):
        raise DataError(
            f"{name} is a sparse matrix of SciPy: a dense array is needed, so give {name}.toarray()"
        )
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            n_masked = int(np.ma.getmaskarray(values).sum())
            raise DataError(
                f"{name} is a masked array with {n_masked:,} masked values: every value must be "
                f"known, so fill them by {name}.filled(value), or leave these examples out"
            )
        values = values.data
    frame = table_of(values, name)
    if frame is None:
        return _of_array(values, name)
    rows = _of_array(numbers_of(frame, name), name)
    return rows[:, 0] if np.ndim(values) == 1 else rows  # type: ignore[arg-type]


def _of_tensor(values: Tensor, name: str) -> Tensor:
    if values.layout != torch.strided or values.is_nested or values.is_meta:
        kind = "nested" if values.is_nested else "meta" if values.is_meta else str(values.layout)
        raise DataError(
            f"{name} is a {kind} tensor: a dense tensor is needed, so convert it "
            "(sparse tensors by .to_dense())"
        )
    if values.is_complex() or values.is_quantized:
        raise DataError(
            f"{name} is a tensor of {values.dtype}: real numbers are needed, so convert it"
        )
    if values.is_floating_point() and values.element_size() == 1:
        values = values.float()  # torch computes little in float8
    return values.detach().cpu()


def _of_array(values: Any, name: str) -> Tensor:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is a {type(values).__name__} that makes no array ({first_line(error)}): give "
            "a tensor or an array of numbers"
        ) from error
    kind = array.dtype.kind
    if kind in _KINDS:
        raise DataError(f"{name} is an array of {array.dtype}, which holds {_KINDS[kind]}")
    if kind == "V":
        fields = ", ".join(array.dtype.names or ())
        raise DataError(
            f"{name} is a structured array with the fields {fields or 'of raw bytes'}: one type of "
            "numbers is needed, so stack the fields as columns, as "
            "numpy.lib.recfunctions.structured_to_unstructured does"
        )
    if kind not in "biuf":
        what = "an array of objects" if isinstance(values, np.ndarray) else type(values).__name__
        raise DataError(
            f"{name} is {what}, dtype {array.dtype}: real numbers are needed, so convert it, for "
            f"example by {name}.astype(float) or numpy.stack"
        )
    # Torch takes neither foreign byte orders nor negative strides, and warns of read-only memory.
    array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    keeps = array.dtype in (np.uint8, np.uint64) or kind not in "iu"
    return torch.from_numpy(array if keeps else array.astype(np.int64))


def _is_of(module: str, values: object) -> bool:
    """Return whether values are of a class of a module, without importing it."""
    kind = type(values).__module__
    return module in sys.modules and (kind == module or kind.startswith(f"{module}."))


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
        is_lazy = isinstance(nw.from_native(table, pass_through=True), nw.LazyFrame)
    except nw.exceptions.NarwhalsError as error:
        raise DataError(
            f"{name} is a table that cannot be read ({reason(error)}): give an array of its "
            "numbers, as .to_numpy() returns"
        ) from error
    if is_lazy:
        fix = f"{name}.collect()" if _is_of("polars", table) else "a DataFrame in memory"
        raise DataError(f"{name} is a {type(table).__name__}, which has no rows yet: give {fix}")
    return None


def is_frame(values: object) -> bool:
    """Return whether data are a DataFrame, or a Series.

    >>> is_frame(np.zeros((2, 3)))
    False
    """
    return table_of(values, "x") is not None


def is_of_bytes(values: object) -> bool:
    """Return whether data are a DataFrame whose columns all have the type of bytes.

    >>> is_of_bytes(np.zeros((2, 3), np.uint8))
    False
    """
    frame = table_of(values, "x")
    return frame is not None and all(str(kind) == "UInt8" for kind in frame.schema.values())


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


def column_names(table: object) -> tuple[str, ...]:
    """Return the names of the columns of a DataFrame; () for a Series, an array, or other names.

    >>> column_names(np.zeros((2, 3)))
    ()
    """
    frame = table_of(table, "x") if np.ndim(table) == 2 else None  # type: ignore[arg-type]
    names = () if frame is None else tuple(frame.columns)
    return names if all(isinstance(name, str) for name in names) else ()


def in_order(table: object, names: Sequence[str], name: str = "x") -> Any:
    """Return a DataFrame with the columns of these names in their order; other data as they are.

    Arguments:
        table: A DataFrame, which may have further columns, or an array.
        names: The names of the columns; none for any columns.
        name: The name of the table in messages.

    Raises:
        DataError: A DataFrame without one of the columns.
    """
    found = column_names(table) if names else ()
    if not found or found == tuple(names):
        return table
    lacking = [column for column in names if column not in found]
    if lacking:
        raise DataError(
            f"{name} lacks the column {lacking[0]!r}, and has {listed_names(found)}: give a "
            "DataFrame with the columns of the training data, or an array with its columns in "
            "their order"
        )
    return table_of(table, name).select(list(names)).to_native()  # type: ignore[union-attr]


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
