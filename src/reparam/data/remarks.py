"""Remarks on a table: how it was understood, and what a model does not use of it."""

import numpy as np

from reparam.data.damaged import counted
from reparam.data.infer import MOST_LISTED
from reparam.data.tables import Table
from reparam.formulas import compute
from reparam.schema import QUANTITIES, Schema, missing_in

_FEW = 5e-4
"""A smaller share is said as a number of values."""


def remarks(table: Table, schema: Schema) -> tuple[str, ...]:
    """Return remarks on how a table was understood: its kinds of columns, and what is left out."""
    kinds: dict[str, int] = {}
    for column in schema.features:
        kinds[column.kind] = kinds.get(column.kind, 0) + 1
    said = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    notes = [*table.notes, f"columns: {said}"]
    ignored = [column for column in schema.columns if column.reason]
    if ignored:
        listed = "; ".join(f"{c.name} ({c.reason})" for c in ignored[:MOST_LISTED])
        n_more = len(ignored) - MOST_LISTED
        more = f"; and {n_more:,} more" if n_more > 0 else ""
        notes.append(f"left out: {listed}{more}")
    n_missing = {
        c.name: int(missing_in(table.columns[c.name]).sum())
        for c in schema.features
        if c.has_missing
    }
    if n_missing:
        n = sum(n_missing.values())
        share = n / (len(table) * len(schema.features))
        where = f"in {counted(len(n_missing), 'column')}"
        kept = "values of their own" if schema.valued_missing else "left out of the likelihood"
        notes.append(
            f"{f'{share:.1%} of the' if share >= _FEW else f'{n:,}'} values are missing, {where}; "
            f"they are {kept}"
        )
    return tuple(notes)


def stay_empty(table: Table, schema: Schema) -> list[str]:
    """Return a remark on each column whose missing cells no model fills in.

    Arguments:
        table: The table.
        schema: The columns of x, and those that are no part of it.

    Example:
        >>> from reparam.schema import Column
        >>> name = Column("name", "ignored", reason="by the schema")
        >>> schema = Schema((Column("age", "count"), name))
        >>> columns = {"age": np.array([40.0]), "name": np.array([None], object)}
        >>> stay_empty(Table("people", columns, {"age": "int", "name": "text"}, {"age": 0}), schema)
        ["1 missing cell of column 'name' stays empty: it is no part of the model (by the schema)"]
    """
    found = []
    for column in schema.columns:
        values = table.columns.get(column.name)
        if column.kind != "ignored" or column.values or values is None:
            continue
        n = int(missing_in(values).sum())
        if n:
            cells, stay = ("cell", "stays") if n == 1 else ("cells", "stay")
            found.append(
                f"{n:,} missing {cells} of column {column.name!r} {stay} empty: it is no part of "
                f"the model ({column.reason})"
            )
    return found


def unused_results(table: Table, schema: Schema) -> list[str]:
    """Return a remark on each computed column whose value does not help to fill in its parts.

    Arguments:
        table: The table.
        schema: The columns of x, and those that are computed from them.
    """
    found = []
    for name, formula in schema.computed.formulas.items():
        parts = [part for part in formula.names if part in schema.names]
        if name in table.columns and len(parts) > 1:
            n_missing = np.sum([missing_in(table.columns[part]) for part in parts], axis=0)
            n = int(((n_missing > 1) & ~missing_in(table.columns[name])).sum())
            if n:
                found.append(
                    f"in {counted(n, 'row')} the value of {name!r} is known and not "
                    f"{', '.join(parts)}: they are filled in without it"
                )
    return found


def broken_formulas(table: Table, schema: Schema) -> list[str]:
    """Return a remark on each computed column that has other values than its formula.

    Arguments:
        table: The table.
        schema: The columns of x, and those that are computed from them.

    Example:
        >>> from reparam.formulas import Formula
        >>> from reparam.schema import Column
        >>> total = Formula("sum", (("a", 1.0), ("b", 1.0)))
        >>> parts = [Column("a", "real"), Column("b", "real")]
        >>> schema = Schema((*parts, Column("total", "computed", decimals=0, formula=total)))
        >>> columns = {"a": np.ones(2), "b": np.ones(2), "total": np.array([2.0, 3.0])}
        >>> broken_formulas(Table("parts", columns, {}, {}), schema)
        ["column 'total' is not a + b in 1 row, the first one row 1: the model ignores its value"]
    """
    found = []
    present = [c for c in schema.columns if c.kind == "computed" and c.name in table.columns]
    if not present:
        return []
    quantities = [c for c in schema.features if c.kind in QUANTITIES]
    computed = compute(
        {c.name: c.numbers(table.columns[c.name], table.name) for c in quantities},
        schema.computed.formulas,
    )
    for column in present:
        values = computed[column.name]
        given = column.numbers(table.columns[column.name], table.name)
        # A value is rounded, and may be of single precision.
        differs = np.abs(values - given) > 0.51 * column.last_digit + 1e-5 * np.abs(given)
        n = int(differs.sum())
        if n:
            found.append(
                f"column {column.name!r} is not {column.formula} in {counted(n, 'row')}, the first "
                f"one row {int(differs.argmax())}: the model ignores its value"
            )
    return found
