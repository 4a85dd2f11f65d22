"""The computed columns of a table: what follows from them, and rows that have given results."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reparam.formulas import Formula, compute, last_digit, solve
from reparam.schema.column import QUANTITIES, Column

_ROUNDING, _SINGLE = 1e-9, 2e-6
"""The relative errors of values that are computed in double, and in single, precision."""


@dataclass(frozen=True)
class ComputedColumns:
    """The columns of a table that are sums or products of others.

    Arguments:
        features: The columns of x.
        formulas: The formulas by the names of their columns, in the order of computation.

    Example:
        >>> total = Formula("sum", (("a", 1.0), ("b", 1.0)))
        >>> found = ComputedColumns((Column("a", "real"), Column("b", "real")), {"total": total})
        >>> float(found.of(np.array([[2.0, 3.0]]))["total"][0])
        5.0
    """

    features: tuple[Column, ...]
    formulas: Mapping[str, Formula]

    def numbers(self, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the quantities of rows in their own units, by name, each with shape (N,)."""
        columns = enumerate(self.features)
        return {c.name: x[:, i] + c.origin for i, c in columns if c.kind in QUANTITIES}

    def of(self, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the numbers of quantities and of computed columns by name, each with shape (N,).

        Arguments:
            x: The rows, with shape (N, D).
        """
        return compute(self.numbers(x), self.formulas)

    def complete(self, x: NDArray[np.float64], results: Mapping[str, NDArray[np.float64]]) -> None:
        """Set the missing values of rows that follow from computed columns.

        Arguments:
            x: The rows, with shape (N, D), which are changed.
            results: The numbers of computed columns, by name, each with shape (N,).
        """
        formulas, numbers = self.formulas, self.numbers(x)
        # A rounded result may leave several values: only one that both of its ends give follows.
        halves = {name: 0.5 * last_digit(formulas[name].decimals) for name in results}
        ends = [
            solve({**numbers, **{k: v + side * halves[k] for k, v in results.items()}}, formulas)
            for side in (0.0, -1.0, 1.0)
        ]
        changed = np.zeros_like(x, bool)
        for i, column in enumerate(self.features):
            if column.kind not in QUANTITIES or not np.isnan(x[:, i]).any():
                continue
            value, low, high = (each[column.name] for each in ends)
            width = column.last_digit + _ROUNDING * np.abs(value)
            rows = np.isnan(x[:, i]) & (np.abs(high - low) <= width)
            # As it is written, so that computation leaves no rounding error.
            values = column.decode(value[rows] - column.origin)
            x[rows, i] = column.encode(values, "x")
            changed[rows, i] = True
        # A value out of the range of its column is not what follows.
        is_wrong = ~self.agree(x, results)
        x[changed & is_wrong[:, None]] = np.nan

    def agree(
        self, x: NDArray[np.float64], results: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.bool_]:
        """Return whether rows have the given results of formulas, with shape (N,).

        A result that is not given, or cannot be computed, is no other one.

        Arguments:
            x: The rows, with shape (N, D).
            results: The numbers of computed columns, by name, each with shape (N,) or ().
        """
        found = self.of(x)
        fits = np.ones(len(x), bool)
        for name, wanted in results.items():
            fits &= ~differ(found[name], wanted, self.formulas[name].decimals)
        return fits

    def impose(
        self, x: NDArray[np.float64], given: NDArray[np.bool_], results: Mapping[str, float]
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Return rows in which one part of each formula is what its result leaves for it.

        Arguments:
            x: The rows, with shape (N, D).
            given: Which columns keep their values, with shape (D,).
            results: The results of formulas, by name, of which parts are not given.

        Returns:
            The rows, NaN where no possible value of the part gives the result; and the places of
            the parts. Of several parts it is the one whose training values differ most.

        Example:
            >>> half = Formula("sum", (("first", 1.0), ("second", 1.0)))
            >>> parts = [Column(k, "count", low=0, high=9, decimals=0) for k in half.names]
            >>> x = np.array([[3.0, 8.0], [7.0, 1.0]])
            >>> computed = ComputedColumns(tuple(parts), {"total": half})
            >>> computed.impose(x, np.array([False, False]), {"total": 12})
            (array([[ 4.,  8.],
                   [nan,  1.]]), [0])
        """
        rows, names = x.copy(), [column.name for column in self.features]
        places: list[int] = []
        for name in results:
            parts = [names.index(part) for part in self._parts_of(name)]
            open_parts = [i for i in parts if not given[i] and i not in places]
            factors = dict(self.formulas[name].terms)
            reach = [
                abs(factors.get(c.name, 1.0)) * ((c.high or 0.0) - (c.low or 0.0))
                for c in (self.features[i] for i in open_parts)
            ]
            places += [open_parts[int(np.argmax(reach))]] if open_parts else []
        rows[:, places] = np.nan
        self.complete(rows, {name: np.full(len(rows), value) for name, value in results.items()})
        return rows, places

    def _parts_of(self, name: str) -> list[str]:
        """Return the columns of x that a computed column is computed from."""
        found: list[str] = []
        for part in self.formulas[name].names:
            found += self._parts_of(part) if part in self.formulas else [part]
        return found


def differ(
    found: NDArray[np.float64], wanted: NDArray[np.float64], decimals: int | None
) -> NDArray[np.bool_]:
    """Return whether results differ from those that are wanted; one that is missing does not.

    Arguments:
        found: The results, NaN for a missing one, with shape (N,).
        wanted: Those that are wanted, with shape (N,) or ().
        decimals: The decimals that they are rounded to.
    """
    margin = 0.01 * last_digit(decimals) + _SINGLE * np.abs(wanted)
    return np.abs(found - wanted) > margin
