"""Arrays of any library as dense tensors of numbers, or one sentence that says how to convert them.

A container whose numbers could be read in a wrong way (a mask that would be dropped, a sparse
matrix that would become one object, fields of different types) is refused, never guessed.
"""

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.errors import DataError

Array = Tensor | NDArray[Any]

_KINDS = {
    "c": "complex numbers: real numbers are needed, so take x.real or x.imag",
    "S": "bytes of text: real numbers are needed, so convert them",
    "U": "text: real numbers are needed, so convert them",
    "M": "dates: real numbers are needed, so convert them, for example to days since the first",
    "m": "time spans: real numbers are needed, so convert them, for example to seconds",
}
"""The kinds of NumPy arrays that hold no real numbers, and what to do."""


def is_array(values: Any) -> bool:
    """Return whether values are an array, or a table, of some library, whatever they hold.

    >>> is_array(np.zeros(3)), is_array("zeros"), is_array([0.0])
    (True, False, False)
    """
    if isinstance(values, Tensor | np.ndarray) or _is_of("scipy.sparse", values):
        return True
    if isinstance(values, str | bytes | list | tuple | dict | set | int | float | type | None):
        return False
    import narwhals as nw

    # Arrays of other libraries declare themselves by NumPy's protocol.
    is_table = nw.dependencies.is_into_dataframe(values) or nw.dependencies.is_into_series(values)
    return is_table or hasattr(values, "__array__")


def as_tensor(values: object, name: str) -> Tensor:
    """Return a dense tensor of real numbers on the CPU, which shares memory where it can.

    Arguments:
        values: A tensor; a NumPy array, or what NumPy turns into one; a DataFrame or a Series of
            pandas, polars or another library that narwhals knows, whose missing values become NaN.
        name: What messages call the values.

    Raises:
        DataError: Anything that is no dense array of real numbers; the message says how to convert
            it.

    Example:
        >>> as_tensor(np.arange(3), "x")
        tensor([0, 1, 2])
    """
    if isinstance(values, Tensor):
        return _of_tensor(values, name)
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
    return _of_array(_of_frame(values, name), name)


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
        values = values.float()  # what torch computes with float8 is little
    return values.detach().cpu()


def _of_array(values: Any, name: str) -> Tensor:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is a {type(values).__name__} that makes no array ({_first_line(error)}): give "
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
    wide = kind in "iu" and array.dtype != np.uint8
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(
            f"{name} has whole numbers up to {int(array.max())}, more than 64 bits with a sign "
            "hold: scale them, or convert them to floats"
        )
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return torch.from_numpy(array.astype(np.int64) if wide else array)


def _of_frame(values: Any, name: str) -> Any:
    """Return the array of a DataFrame or a Series; anything else as it is."""
    if isinstance(values, np.ndarray | np.generic | int | float | list | tuple):
        return values
    # narwhals is not imported for what is no table.
    import narwhals as nw

    try:
        if nw.dependencies.is_into_series(values):
            column = nw.from_native(values, series_only=True).alias(name)
            return _numbers(column.to_frame(), name)[:, 0]
        if nw.dependencies.is_into_dataframe(values):
            return _numbers(nw.from_native(values, eager_only=True), name)
    except nw.exceptions.NarwhalsError as error:
        raise DataError(
            f"{name} is a table that cannot be read ({_first_line(error)}): give an array of its "
            "numbers, as .to_numpy() returns"
        ) from error
    return values


def _numbers(frame: Any, name: str) -> NDArray[Any]:
    """Return the columns of a frame of narwhals, with shape (rows, columns)."""
    import narwhals as nw

    columns = list(frame.iter_columns())  # by place, since pandas has columns without a name
    other = [c for c in columns if not (c.dtype.is_numeric() or c.dtype == nw.Boolean)]
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
        return np.stack([column.cast(nw.Float64).to_numpy() for column in columns], axis=1)
    array: NDArray[Any] = frame.to_numpy()
    return array


def _is_of(module: str, values: object) -> bool:
    """Return whether values are of a class of a module, without importing it."""
    kind = type(values).__module__
    return module in sys.modules and (kind == module or kind.startswith(f"{module}."))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
