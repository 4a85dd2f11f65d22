"""The cells of a row of a table: as the user types them, and as the model fills them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import DataError
from reparam.explorer.explored import Explored
from reparam.explorer.shown import Looks

N_CLASSES = 4
"""The largest number of classes of a missing value whose probabilities are shown."""


@dataclass(frozen=True)
class Cell:
    """A cell of a row.

    Arguments:
        name: The name of its column.
        value: Its value as text.
        spread: The interval of a quantity that was filled in, or the most probable classes; "" for
            a value that was given.
    """

    name: str
    value: str
    spread: str = ""

    @property
    def is_filled(self) -> bool:
        """Whether the model filled it in."""
        return self.spread != ""


def choices(looks: Looks) -> dict[str, list[str]]:
    """Return the classes of every column as text, in their order; none for a quantity."""
    schema = looks.explored.run.spec.schema
    if schema is None:
        return {name: [] for name in looks.names}
    return {column.name: [str(v) for v in column.values] for column in schema.features}


def encoded(looks: Looks, typed: Mapping[str, str]) -> Tensor:
    """Return a row of typed cells as x, NaN for an empty cell, with shape (1, D).

    Arguments:
        looks: The appearance of rows.
        typed: The cells by the names of their columns.

    Raises:
        DataError: A cell that is no value of its column.
    """
    schema = looks.explored.run.spec.schema
    given = {name: text.strip() for name, text in typed.items() if text.strip()}
    if schema is not None:
        row = schema.encode_given(given) if given else np.full(len(schema.features), np.nan)
        return torch.from_numpy(row).float()[None]
    return torch.tensor([[_number(name, given.get(name)) for name in looks.names]])


def _number(name: str, text: str | None) -> float:
    """Return the number of a cell; NaN for an empty one."""
    if text is None:
        return nan
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise DataError(f"{name} is {text!r}: type a number, or leave the cell empty")
    return value


def filled(looks: Looks, row: Tensor, c: Tensor | None) -> list[Cell]:
    """Return the cells of a row, with the empty ones filled in given the others.

    Arguments:
        looks: The appearance of rows.
        row: The row, with shape (1, D), NaN for an empty cell.
        c: Its condition, with shape (1, C).
    """
    explored: Explored = looks.explored
    found = explored.imputed(Batch(row, c=c))
    values, low, high = (looks.values(x[0]) for x in (found.x, found.low, found.high))
    classes, cells = choices(looks), []
    for j, name in enumerate(looks.names):
        spread = ""
        if bool(row[0, j].isnan()):
            drawn = found.draws[:, 0, j]
            names = classes[name]
            is_class = bool(names)
            spread = _shares(drawn, names) if is_class else f"{low[j]} to {high[j]}"
        cells.append(Cell(name, values[j], spread))
    return cells


def _shares(drawn: Tensor, names: Sequence[str]) -> str:
    """Return the most frequent classes of draws, and their shares."""
    counts = torch.bincount(drawn[~drawn.isnan()].long(), minlength=len(names))
    order = counts.argsort(descending=True, stable=True)[:N_CLASSES].tolist()
    shares = counts / counts.sum().clamp(min=1)
    return ", ".join(f"{names[k]} {100 * float(shares[k]):.0f} %" for k in order)
