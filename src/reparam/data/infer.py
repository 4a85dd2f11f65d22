"""The schema of a table, inferred from its rows.

A column of text, or of two numbers, is one of several classes, and another column of numbers is a
quantity, so that a number that is not among the training rows has a probability too: see ``Column``
for the values that are frequent. Columns that say nothing about the next table, such as
identifiers, are ignored, with the reason.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.cycles import cycles_of
from reparam.data.columns import (
    MANY,
    N_ROWS,
    ON_GRID,
    ROWS_PER_CLASS,
    atoms_of,
    kind_of,
    resolution,
)
from reparam.data.seasons import with_seasons
from reparam.data.tables import Table
from reparam.errors import DataError, OptionError, unknown
from reparam.schema import CLASSES, DATE_UNITS, QUANTITIES, Column, Kind, Schema, Value, missing_in
from reparam.utils.files import as_path, read_yaml, reason, stored_path

NO_VALUE = "all values are missing"
"""The reason why a column without any value is ignored."""

MOST_CLASSES = 1000
"""The largest number of classes of a column of text."""

FREE_TEXT, FEWEST_TEXTS = 0.5, 50
"""A column of text with more distinct values than this share of its rows, and this number, is
identifiers or free text."""

EXACT = 2**24
"""The largest whole number that float32 holds exactly."""

LARGEST_NUMBER = 1e30
"""The largest number of a quantity: the squares of larger ones overflow in float32."""

DIGITS = 1e-3
"""The largest rounding error of float32, in standard deviations, of a column without an origin."""

MOST_LISTED = 6
"""The number of columns that a message lists with their reasons."""

IDENTIFIERS = ("id", "ids", "idnum", "identifier", "pid", "pidnum", "uid", "guid", "uuid")
"""The last words of names of columns that identify rows."""

Override = Mapping[str, object]
"""What a user says of one column: fields of ``Column``."""

_OWN = ("kind", "values", "missing_as_value")
"""The fields that a user can give."""

RARE = 0.01
"""The share of the distinct dates that may lie between the units of the others."""


def schema_of(
    table: Table, overrides: Mapping[str, Override] | None = None, missing_as_value: bool = False
) -> Schema:
    """Return the schema of a table.

    Arguments:
        table: The table.
        overrides: What the user says of columns, by name.
        missing_as_value: Whether missing values are values of their own in all columns.

    Raises:
        OptionError: An override of a column or field that does not exist.
        DataError: A column that cannot be of the kind that the user says, or no column at all.

    Example:
        >>> columns = {"age": np.arange(20.0, 80), "sex": np.array(["F", "M"] * 30, object)}
        >>> table = Table("people", columns, {"age": "int", "sex": "text"}, {"age": 0})
        >>> [column.kind for column in schema_of(table, {"age": {"kind": "count"}}).columns]
        ['count', 'binary']
    """
    refuse_infinite(table)
    given = dict(overrides or {})
    for name, override in given.items():
        if name not in table.columns:
            raise unknown(f"column of {table.name}", name, table.columns)
        for key in override:
            if key not in _OWN:
                raise unknown(f"key of column {name!r}", key, _OWN)
    found = []
    for name in table.columns:
        column = column_of(table, name, given.get(name, {}))
        as_value = given.get(name, {}).get("missing_as_value", missing_as_value)
        if not isinstance(as_value, bool):
            raise OptionError(
                f"missing_as_value of column {name!r} is {as_value!r}: give true or false"
            )
        found.append(replace(column, missing_as_value=as_value and column.has_missing))
    schema = with_seasons(Schema(tuple(found)), table)
    if not schema.features:
        reasons = "; ".join(f"{c.name}: {c.reason}" for c in found[:MOST_LISTED])
        reasons += f"; and {len(found) - MOST_LISTED:,} more" if len(found) > MOST_LISTED else ""
        raise DataError(f"{table.name} has no column to learn from ({reasons}): give other columns")
    return schema


def as_quantities(table: Table) -> dict[str, Override]:
    """Return that the columns of an array are quantities, but for those of one value.

    Whether numbers of an array are classes is not declared, and an array has no types that say it.

    Arguments:
        table: The columns of the array.

    Example:
        >>> columns = {"a": np.array([0.0, 1.0, np.nan]), "b": np.ones(3)}
        >>> as_quantities(Table("x", columns, {"a": "int", "b": "int"}, {"a": 0, "b": 0}))
        {'a': {'kind': 'real'}}
    """
    columns = table.columns.items()
    varied = [name for name, v in columns if len(np.unique(v[~missing_in(v)])) > 1]
    return {name: {"kind": "real"} for name in varied}


def refuse_infinite(table: Table) -> None:
    """Refuse infinite numbers in a table.

    Raises:
        DataError: Gives the column and the row.
    """
    for name, values in table.columns.items():
        if values.dtype.kind == "f" and np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise DataError(
                f"column {name!r} of {table.name} is infinite in row {row}: replace the value, or "
                "leave the cell empty"
            )


def column_of(table: Table, name: str, override: Override) -> Column:
    """Return what a column of a table is.

    Arguments:
        table: The table.
        name: The name of the column.
        override: What the user says of it.
    """
    values, stored = table.columns[name], table.stored[name]
    missing = missing_in(values)
    there = values[~missing]
    what = f"column {name!r} of {table.name}"
    column = Column(
        name,
        "ignored",
        stored=stored,
        has_missing=bool(missing.any()),
        zone=table.zones.get(name, ""),
        order=table.orders.get(name, ""),
        written=table.written.get(name, ()),
    )
    distinct = np.unique(there)
    kind = override.get("kind")
    declared = table.declared.get(name)
    if declared is not None and len(declared.values) > MOST_CLASSES:
        declared = None
    if kind is None:
        kind, reason = inferred(there, distinct, stored, len(values))
        if kind == "count" and len(distinct) == len(there) >= MANY and is_named_identifier(name):
            kind, reason = "ignored", "an identifier by its name, and different in all rows"
        column = replace(column, reason=reason)
        if declared is not None and kind != "ignored":
            is_binary = len(declared.values) == 2
            kind = "ordinal" if declared.is_ordered else "binary" if is_binary else "categorical"
    elif kind not in (*QUANTITIES, *CLASSES, "ignored"):
        raise unknown(f"kind of column {name!r}", str(kind), (*QUANTITIES, *CLASSES, "ignored"))
    elif kind == "ignored":
        return replace(column, reason="by the schema")
    if kind == "ignored":
        is_one = len(distinct) == 1 and stored != "date"
        return replace(column, values=(plain_value(distinct[0], stored),) if is_one else ())
    classes: Any = override.get("values")
    if classes is not None and not isinstance(classes, list | tuple):
        raise OptionError(f"values of column {name!r}: give a list of classes")
    wrong = [v for v in classes or () if not isinstance(v, str | int | float)]
    if wrong:
        raise OptionError(
            f"values of column {name!r}: {wrong[0]!r} is no class; give text, numbers or booleans"
        )
    if kind in QUANTITIES:
        column = replace(column, kind=str(kind), values=tuple(classes or ()))  # type: ignore[arg-type]
        _check_quantity(there, str(kind), what)
        return _quantity(column, there, table.decimals.get(name))
    if classes is None and declared is not None:
        classes = declared.values
    elif classes is None:
        classes = [plain_value(v, stored) for v in distinct]
    if stored == "date":
        raise DataError(f"{what} holds dates, which are no classes: make it date, or ignore it")
    return replace(column, kind=str(kind), values=tuple(classes))  # type: ignore[arg-type]


def with_classes(
    schema: Schema, table: Table, overrides: Mapping[str, Override] | None = None
) -> Schema:
    """Return a schema whose columns of classes have all classes of a table.

    Arguments:
        schema: The schema of some rows of the table.
        table: The table.
        overrides: What the user says of columns; classes that the user lists are all there are.
    """
    changes = {}
    for column in schema.features:
        if not column.is_class or "values" in (overrides or {}).get(column.name, {}):
            continue
        values = table.columns[column.name]
        distinct = [plain_value(v, column.stored) for v in np.unique(values[~missing_in(values)])]
        if len(distinct) > column.n_values:
            # A third class makes a column categorical that is binary in the training rows.
            kind: Kind = "categorical" if column.kind == "binary" else column.kind
            changes[column.name] = replace(column, kind=kind, values=tuple(distinct))
    return schema.with_columns(changes)


def inferred(
    there: NDArray[Any], distinct: NDArray[Any], stored: str, n_rows: int
) -> tuple[str, str]:
    """Return the kind of a column, and why it is ignored; "" if it is not.

    Arguments:
        there: Its values that are not missing.
        distinct: The distinct ones, in order.
        stored: Their type in the table.
        n_rows: The number of rows, with those that lack a value.

    Example:
        >>> numbers = np.arange(100.0)
        >>> inferred(numbers, numbers, "int", 100)
        ('ignored', 'numbers its rows')
    """
    n, k = len(there), len(distinct)
    if n == 0:
        return "ignored", NO_VALUE
    if k == 1:
        beside = "" if n == n_rows else " beside missing ones"
        return "ignored", f"one value{beside} ({str(distinct[0])[:40]})"
    if stored == "bool" or (k == 2 and stored != "date"):
        return "binary", ""
    if stored == "text":
        if k > max(FEWEST_TEXTS, FREE_TEXT * n) or (k == n and n >= ROWS_PER_CLASS):
            return "ignored", f"text with {k:,} different values in {n:,} rows, as identifiers have"
        if k > MOST_CLASSES:
            return "ignored", f"{k:,} classes, and at most {MOST_CLASSES:,} are learned"
        return "categorical", ""
    if stored == "date":
        return "date", ""
    if kind_of(there) == "identifier":
        return "ignored", "numbers its rows"
    if distinct[0] >= 0 and (distinct == distinct.round()).all():
        return "count", ""
    return ("positive" if distinct[0] > 0 else "real"), ""


def is_named_identifier(name: str) -> bool:
    """Return whether the last word of a name says that a column identifies its rows.

    Example:
        >>> [is_named_identifier(name) for name in ("customer_id", "orderIDs", "paid", "age")]
        [True, True, False, False]
    """
    words = re.findall(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+", name)
    return bool(words) and words[-1].lower() in IDENTIFIERS


@dataclass(frozen=True)
class GivenSchema:
    """What a user gives as the schema of a table.

    Arguments:
        known: All columns; None where a file says what some are, or nothing is given.
        overrides: What a file says of columns; None without one.
        place: The file, as it is stored; None without one.
    """

    known: Schema | None = None
    overrides: Mapping[str, Override] | None = None
    place: str | None = None


def given_schema(schema: Schema | str | os.PathLike[str] | None) -> GivenSchema:
    """Return a schema that is given: all columns, a YAML file on some, or nothing.

    Raises:
        OptionError: A file that cannot be read, or is no schema.

    Example:
        >>> given_schema(None).known is None
        True
    """
    if schema is None or isinstance(schema, Schema):
        return GivenSchema(schema)
    place = as_path(schema, "schema")
    return GivenSchema(None, read_schema(place), stored_path(place.absolute()))


def read_schema(path: str | Path) -> dict[str, Override]:
    """Return what a YAML file says of columns: their kind, or a mapping of fields of ``Column``.

    Arguments:
        path: The file, such as ``age: count`` or ``size: {kind: ordinal, values: [S, M, L]}``.

    Raises:
        OptionError: A file that is no such mapping.
    """
    try:
        values = read_yaml(path)
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise OptionError(f"{path} cannot be read as a schema ({why}): give a YAML file") from error
    if not isinstance(values, dict) or not values:
        raise OptionError(
            f"{path} holds {type(values).__name__}: a schema is a mapping of columns, such as "
            "'age: count'"
        )
    found: dict[str, Override] = {}
    for name, value in values.items():
        if not isinstance(value, str | dict):
            raise OptionError(
                f"{path}: column {name!r} is {value!r}; give its kind, such as count, or a mapping "
                "with the keys kind, values and missing_as_value"
            )
        found[str(name)] = {"kind": value} if isinstance(value, str) else value
    return found


def _check_quantity(there: NDArray[Any], kind: str, what: str) -> None:
    if (there.dtype.kind == "M") != (kind == "date") or there.dtype.kind == "O":
        held = {"M": "dates", "O": "text"}.get(there.dtype.kind, "numbers")
        raise DataError(f"{what} holds {held}, and cannot be {kind}: give another kind")
    if kind == "count" and ((there < 0) | (there != there.round())).any():
        bad = there[(there < 0) | (there != there.round())][0]
        raise DataError(f"{what} has the value {bad:g}, and cannot be count: make it real")
    if kind == "positive" and (there <= 0).any():
        raise DataError(f"{what} has values that are not positive: make it real")


def _quantity(column: Column, there: NDArray[Any], decimals: int | None) -> Column:
    """Return a column of quantities with its range, and the number that x counts from."""
    if column.kind == "date":
        seconds = column.shown(there).astype(np.int64) / 1e6
        distinct = np.unique(seconds)
        # A few times beside midnights, as that of an import, do not make a column one of times.
        unit = next((u for u, s in DATE_UNITS.items() if (distinct % s > 0).mean() < RARE), "s")
        span = float(np.ptp(seconds))
        # Half units are the ends of cells, and exact up to half of the largest whole number.
        while span / DATE_UNITS[unit] > EXACT / 2 and unit != "D":
            unit = [*DATE_UNITS][[*DATE_UNITS].index(unit) - 1]
        numbers = seconds / DATE_UNITS[unit]
        low, high = float(numbers.min()), float(numbers.max())
        column = replace(column, unit=unit, origin=float(np.floor(low)), low=low, high=high)
        column = _with_atoms(column, numbers)
        rest = numbers[~np.isin(numbers, column.atoms)]
        return _with_cycles(column, rest) if len(rest) else column
    low, high = float(there.min()), float(there.max())
    if max(abs(low), abs(high)) > LARGEST_NUMBER:
        raise DataError(
            f"column {column.name!r} has the value {max(abs(low), abs(high)):.4g}: numbers beyond "
            f"{LARGEST_NUMBER:g} are not learned, so scale the column or ignore it in a schema"
        )
    error = np.finfo(np.float32).eps * max(abs(low), abs(high))
    is_whole = bool((there == there.round()).all())
    is_exact = is_whole and max(abs(low), abs(high)) <= EXACT
    origin = 0.0 if is_exact or error <= DIGITS * float(there.std()) else float(np.median(there))
    decimals = 0 if is_whole else decimals
    column = replace(column, decimals=decimals, low=low, high=high, origin=origin)
    return _with_atoms(column, there)


def _with_cycles(column: Column, numbers: NDArray[Any]) -> Column:
    """Return a column of dates with its cycles, and with the step of the grid of its dates.

    Dates on no grid of which many are alike, as midnights beside other times, have none.

    Arguments:
        column: The column, with its unit and origin.
        numbers: Its values in its own unit, with shape (N,).
    """
    seen = _rows_all_over(numbers)
    of_x = (seen - column.origin).astype(np.float32).astype(np.float64)
    second, (step, _) = DATE_UNITS[column.unit], resolution(of_x)
    places = of_x / step if step else np.zeros(1)
    is_on_grid = bool((np.abs(places - places.round()) < ON_GRID).all())
    cycles = cycles_of(seen * second, step * second) if is_on_grid else ()
    return replace(column, cycles=cycles, step=step) if cycles else column


def _rows_all_over(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return values of rows all over the table: the first ones may be of one day."""
    return numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), N_ROWS)).astype(int)]


def _with_atoms(column: Column, numbers: NDArray[Any]) -> Column:
    """Return a quantity with its atoms.

    Arguments:
        column: The column.
        numbers: Its values in its own unit, with shape (N,).
    """
    seen = _rows_all_over(numbers)
    places = atoms_of((seen - column.origin).astype(np.float32).astype(np.float64))
    return replace(column, atoms=tuple(float(number) for number in seen[places]))


def plain_value(value: Any, stored: str) -> Value:
    """Return a class as a plain value, as YAML holds it.

    >>> plain_value(np.float64(2.0), "float"), plain_value(1.0, "bool")
    (2, True)
    """
    if stored == "text":
        return str(value)
    number = float(value)
    if stored == "bool":
        return bool(number)
    return int(number) if number.is_integer() else number
