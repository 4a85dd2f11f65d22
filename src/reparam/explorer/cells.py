"""The cells of a row of a table: as the user types them, and as the model fills them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.explorer.explored import Explored
from reparam.explorer.shown import Looks
from reparam.schema import Schema

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


def choices(explored: Explored) -> dict[str, list[str]]:
    """Return the classes of every column as text, in their order; none for a quantity."""
    return {c.name: [str(v) for v in c.values] for c in schema_of(explored).features}


def schema_of(explored: Explored) -> Schema:
    """Return the columns of the table of a run.

    Raises:
        OptionError: A run on other data than a table.
    """
    spec = explored.run.spec
    if spec.schema is None:
        raise OptionError(
            f"{spec.name!r} has {spec.support} data, whose entries are never missing: train on a "
            "table"
        )
    return spec.schema


def encoded(explored: Explored, typed: Mapping[str, str]) -> Tensor:
    """Return a row of typed cells as x, NaN for an empty cell, with shape (1, D).

    Arguments:
        explored: The run and its data.
        typed: The cells by the names of their columns.

    Raises:
        DataError: A cell that is no value of its column.
    """
    schema = schema_of(explored)
    given = {name: text.strip() for name, text in typed.items() if text.strip()}
    row = schema.encode_given(given) if given else np.full(len(schema.features), np.nan)
    return torch.from_numpy(row).float()[None]


def filled(looks: Looks, row: Tensor, c: Tensor | None) -> list[Cell]:
    """Return the cells of a row, with the empty ones filled in given the others.

    Arguments:
        looks: The appearance of rows.
        row: The row, with shape (1, D), NaN for an empty cell.
        c: Its condition, with shape (1, C).
    """
    explored = looks.explored
    found = explored.imputed(Batch(row, c=c))
    values, low, high = (looks.values(x[0]) for x in (found.x, found.low, found.high))
    classes, cells = choices(explored), []
    for j, name in enumerate(looks.names):
        spread = ""
        if bool(row[0, j].isnan()):
            names, drawn = classes[name], found.draws[:, 0, j]
            spread = _shares(drawn, names) if names else f"{low[j]} to {high[j]}"
        cells.append(Cell(name, values[j], spread))
    return cells


def _shares(drawn: Tensor, names: Sequence[str]) -> str:
    """Return the most frequent classes of draws, and their shares."""
    counts = torch.bincount(drawn[~drawn.isnan()].long(), minlength=len(names))
    order = counts.argsort(descending=True, stable=True)[:N_CLASSES].tolist()
    shares = counts / counts.sum().clamp(min=1)
    return ", ".join(f"{names[k]} {100 * float(shares[k]):.0f} %" for k in order)
