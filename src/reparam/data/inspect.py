"""What a table contains: the kind, range and missing values of each column, and what is suspicious.

It needs no model: ``reparam data inspect FILE`` prints it before anything is trained.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reparam.data.infer import plain_value
from reparam.data.tables import Table, codes_of
from reparam.errors import unknown
from reparam.schema import CLASSES, QUANTITIES, Column, Schema, missing_in

N_FOR_LEAKS = 5_000
"""The number of rows that columns which reveal the target are looked for in."""

LEAK = 0.99
"""The least balanced accuracy of a single column that reveals the target."""

MOST_LISTED = 4


@dataclass(frozen=True)
class ColumnReport:
    """One column of a table.

    Arguments:
        name: Its name.
        kind: Its kind in the schema.
        values: Its range, or its most frequent classes.
        n_missing: The number of rows that lack a value.
        remarks: What is suspicious about it.
    """

    name: str
    kind: str
    values: str
    n_missing: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class TableReport:
    """A table: its size, its columns, and what is suspicious.

    Arguments:
        n_rows: The number of rows.
        n_duplicates: The number of rows that equal an earlier one.
        columns: The columns in their order.
        notes: Remarks on how the file was understood.
    """

    n_rows: int
    n_duplicates: int
    columns: tuple[ColumnReport, ...]
    notes: tuple[str, ...]


def inspect(table: Table, schema: Schema, target: str | None = None) -> TableReport:
    """Return a report of a table.

    Arguments:
        table: The table.
        schema: Its columns.
        target: The column that holds the labels, which other columns should not reveal.

    Raises:
        OptionError: A target that does not exist.

    Example:
        >>> from reparam.data.infer import schema_of
        >>> columns = {"age": np.arange(20.0, 80) % 5, "sex": np.array(["F", "M"] * 30, object)}
        >>> table = Table("people", columns, {"age": "int", "sex": "text"}, {"age": 0})
        >>> report = inspect(table, schema_of(table))
        >>> report.n_duplicates, [column.kind for column in report.columns]
        (50, ['count', 'binary'])
    """
    if target is not None and target not in table.columns:
        raise unknown(f"column of {table.name}", target, table.columns)
    leaks = leaking(table, schema, target) if target is not None else {}
    twins = repeated(table, schema)
    found = []
    for column in schema.columns:
        values = table.columns[column.name]
        remarks = [column.reason] if column.reason else []
        if column.name in leaks:
            remarks.append(f"reveals {target} (balanced accuracy {leaks[column.name]:.3f})")
        n_missing = int(missing_in(values).sum())
        if n_missing > len(table) / 2 and column.kind in (*CLASSES, *QUANTITIES):
            remarks.append("mostly missing")
        if column.name in twins:
            remarks.append(f"has the same information as {twins[column.name]!r}")
        if column.atoms:
            remarks.append(_atoms(column))
        if column.at_least:
            remarks.append("never below " + " and ".join(map(repr, column.at_least)))
        if column.cycles:
            remarks.append("has a place in the " + ", the ".join(column.cycles))
        kind = "target" if column.name == target else column.kind
        found.append(
            ColumnReport(column.name, kind, _values(column, values), n_missing, tuple(remarks))
        )
    return TableReport(len(table), duplicates(table), tuple(found), table.notes)


def duplicates(table: Table) -> int:
    """Return the number of rows that equal an earlier one."""
    found = np.zeros(len(table), np.int64)
    for values in table.columns.values():
        # The number of each distinct beginning of a row, extended by one column.
        codes = codes_of(values) + 1
        _, found = np.unique(found * (codes.max() + 1) + codes, return_inverse=True)
    return len(table) - len(np.unique(found))


def repeated(table: Table, schema: Schema) -> dict[str, str]:
    """Return the quantities that are a rising function of an earlier one, and the name of that one.

    Example:
        >>> from reparam.data.infer import schema_of
        >>> celsius = np.random.default_rng(0).normal(size=30).round(1)
        >>> columns = {"C": celsius, "F": (1.8 * celsius + 32).round(2)}
        >>> table = Table("weather", columns, {"C": "float", "F": "float"}, {})
        >>> repeated(table, schema_of(table))
        {'F': 'C'}
    """
    first: dict[bytes, str] = {}
    found = {}
    for column in schema.columns:
        if column.kind in QUANTITIES:
            # The numbers of its distinct values in their order.
            codes = codes_of(table.columns[column.name]).tobytes()
            if codes in first:
                found[column.name] = first[codes]
            first.setdefault(codes, column.name)
    return found


def leaking(table: Table, schema: Schema, target: str) -> dict[str, float]:
    """Return the columns from which alone a small tree finds the target on other rows.

    Arguments:
        table: The table.
        schema: Its columns.
        target: The column that holds the labels.
    """
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    y = codes_of(table.columns[target])
    rows = np.flatnonzero(~missing_in(table.columns[target]))
    if len(rows) > N_FOR_LEAKS:
        rows = np.sort(np.random.default_rng(0).choice(rows, N_FOR_LEAKS, replace=False))
    n_folds = int(min(3, np.bincount(y[rows])[np.unique(y[rows])].min()))
    if n_folds < 2:
        return {}
    found = {}
    for column in schema.columns:
        if column.name == target or column.kind == "ignored":
            continue
        x = codes_of(table.columns[column.name])[rows, None]
        tree = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0)
        scores = cross_val_score(tree, x, y[rows], cv=n_folds, scoring="balanced_accuracy")
        if scores.mean() >= LEAK:
            found[column.name] = float(scores.mean())
    return found


def _atoms(column: Column) -> str:
    """Return the atoms of a quantity in words."""
    listed = column.atoms[:MOST_LISTED]
    if column.kind == "date":
        moments = column.decode(np.array(listed) - column.origin)
        shown = ", ".join(map(_as_text, moments))
    else:
        shown = ", ".join(f"{number:.6g}" for number in listed)
    more = len(column.atoms) - len(listed)
    return "frequent: " + shown + (f" and {more:,} more" if more else "")


def _as_text(moment: np.datetime64) -> str:
    """Return a date, with its time where that is not midnight."""
    return str(moment.astype("datetime64[s]")).replace("T00:00:00", "")


def _values(column: Column, values: NDArray[np.generic]) -> str:
    """Return the range of a quantity, or the most frequent classes, in words."""
    there = values[~missing_in(values)]
    if not len(there):
        return ""
    if there.dtype.kind == "M":
        return f"{_as_text(there.min())} to {_as_text(there.max())}"
    if column.is_class or there.dtype.kind == "O":
        distinct, counts = np.unique(there, return_counts=True)
        order = counts.argsort()[::-1][:MOST_LISTED]
        names = [str(plain_value(value, column.stored))[:20] for value in distinct]
        listed = ", ".join(f"{names[i]} {counts[i] / len(there):.0%}" for i in order)
        more = len(distinct) - len(order)
        return listed + (f" and {more:,} more" if more else "")
    numbers = there.astype(float)
    return f"{numbers.min():.6g} to {numbers.max():.6g}, median {np.median(numbers):.6g}"
