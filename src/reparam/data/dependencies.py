r"""Functional dependencies: columns that are a function of a column of classes.

.. math:: x_j = f(x_i) \quad \text{in all rows}

Examples are the country of a city, and the number that stands for a word. Given x_i such a column
says nothing more, so that it is no part of x: its log-probability given x_i is 0. Drawn rows get
the value f(x_i).
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from reparam.data.infer import Override, plain_value
from reparam.data.tables import Table, codes_of
from reparam.schema import Column, Schema, missing_in

MOST_COLUMNS = 300
"""The largest number of columns of a table whose dependencies are looked for."""

NATS = 20.0
"""How much more probable, in nats, a function is than values that agree by chance."""

N_FIRST = 1_000
"""The number of rows that refute most dependencies."""


def with_dependencies(
    schema: Schema, table: Table, overrides: Mapping[str, Override] | None = None
) -> Schema:
    """Return a schema in which columns that are functions of others are dependent ones.

    Arguments:
        schema: The schema of the table, with all of its classes.
        table: The table.
        overrides: What the user says of columns; a column whose kind is given stays as it is.

    References:
        Codd, A relational model of data for large shared data banks, CACM 1970.

    Example:
        >>> from reparam.data.infer import schema_of
        >>> city = np.array(["Bern", "Rome", "Milan"] * 30, object)
        >>> country = np.array(["CH", "IT", "IT"] * 30, object)
        >>> words = {"city": "text", "country": "text"}
        >>> table = Table("people", {"city": city, "country": country}, words, {})
        >>> found = with_dependencies(schema_of(table), table)
        >>> found.columns[1].kind, found.columns[1].source, found.columns[1].values
        ('dependent', 'city', ('CH', 'IT', 'IT'))
    """
    if len(schema.features) > MOST_COLUMNS:
        return schema
    head = table.take(np.arange(min(N_FIRST, len(table))))
    first = {name: codes_of(head.columns[name]) for name in schema.names}

    @cache
    def codes(name: str) -> NDArray[np.int64]:
        """Return the numbers of the values of a column; few columns need those of all rows."""
        return codes_of(table.columns[name])

    given = {name for name, override in (overrides or {}).items() if "kind" in override}
    given |= {c.name for c in schema.features if c.missing_as_value or c.stored == "date"}
    sources = [c.name for c in schema.features if c.is_class]
    changes: dict[str, Column] = {}
    n_known = -1
    while len(changes) > n_known:
        n_known = len(changes)
        # The last ones first: of two columns that are functions of each other the first one stays.
        for name in reversed(schema.names):
            if name in given or name in changes:
                continue
            others = [k for k in sources if k != name and k not in changes]
            if not schema.column(name).is_class:
                # A measurement is no function of how it is written, as "<0.006" is.
                others = [k for k in others if not _holds_numbers(schema.column(k))]
            likely = [k for k in others if is_function(first[name], first[k])]
            known = [k for k in likely if depends(codes(name), codes(k))]
            if not known:
                continue
            # The one with the most classes: the others may be functions of it.
            source = max(known, key=lambda k: codes(k).max())
            changes[name] = _dependent(schema.column(name), schema.column(source), table)
            # Where the source is missing, the column may tell its class.
            lacks = codes(source) < 0
            codes(source)[lacks] = _told(codes(name), codes(source))[lacks]
    changes = {k: column for k, column in changes.items() if column.source not in changes}
    return schema.with_columns(changes)


def _holds_numbers(column: Column) -> bool:
    """Return whether most classes of a column of text are numbers.

    >>> _holds_numbers(Column("lead", "categorical", ("<1", "2", "3")))
    True
    """
    words = [value for value in column.values if isinstance(value, str)]
    return 2 * sum(map(_is_number, words)) > len(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def depends(codes: NDArray[np.int64], source: NDArray[np.int64]) -> bool:
    """Return whether a column is a function of another one, and not by chance.

    Arguments:
        codes: The numbers of the distinct values of the column, -1 for a missing one.
        source: The same of the other column.

    Example:
        >>> source = np.arange(60) % 6
        >>> depends(source // 2, source), depends(source, source // 2)
        (True, False)
    """
    if not is_function(codes, source):
        return False
    there = (codes >= 0) & (source >= 0)
    seen, at = codes[there], source[there]
    value = np.full(source.max() + 1, -1)
    value[at] = seen
    # Where the source is missing, its class must be known from the value.
    lost = np.unique(codes[(codes >= 0) & (source < 0)])
    if not len(seen) or any((value == code).sum() != 1 for code in lost):
        return False
    share = np.bincount(seen) / len(seen)
    n_again = len(seen) - len(np.unique(at))
    return bool(-n_again * np.log((share**2).sum()) > NATS)


def is_function(codes: NDArray[np.int64], source: NDArray[np.int64]) -> bool:
    """Return whether all rows with a value of a column have one value of another.

    Arguments:
        codes: The numbers of the distinct values of the column, -1 for a missing one.
        source: The same of the column that it may be a function of.

    Example:
        >>> is_function(np.array([0, 0, 1]), np.array([0, 1, 2]))
        True
    """
    there = (codes >= 0) & (source >= 0)
    value = np.full(source.max() + 1, -1)
    value[source[there]] = codes[there]
    return bool((value[source[there]] == codes[there]).all())


def _told(codes: NDArray[np.int64], source: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the source that the number of a dependent column tells, or -1.

    Arguments:
        codes: The numbers of the distinct values of the column, -1 for a missing one.
        source: The same of its source.
    """
    there = (codes >= 0) & (source >= 0)
    pairs = np.unique(np.stack([codes[there], source[there]], 1), axis=0)
    found = np.full(codes.max() + 2, -1)  # the last place is that of a missing value
    found[pairs[:, 0]] = pairs[:, 1]
    several, counts = np.unique(pairs[:, 0], return_counts=True)
    found[several[counts > 1]] = -1
    return found[codes]


def _dependent(column: Column, source: Column, table: Table) -> Column:
    """Return a column as a function of another one.

    Arguments:
        column: The column.
        source: The column of classes that it is a function of.
        table: The table.
    """
    classes = source.encode(table.columns[source.name], table.name)
    values = table.columns[column.name]
    rows = np.flatnonzero(~np.isnan(classes) & ~missing_in(values))
    first = dict(zip(*np.unique(classes[rows], return_index=True), strict=True))
    of_classes = [
        plain_value(values[rows[first[k]]], column.stored) if k in first else None
        for k in range(source.n_values)
    ]
    return Column(
        column.name,
        "dependent",
        tuple(of_classes),
        stored=column.stored,
        has_missing=column.has_missing,
        source=source.name,
        reason=f"a function of {source.name}",
    )
