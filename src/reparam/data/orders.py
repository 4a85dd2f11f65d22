"""Quantities of which one is never above another one, such as the start and the end of a stay."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from math import log1p

import numpy as np
from numpy.typing import NDArray

from reparam.data.tables import Table
from reparam.schema import DATE_UNITS, QUANTITIES, Column, Schema

MOST_COLUMNS = 100
"""The largest number of quantities whose orders are looked for."""

N_ROWS = 1_000
"""The number of rows that refute most orders."""

NATS = 20.0
"""How much more probable, in nats, an order in all rows is than values that agree by chance."""

LEAST_SHARE = 0.02
"""The least share of pairs of values of two rows that are not in the order."""


def with_orders(schema: Schema, table: Table) -> Schema:
    """Return a schema that says which quantities are at least others in all rows.

    Dates are compared with dates, and numbers with numbers. An order that follows from two others
    is left out, and so is one that values of independent columns would have too.

    Arguments:
        schema: The schema of the table.
        table: The table.

    Example:
        >>> from reparam.data.infer import schema_of
        >>> rng = np.random.default_rng(0)
        >>> low = rng.normal(size=100)
        >>> columns = {"low": low, "high": low + rng.exponential(size=100)}
        >>> table = Table("prices", columns, dict.fromkeys(columns, "float"), {})
        >>> with_orders(schema_of(table), table).column("high").at_least
        ('low',)
    """
    columns = [column for column in schema.features if column.kind in QUANTITIES]
    if len(columns) > MOST_COLUMNS:
        return schema
    below: dict[str, list[str]] = {}
    for is_date in (False, True):
        group = [column for column in columns if (column.kind == "date") == is_date]
        for name, others in _orders(group, table).items():
            below[name] = others
    changes = {
        name: replace(schema.column(name), at_least=tuple(others)) for name, others in below.items()
    }
    return schema.with_columns(changes)


def _orders(columns: Sequence[Column], table: Table) -> dict[str, list[str]]:
    """Return the names of the columns that are never above each column, by its name."""
    values = {c.name: _numbers(c, table) for c in columns}
    found: dict[str, list[str]] = {}
    for low, high in permutations(values, 2):
        if low in found and high in found[low]:  # the same values in both
            continue
        if _is_ordered(values[low], values[high]):
            found.setdefault(high, []).append(low)
    return {
        high: [low for low in lows if not any(low in found.get(other, ()) for other in lows)]
        for high, lows in found.items()
    }


def _numbers(column: Column, table: Table) -> NDArray[np.float64]:
    """Return the numbers of a quantity, and seconds of a date, NaN for a missing one."""
    numbers = column.numbers(table.columns[column.name], table.name)
    return numbers * DATE_UNITS[column.unit] if column.kind == "date" else numbers


def _is_ordered(low: NDArray[np.float64], high: NDArray[np.float64]) -> bool:
    """Return whether no value of a column is above that of another one, and not by chance.

    Arguments:
        low: The values of the column, NaN for a missing one, with shape (N,).
        high: The values of the other column.

    Example:
        >>> low = np.arange(50.0)
        >>> _is_ordered(low, low + 1), _is_ordered(low, low + 100), _is_ordered(low + 1, low)
        (True, False, False)
    """
    if (low[:N_ROWS] > high[:N_ROWS]).any():  # which NaN is not
        return False
    if (low > high).any():
        return False
    both = np.flatnonzero(~np.isnan(low) & ~np.isnan(high))
    if not len(both):
        return False
    # The share of pairs, of a value of one row and one of another row, that are not in the order.
    some = both[np.linspace(0, len(both) - 1, min(len(both), N_ROWS)).astype(int)]
    share = float(np.searchsorted(np.sort(high[some]), low[some]).mean()) / len(some)
    return share >= LEAST_SHARE and -len(both) * log1p(-min(share, 1 - 1e-9)) > NATS
