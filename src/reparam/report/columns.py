"""The columns of tables and counts: their names, and their values as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.report.view import View
from reparam.schema import DATE_UNITS

MOST_SHOWN = 16
"""The largest number of columns of a row that is shown."""

Values = NDArray[Any]


@dataclass(frozen=True)
class ShownColumn:
    """How the values of a column are written.

    Arguments:
        name: Its name.
        place: Its place in x.
        classes: The names of its classes; () for a quantity.
        decimals: Its decimals; None for four significant digits.
        origin: The number that x counts from.
        seconds: The seconds of the unit of a date; 0 for other columns.
    """

    name: str
    place: int
    classes: tuple[str, ...] = ()
    decimals: int | None = None
    origin: float = 0.0
    seconds: int = 0

    def text(self, value: float) -> str:
        """Return a value of x as text.

        >>> ShownColumn("sex", 0, ("F", "M")).text(1.0), ShownColumn("age", 0).text(41.23456)
        ('M', '41.23')
        """
        if np.isnan(value):
            return "missing"
        if self.classes:
            return self.classes[min(max(round(value), 0), len(self.classes) - 1)]
        quantity = value + self.origin
        if self.seconds:
            stamp = np.datetime64(round(quantity * self.seconds), "s")
            return str(stamp)[: 10 if self.seconds >= DATE_UNITS["D"] else 19].replace("T", " ")
        if self.decimals is not None:
            return f"{quantity:.{self.decimals}f}"
        return f"{float(f'{quantity:.4g}'):g}"  # four digits, with an exponent from a million on

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for the script."""
        return {**vars(self), "classes": list(self.classes)}


def shown_columns(view: View, places: Sequence[int] | None = None) -> list[ShownColumn]:
    """Return how columns of x are written.

    Arguments:
        view: The run.
        places: Their places; None for all.
    """
    spec = view.run.spec
    chosen = range(spec.dim) if places is None else places
    names = names_of(view)
    if spec.schema is None:
        return [ShownColumn(names[i], i) for i in chosen]
    found = []
    for i in chosen:
        column = spec.schema.features[i]
        seconds = DATE_UNITS[column.unit] if column.kind == "date" else 0
        classes = tuple(map(str, column.values)) if column.is_class else ()
        found.append(ShownColumn(column.name, i, classes, column.decimals, column.origin, seconds))
    return found


def rows_of(view: View) -> str:
    """Return what the rows that are shown are, in words."""
    return "training rows" if view.shown_name == "train" else "rows that training did not see"


def names_of(view: View) -> list[str]:
    """Return the names of the columns of x."""
    spec = view.run.spec
    if spec.schema is not None:
        return [column.name for column in spec.schema.features]
    return list(spec.columns) or [f"column {i}" for i in range(spec.dim)]


def explained_columns(view: View, codes: Tensor, c: Tensor | None) -> list[int]:
    """Return the places of all columns, those that depend most on the code first.

    Arguments:
        view: The run.
        codes: Codes, with shape (N, D).
        c: Their conditions.
    """
    decoded = view.decoded(codes, c).double()
    scale = torch.tensor(np.nanstd(view.shown.x.double().numpy(), 0)).clamp(min=1e-9)
    share = (decoded.std(0) / scale).nan_to_num(0.0)
    return share.argsort(descending=True, stable=True).tolist()
