r"""Columns of numbers that are sums or products of others, such as a total of its parts.

.. math:: x_j = c + \sum_k a_k x_k \quad\text{or}\quad x_j = c \prod_k x_k^{a_k}
          \quad \text{in all rows}

Given the others such a column says nothing more, so that it is no part of x, and drawn rows get the
computed value. A sum is found as a linear dependency of the columns, by orthogonalizing one after
the other; a product is a sum of logarithms. Least squares know the numbers a_k up to an error, in
whose range the simplest number is taken; the formula counts where it gives the value of each row as
it is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from reparam.data.infer import Override
from reparam.data.tables import Table
from reparam.formulas import Formula, Numbers, Operation
from reparam.schema import QUANTITIES, Column, Schema

MOST_COLUMNS = 300
"""The largest number of columns of a table whose formulas are looked for."""

N_ROWS = 2_000
"""The number of rows in which formulas are looked for; all rows confirm them."""

MOST_TERMS = 40
"""The largest number of terms of a formula."""

NATS = 20.0
"""How much more probable, in nats, a formula is than values that agree by chance."""

PRESENT = 0.3
"""The least share of the rows that have numbers which an operation can take in all columns."""

MOST_STEPS = 100
"""The largest unit of a last digit, as a factor of the usual one."""

MOST_LOST, LOST_FOR_FILLED = 0.01, 0.2
"""The largest share of the rows with a value of a column of which several terms are missing, and
how many of them for each row in which a missing value follows from the others."""

SINGLE, FROM_SINGLE = 2e-6, 5
"""The relative error of numbers of single precision, and the least decimals that they have."""

HALF = 0.5 + 1e-6
"""The largest error of a rounded number, in its last decimal."""

N_ULPS = 16
"""The error of the result of a formula, in relative roundings of double precision."""

N_ERRORS = 6.0
"""The number of standard errors in whose range the simplest number is taken."""

POWERS = {0.5, 1.0, 2.0, 3.0}
"""The powers of a product, without their sign."""

VALUES_PER_TERM = 15
"""The least number of distinct values for each number of a formula that rounds its results."""

MOST_PARTS = 12
"""The largest denominator of a simple fraction."""

ON_GRID = 1e-4
"""The largest distance from a grid, in its steps, of a sum of numbers on it."""

LEAST_REST = 1e-9
"""The least part of a column, of its size, that does not follow from others."""

EPS = 1e-11
"""The relative error, in double precision, with which formulas are looked for."""


def with_formulas(
    schema: Schema, table: Table, overrides: Mapping[str, Override] | None = None
) -> Schema:
    """Return a schema in which quantities that are sums or products of others are computed ones.

    Arguments:
        schema: The schema of the table.
        table: The table.
        overrides: What the user says of columns; a column whose kind is given stays as it is.

    Example:
        >>> from reparam.data.infer import schema_of
        >>> rng = np.random.default_rng(0)
        >>> casual, registered = rng.integers(0, 300, (2, 100)).astype(float)
        >>> columns = {"casual": casual, "registered": registered, "count": casual + registered}
        >>> stored, decimals = dict.fromkeys(columns, "int"), dict.fromkeys(columns, 0)
        >>> table = Table("bikes", columns, stored, decimals)
        >>> found = with_formulas(schema_of(table), table)
        >>> [(c.name, str(c.formula)) for c in found.columns if c.formula]
        [('count', 'casual + registered')]
    """
    columns = [c for c in schema.features if c.kind in QUANTITIES and not c.missing_as_value]
    if not 2 <= len(columns) <= MOST_COLUMNS:
        return schema
    # Dates of one unit differ by whole numbers of it, and clocks of a zone may be set back.
    dates = [c for c in columns if c.kind == "date" and not c.zone]
    columns = [c for c in columns if c.kind != "date" or (c in dates and c.unit == dates[0].unit)]
    fixed = {name for name, override in (overrides or {}).items() if "kind" in override}
    found: dict[str, Formula] = {}
    numbers = {c.name: c.numbers(table.columns[c.name], table.name) for c in columns}
    for operation in get_args(Operation):
        found |= _found(columns, numbers, operation, found, fixed)
    return schema.with_columns(
        {name: _computed(schema.column(name), formula) for name, formula in found.items()}
    )


def _computed(column: Column, formula: Formula) -> Column:
    """Return a column as the result of a formula."""
    return Column(
        column.name,
        "computed",
        stored=column.stored,
        has_missing=column.has_missing,
        decimals=column.decimals,
        low=column.low,
        high=column.high,
        unit=column.unit,
        order=column.order,
        written=column.written,
        formula=formula,
        reason=f"equal to {formula}",
    )


def _found(
    columns: Sequence[Column],
    numbers: Numbers,
    operation: Operation,
    known: Mapping[str, Formula],
    fixed: set[str],
) -> dict[str, Formula]:
    """Return the formulas of columns, by name, with those that are known.

    Arguments:
        columns: The columns.
        numbers: The numbers of each column, by name, with shape (N,).
        operation: The operation of the formulas.
        known: The formulas that are known.
        fixed: The names of the columns that have none.
    """
    used = _used(columns, numbers, operation)
    if len(used) < 2:
        return dict(known)
    whole = np.stack([numbers[c.name] for c in used], axis=1)
    rows = np.flatnonzero(_usable(whole, operation).all(axis=1))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), N_ROWS)).astype(int)]
    values = whole[rows]
    errors = np.stack([_error(c, values[:, i]) for i, c in enumerate(used)], axis=1)
    if operation == "product":
        values, errors = np.log(values), errors / values
    unit = np.ptp(values, axis=0)
    values = (values - values.mean(axis=0)) / np.where(unit > 0, unit, 1.0)
    errors = errors / np.where(unit > 0, unit, 1.0)
    found = dict(known)
    # Columns that are no result, and results that rounding makes independent of their terms.
    basis, rounded = _Span(values), _Span(values)
    for j in np.flatnonzero(unit > 0).tolist():
        new = None
        # A sum without rounding comes before one that is rounded: net + tax before 1.19 * net.
        for span, error in ((rounded, np.zeros(len(rows))), (basis, errors[:, j])):
            if new is None and span.columns and span.holds(j, 2 * error + EPS):
                of = span.columns
                factors = _terms(values[:, of], values[:, j], error, unit[of] / unit[j])
                terms = {used[of[k]].name: a for k, a in factors.items()}
                new = _formula(operation, terms, used[j], numbers, found, fixed, columns)
        rounded.add(j)
        if new is None:
            basis.add(j)
            continue
        name, found[name] = new
        if name != used[j].name:
            # The last column takes the place of one that is computed from it.
            basis = _Span(values, [*(k for k in basis.columns if used[k].name != name), j])
    return found


class _Span:
    """Final: linearly independent columns, and an orthonormal basis of what they span.

    Arguments:
        values: All columns, with shape (N, D).
        columns: The numbers of the columns to begin with.
    """

    def __init__(self, values: NDArray[np.float64], columns: Sequence[int] = ()) -> None:
        self.values = values
        self.columns: list[int] = []
        self.basis = np.empty((len(values), 0))
        for j in columns:
            self.add(j)

    def rest(self, j: int) -> NDArray[np.float64]:
        """Return the part of a column that the others do not span, with shape (N,)."""
        q, rest = self.basis, self.values[:, j]
        for _ in range(2):  # twice, for the sake of rounding errors
            rest = rest - q @ (q.T @ rest)
        return rest

    def holds(self, j: int, error: NDArray[np.float64]) -> bool:
        """Return whether a column follows from the others, up to an error of shape (N,)."""
        return bool((np.abs(self.rest(j)) <= error).all())

    def add(self, j: int) -> None:
        """Add a column, unless it follows from the others."""
        rest = self.rest(j)
        size = float(np.linalg.norm(rest))
        if size > LEAST_REST * np.linalg.norm(self.values[:, j]):
            self.columns.append(j)
            self.basis = np.column_stack([self.basis, rest / size])


def _usable(numbers: NDArray[np.float64], operation: Operation) -> NDArray[np.bool_]:
    """Return which numbers an operation can take: none that is missing, and no zero in products."""
    return ~np.isnan(numbers) if operation == "sum" else numbers > 0


def _used(columns: Sequence[Column], numbers: Numbers, operation: Operation) -> list[Column]:
    """Return the columns of which most rows have numbers that an operation can take.

    Arguments:
        columns: The columns.
        numbers: The numbers of each column, by name, with shape (N,).
        operation: The operation.
    """
    usable = {c.name: _usable(numbers[c.name], operation) for c in columns}
    used = [
        c
        for c in sorted(columns, key=lambda c: -usable[c.name].sum())
        if operation == "sum" or not (numbers[c.name] < 0).any()
    ]
    # The rows that have numbers in all columns, from the most complete column on.
    seen, n = np.ones(len(numbers[columns[0].name]), bool), 0
    for column in used:
        seen = seen & usable[column.name]
        if np.mean(seen) < PRESENT:
            break
        n += 1
    names = {c.name for c in used[:n]}
    return [c for c in columns if c.name in names]


def _error(column: Column, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest errors of numbers by the way they are written, with shape (N,)."""
    relative = EPS * np.abs(values)
    if column.kind == "date":
        return relative
    if column.decimals is not None and column.decimals < FROM_SINGLE:
        return HALF * column.last_digit + relative
    # Numbers of single precision are written by their shortest decimals, or by all of them.
    single = values.astype(np.float32)
    is_whole = np.allclose(single.astype(np.float64), values, rtol=1e-13, atol=0)
    if is_whole or (single.astype(str).astype(np.float64) == values).all():
        return SINGLE * np.abs(values)
    steps = _last_digits(values)
    return relative if np.median(steps) < relative.max() else HALF * steps + relative


def _last_digits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the units of the last digits of numbers as they are written, with shape (N,).

    Zeros at the end are not written, so that the units are limited by the usual one.

    >>> _last_digits(np.array([0.1234, 0.5678, 32.123])).tolist()
    [0.0001, 0.0001, 0.001]
    """
    texts = (f"{value:.14e}".split("e") for value in values)
    digits = [(len(mantissa.rstrip("0").split(".")[1]), int(power)) for mantissa, power in texts]
    steps = np.array([10.0 ** (power - n) for n, power in digits])
    return np.minimum(steps, MOST_STEPS * np.median(steps))


def _terms(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    errors: NDArray[np.float64],
    units: NDArray[np.float64],
) -> dict[int, float]:
    """Return the numbers of the columns of x of which y is a sum, and the simplest factors.

    Arguments:
        x: The columns, with shape (N, K), centered.
        y: Their sum, with shape (N,), centered.
        errors: The largest error of each y by rounding, with shape (N,).
        units: The units of x in that of y, with shape (K,).
    """
    places = np.arange(x.shape[1])
    while len(places):
        chosen = x[:, places]
        inverse = np.linalg.pinv(chosen)
        factors = inverse @ y
        noise = np.sqrt((inverse**2) @ (errors**2 / 3))
        width = N_ERRORS * noise + 1e-9 * np.maximum(1.0, np.abs(factors))
        simple = [
            simplest((a - w) / u, (a + w) / u)
            for a, w, u in zip(factors, width, units[places], strict=True)
        ]
        if all(simple):
            break
        places = places[np.array(simple) != 0]
    else:
        return {}
    return {int(k): a for k, a in zip(places, simple, strict=True)}


def simplest(low: float, high: float) -> float:
    """Return zero, a whole number, a simple fraction or one of few digits, in an interval.

    Example:
        >>> simplest(-0.1, 0.2), simplest(0.8, 1.01), simplest(1.799, 1.801)
        (0.0, 1.0, 1.8)
        >>> simplest(0.3333, 0.33334) == 1 / 3
        True
    """
    if low <= 0 <= high:
        return 0.0
    middle = (low + high) / 2
    if low <= round(middle) <= high:
        return float(round(middle))
    whole = np.copysign(1.0, middle)
    if low <= whole <= high:
        return float(whole)
    for n_digits in range(1, 16):
        if n_digits == 3:
            fraction = float(Fraction(middle).limit_denominator(MOST_PARTS))
            if low <= fraction <= high:
                return fraction
        rounded = float(f"{middle:.{n_digits - 1}e}")
        if low <= rounded <= high:
            return rounded
    return middle


def _formula(
    operation: Operation,
    terms: Mapping[str, float],
    column: Column,
    numbers: Numbers,
    known: Mapping[str, Formula],
    fixed: set[str],
    columns: Sequence[Column],
) -> tuple[str, Formula] | None:
    """Return a column and its formula, which all rows confirm; None for none.

    Of all columns of a relation it is one without negative factors, such as the total of parts;
    the last one where several are, or none.

    Arguments:
        operation: The operation of the formula.
        terms: The factors, or powers, of the other columns by name.
        column: The column that is computed from them.
        numbers: The numbers of each column, by name, with shape (N,).
        known: The formulas that are known.
        fixed: The names of the columns that have no formula.
        columns: All columns.
    """
    if not 0 < len(terms) <= MOST_TERMS:
        return None
    if operation == "product" and not set(map(abs, terms.values())) <= POWERS:
        return None
    last = Formula(operation, tuple(terms.items()))
    each = {column.name: last}
    each |= {name: last.solved_for(name, column.name) for name in reversed(list(terms))}
    kinds = {c.name: c for c in columns}
    possible = [
        (name, formula) for name, formula in each.items() if name not in fixed and name not in known
    ]
    possible.sort(key=lambda pair: any(a < 0 for _, a in pair[1].terms))
    places = [c.name for c in columns]
    for name, unordered in possible:
        terms_in_order = sorted(unordered.terms, key=lambda term: places.index(term[0]))
        formula = replace(unordered, terms=tuple(terms_in_order))
        if _reaches(name, formula, known):
            continue
        confirmed = _confirmed(formula, kinds[name], numbers, len(columns))
        if confirmed is not None:
            return name, confirmed
    return None


def _reaches(name: str, formula: Formula, known: Mapping[str, Formula]) -> bool:
    """Return whether a column, by its name, is among those that a formula is computed from."""
    return any(
        part == name or (part in known and _reaches(name, known[part], known))
        for part in formula.names
    )


def _confirmed(
    formula: Formula,
    column: Column,
    numbers: Numbers,
    n_columns: int,
) -> Formula | None:
    """Return a formula with its constant if it gives all values of a column, and not by chance.

    Arguments:
        formula: The formula without a constant.
        column: The column.
        numbers: The numbers of each column, by name, with shape (N,).
        n_columns: The number of columns that its terms were chosen from.
    """
    y = numbers[column.name]
    n_missing = np.sum([np.isnan(numbers[name]) for name in formula.names], axis=0)
    # One missing term follows from the value; where several are missing, the value would be lost.
    lost = (~np.isnan(y) & (n_missing > 1)).mean()
    filled = (np.isnan(y) + n_missing == 1).mean()
    if lost > MOST_LOST + LOST_FOR_FILLED * filled:
        return None
    there = ~np.isnan(y) & (n_missing == 0)
    y = y[there]
    computed = formula.values({name: numbers[name][there] for name in formula.names})
    if not len(y) or np.isnan(computed).any():
        return None
    # The constants with which each value is right.
    error = _error(column, y)
    sizes = [np.abs(y), np.abs(computed)]
    if formula.operation == "sum":
        # The error of a sum is that of its largest term.
        sizes += [np.abs(a * numbers[name][there]) for name, a in formula.terms]
    ulps = N_ULPS * np.finfo(np.float64).eps * np.max(sizes, axis=0)
    if formula.operation == "sum" and _is_on_grid(computed, column):
        error = ulps  # nothing is rounded
    low, high = y - error, y + error
    if formula.operation == "sum":
        least, most = float((low - computed).max()), float((high - computed).min())
    else:
        is_positive = computed > 0
        if not is_positive.any() or (np.abs(y[~is_positive]) > error[~is_positive]).any():
            return None
        divisor = np.where(is_positive, computed, 1.0)
        least = max(float((low / divisor)[is_positive].max()), np.finfo(np.float64).tiny)
        most = float((high / divisor)[is_positive].min())
    if least > most:
        return None
    neutral = 0.0 if formula.operation == "sum" else 1.0
    constants = [neutral] if least <= neutral <= most else []
    for constant in (*constants, simplest(least, most), (least + most) / 2):
        found = replace(formula, constant=None if constant == neutral else constant)
        result = found.values({name: numbers[name][there] for name in found.names})
        wrong = np.abs(result - y) > error + ulps
        if column.decimals is not None and column.decimals < FROM_SINGLE:
            # As drawn rows are rounded, a half included.
            rounded = result.round(column.decimals)
            wrong |= np.abs(rounded - y) > ON_GRID * column.last_digit + ulps
        if not wrong.any() and _is_no_chance(found, result, y, n_columns):
            return replace(found, decimals=0 if column.is_date else column.decimals)
    return None


def _is_no_chance(
    formula: Formula, result: NDArray[np.float64], y: NDArray[np.float64], n_columns: int
) -> bool:
    """Return whether a formula says more of a column than it costs to write it.

    Arguments:
        formula: The formula.
        result: Its values, with shape (N,).
        y: The values of the column, with shape (N,).
        n_columns: The number of columns that its terms were chosen from.
    """
    distinct, counts = np.unique(y, return_counts=True)
    entropy = -float(np.log(counts / len(y)) @ counts) / len(y)
    chosen = [a for _, a in formula.terms]
    chosen += [] if formula.constant is None else [formula.constant]
    is_exact = np.allclose(result, y, rtol=1e-9, atol=0)
    if not is_exact and len(distinct) < VALUES_PER_TERM * len(chosen):
        # A step function of few values says little of what it rounds.
        return False
    cost = sum(np.log(n_columns) + np.log(10) * _n_digits(a) for a in chosen)
    return bool((len(y) - len(chosen)) * entropy - cost > NATS)


def _is_on_grid(computed: NDArray[np.float64], column: Column) -> bool:
    """Return whether differences of sums have no more decimals than a column."""
    if not column.last_digit:
        return False
    beside = (computed - computed[0]) / column.last_digit
    return bool((np.abs(beside - beside.round()) < ON_GRID).all())


def _n_digits(number: float) -> int:
    """Return the number of significant digits of a number.

    >>> _n_digits(1.0), _n_digits(-1.8), _n_digits(1 / 3)
    (1, 2, 15)
    """
    return next(n for n in range(1, 18) if n == 15 or float(f"{number:.{n - 1}e}") == number)
