"""The cells of a file whose gaps are filled in; known cells stay as they stand in the file."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reparam.data.dates import dates_like
from reparam.data.frames import FrameType, to_arrow
from reparam.data.mixed import filled
from reparam.data.tables import Table
from reparam.schema import Schema, missing_in

if TYPE_CHECKING:
    import pyarrow as pa


def filled_cells(table: Table, schema: Schema, rows: Tensor, is_text: bool) -> "pa.Table":
    """Return a table with the values of rows in the cells that are missing, as a table of Arrow.

    Known cells, and columns that are no part of x, are as they stand in the file. Into a file of
    text that was one, new cells are written in the notation of the known ones.

    Arguments:
        table: The table, with its cells.
        schema: The columns of x.
        rows: The rows x with a value in every entry, with shape (N, D).
        is_text: Whether the table is written as text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = filled(table, schema, rows)
    cells, was_text = table.cells, table.decimal is not None
    if cells is None or (was_text and not is_text):
        return to_arrow(values)
    typed = to_arrow(values, None if was_text else FrameType.of_arrow(cells, "pyarrow").empty)
    found = {}
    for name, of_rows in values.items():
        known = cells.column(name)
        is_new = missing_in(table.columns[name]) & ~missing_in(of_rows)
        new = _written(table, name, of_rows, is_new) if was_text else typed.column(name)
        if pa.types.is_dictionary(known.type):
            known = new
        elif is_new.any():
            # A column of another type cannot hold what was filled in.
            is_same = new.type == known.type
            known = pc.if_else(pa.array(is_new), new, known) if is_same else new
        found[name] = known
    return pa.table(found)


def _written(
    table: Table, name: str, values: NDArray[Any], is_new: NDArray[np.bool_]
) -> "pa.Array":
    """Return new values of a column as cells of text, null in other rows.

    Arguments:
        table: The table.
        name: The name of the column.
        values: The values of all rows.
        is_new: Whether the cell of each row is new.
    """
    import pyarrow as pa

    texts = np.full(len(values), None, object)
    if is_new.any() and table.cells is not None:
        there = ~missing_in(table.columns[name])
        cells = table.cells.column(name).filter(pa.array(there)).to_pylist()
        cells = [cell.strip() for cell in cells]
        if table.stored[name] == "date":
            texts[is_new] = dates_like(list(dict.fromkeys(cells)), values[is_new])
        else:
            # A value that is in the file is written as there, such as TRUE or 1,50.
            words = dict(zip(table.columns[name][there].tolist(), cells, strict=True))
            mark = table.decimal or "."
            texts[is_new] = [words.get(v, _text(v, mark)) for v in values[is_new].tolist()]
    return pa.array(texts, pa.string())


def _text(value: object, decimal: str) -> str:
    """Return a value as a cell.

    >>> _text(1.5, ","), _text(40.0, "."), _text("a.b", ",")
    ('1,5', '40', 'a.b')
    """
    if not isinstance(value, float):
        return str(value)
    text = str(int(value)) if value.is_integer() else repr(value)
    return text.replace(".", decimal)
