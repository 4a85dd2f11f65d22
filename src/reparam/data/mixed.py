"""Data sets of tables whose columns are of several kinds."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.data.arrays import as_tensor, is_of_bytes
from reparam.data.checks import UNLABELED, as_labels, check_row_values, fitted, is_on_grid
from reparam.data.columns import kind_of
from reparam.data.dataset import Dataset, Split
from reparam.data.facts import N_LEVELS
from reparam.data.frames import of_frame, to_arrow
from reparam.data.infer import (
    Override,
    as_quantities,
    column_of,
    plain_value,
    refuse_infinite,
    schema_of,
    with_classes,
)
from reparam.data.preparation import FEWEST_PIXELS
from reparam.data.relations import with_relations
from reparam.data.remarks import remarks
from reparam.data.tables import Table, read_table, table_of_numbers
from reparam.errors import DataError, unknown
from reparam.schema import Column, Schema, missing_in
from reparam.spec import DataSpec
from reparam.times import local_of, utc_of

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of(table: Table, schema: Schema) -> Tensor:
    """Return the rows of a table as x, float32 with shape (N, D), NaN for missing values.

    Arguments:
        table: The table.
        schema: The columns of x.

    Raises:
        DataError: A table without one of the columns, or values that no training data have.
    """
    for name in schema.names:
        if name in table.nested:
            raise DataError(
                f"column {name!r} of {table.name} is needed, and {table.nested[name]}: give "
                "numbers, text, booleans or dates, as in the training data"
            )
    columns = {**table.columns, **_times(table, schema)}
    return torch.from_numpy(schema.encode(columns, table.name)).float()


def _times(table: Table, schema: Schema) -> dict[str, NDArray[Any]]:
    """Return the columns of a table whose times are those of the zone of the schema, as UTC.

    Raises:
        DataError: Times with a zone in a column that had none.
    """
    found = {}
    for column in schema.features:
        values, zone = table.columns.get(column.name), table.zones.get(column.name, "")
        if column.kind != "date" or values is None or values.dtype.kind != "M":
            continue
        if zone and not column.zone:
            raise DataError(
                f"column {column.name!r} of {table.name} has times with the zone {zone}, and those "
                "of the training data have none: remove it, for example by .dt.tz_localize(None)"
            )
        if column.zone and not zone:
            found[column.name] = utc_of(values, column.zone)
    return found


def without_unseen(table: Table, schema: Schema) -> tuple[Table, NDArray[np.bool_]]:
    """Return a table in which classes that a schema does not have are missing, and where they are.

    Arguments:
        table: The table.
        schema: The columns.

    Returns:
        The table; and whether each value is one that no training row has, with shape (N, D) for the
        D columns of the schema: a class, or another value in a column that had one alone.
    """
    columns = dict(table.columns)
    unseen = np.zeros((len(table), len(schema.columns)), bool)
    for i, column in enumerate(schema.columns):
        if column.name not in columns:
            continue
        values = columns[column.name]
        unseen[:, i] = column.unseen(values)
        if column.is_class and unseen[:, i].any():
            columns[column.name] = values.copy()
            columns[column.name][unseen[:, i]] = np.nan if values.dtype.kind == "f" else None
    return replace(table, columns=columns), unseen


def rows_given(values: object, schema: Schema, name: str = "x") -> Tensor:
    """Return the rows of any data of a table as x, float32 with shape (N, D).

    Arguments:
        values: A ``Table``, a DataFrame, the path of a file; an array of NumPy with the columns of
            the user's table in their order, where all are numbers; or a tensor of x itself, with
            shape (N, D). NaN is a missing value.
        schema: The columns of x.
        name: The name of the rows in messages.

    Raises:
        DataError: A table without one of the columns, or values that no training data have.
        ShapeError: An array of another shape.
    """
    table = as_table(values, name, schema.text_columns)
    if table is None and isinstance(values, np.ndarray) and schema.is_numeric:
        table = table_of_array(values, schema, name)
    if table is not None:
        return rows_of(table, schema)
    rows = as_tensor(values, name).float()
    rows = fitted(rows, (len(schema.features),), name)
    check_row_values(rows, schema, name)
    return rows


def table_of_array(values: NDArray[Any], schema: Schema, name: str) -> Table:
    """Return an array as a table.

    Arguments:
        values: The rows, with the columns of the training table, or those of x, in their order.
        schema: The columns of x.
        name: The name of the rows in messages.

    Raises:
        ShapeError: Another number of columns.
    """
    rows = as_tensor(values, name).double().numpy()
    listed = [column.name for column in schema.columns]
    if rows.shape[-1:] == (len(schema.features),):
        listed = list(schema.names)
    rows = fitted(torch.from_numpy(rows), (len(listed),), name).numpy()
    return table_of_numbers(rows, listed, name)


def as_table(values: object, name: str = "x", text_columns: Collection[str] = ()) -> Table | None:
    """Return a table, a DataFrame or a file of a table as a ``Table``; None for anything else.

    Arguments:
        values: The table.
        name: Its name in messages.
        text_columns: The columns that stay text, whatever their cells.
    """
    if isinstance(values, Table):
        return values
    if isinstance(values, str | PathLike):
        return read_table(values, text_columns=text_columns)
    return of_frame(values, name, text_columns)


def decoded(rows: Tensor, schema: Schema) -> "pa.Table":
    """Return rows x as a table of Arrow, times in their zones.

    Arguments:
        rows: The rows x, with shape (N, D).
        schema: The columns of x.

    Example:
        >>> schema = Schema((Column("seen", "date", zone="Europe/Rome"),))
        >>> decoded(torch.zeros(1, 1), schema).to_pylist()[0]["seen"].isoformat()
        '1970-01-01T00:00:00+01:00'
    """
    import pyarrow as pa

    table = to_arrow(schema.decode(rows.double().cpu().numpy()))
    for i, name in enumerate(table.column_names):
        zone = next(column.zone for column in schema.columns if column.name == name)
        if zone:
            of_utc = table.column(i).cast(pa.int64())
            table = table.set_column(i, name, of_utc.cast(pa.timestamp("us", tz=zone)))
    return table


def filled(table: Table, schema: Schema, rows: Tensor) -> dict[str, NDArray[Any]]:
    """Return the columns of a table, with the values of rows in the cells that are missing.

    Cells that are known keep their values to the last digit, and so do columns that are no part of
    x.

    Arguments:
        table: The table.
        schema: The columns of x.
        rows: The rows x with a value in every entry, with shape (N, D).
    """
    found, names = {}, schema.names
    drawn = schema.decode(rows.double().numpy())
    for name, values in table.columns.items():
        missing = missing_in(values)
        if name in drawn and (name in names or missing.any()):
            if missing.all():  # a column without values has no type
                values = drawn[name]
            else:
                new = drawn[name] if values.dtype.kind in "OM" else drawn[name].astype(float)
                zone = schema.column(name).zone if name in names else ""
                if zone and values.dtype.kind == "M" and name not in table.zones:
                    new = local_of(new, zone)
                values = np.where(missing, new, values)
        kind = table.stored[name]
        if kind in ("int", "bool") and not missing_in(values).any():
            values = values.astype(np.int64 if kind == "int" else bool)
        found[name] = values
    return found


def from_table(
    table: Table,
    *,
    target: str | None = None,
    y: object = None,
    schema: Schema | None = None,
    overrides: Mapping[str, Override] | None = None,
    missing_as_value: bool = False,
    splits: Mapping[str, NDArray[Any]] | None = None,
    name: str = "table",
) -> Dataset:
    """Return a data set of a table.

    Arguments:
        table: The table.
        target: The column that holds the labels, which is then no part of x; None for none.
        y: The labels, as ``from_arrays`` takes them, where they are no column.
        schema: The columns of x; inferred when None.
        overrides: What the user says of columns, by name: see ``schema_of``.
        missing_as_value: Whether missing values are values of their own.
        splits: The numbers of the rows of each split; all are ``train`` when None.
        name: The name of the data in messages.

    Raises:
        DataError: A table with no column to learn from, or a target that is no class.
        OptionError: A column that does not exist.

    Example:
        >>> columns = {"age": np.arange(20.0, 80) % 37, "sex": np.array(["F", "M"] * 30, object)}
        >>> table = Table("people", columns, {"age": "int", "sex": "text"}, {"age": 0})
        >>> from_table(table, target="sex").spec.n_classes
        2
    """
    refuse_infinite(table)
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    if y is not None:
        labels = as_labels(y, len(table))
    if target is not None:
        if schema is None:
            labels, classes = labels_of(table, target, (overrides or {}).get(target, {}))
        else:
            labels, classes = later_labels(table, target)
        table = table.without(target)
        overrides = {k: v for k, v in (overrides or {}).items() if k != target}
    places = {"train": np.arange(len(table))} if splits is None else splits
    # Kinds and ranges are those of training rows; a class may be in other rows alone.
    trained = table.take(places["train"])
    found = schema
    if found is None:
        found = with_classes(schema_of(trained, overrides, missing_as_value), table, overrides)
        found = with_relations(found, table, overrides)
    x = rows_of(table, found)
    spec = DataSpec(
        (x.shape[1],),
        "mixed",
        n_classes=len(classes) or (None if labels is None else int(labels.max()) + 1) or None,
        name=name,
        columns=found.names,
        schema=found,
    )
    whole = Split(x, labels)
    parts = {
        key: whole.take(torch.from_numpy(places[key]))
        for key in ("train", "validation", "test")
        if len(places.get(key, ()))
    }
    return Dataset(name, spec, parts, class_names=classes, notes=remarks(table, found))


def labels_of(
    table: Table, target: str, override: Override | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Return the labels in a column of a table, -1 for missing ones, and the names of the classes.

    Arguments:
        table: The table.
        target: The name of the column.
        override: What the user says of it.

    Raises:
        OptionError: A column that does not exist.
        DataError: A column that is no class.
    """
    if target not in table.columns:
        raise unknown(f"column of {table.name}", target, table.columns)
    values, said = table.columns[target], override or {}
    if values.dtype.kind == "f" and kind_of(values[~missing_in(values)]) == "category":
        # Few numbers are a quantity among the columns of x, and classes as labels.
        said = {"kind": "ordinal", **said}
    column: Column = column_of(table, target, said)
    if not column.is_class:
        n = len(np.unique(values[~missing_in(values)]))
        fix = (
            "leave it among the columns of x, or make it categorical in a schema"
            if n > 1
            else "give another column"
        )
        raise DataError(
            f"target={target!r}: the column of {table.name} has {n:,} different values and is "
            f"{column.kind}; labels are one of several classes, so {fix}"
        )
    codes = column.encode(values, table.name)
    labels = torch.from_numpy(np.where(np.isnan(codes), UNLABELED, codes)).long()
    return labels, tuple(str(value) for value in column.values)


def later_labels(table: Table, target: str) -> tuple[Tensor, tuple[str, ...]]:
    """Return the labels in a column of a table that a model was not trained on, as ``labels_of``.

    The table may have one class alone.

    Arguments:
        table: The table.
        target: The name of the column.

    Raises:
        OptionError: A column that does not exist.
    """
    if target not in table.columns:
        raise unknown(f"column of {table.name}", target, table.columns)
    values = table.columns[target]
    there = ~missing_in(values)
    distinct, codes = np.unique(values[there], return_inverse=True)
    labels = np.full(len(values), UNLABELED)
    labels[there] = codes
    names = tuple(str(plain_value(value, table.stored[target])) for value in distinct)
    return torch.from_numpy(labels).long(), names


def of_rows(
    x: object, y: object = None, name: str = "data", numbers_as_table: bool = True
) -> Dataset | None:
    """Return a data set of a table, or of an array with missing values; None for other data.

    Arguments:
        x: A ``Table``; a DataFrame, if it does not hold the pixels of images; or an array with
            shape (N, D), in which NaN is a missing value.
        y: The labels; None without any.
        name: The name of the data in messages.
        numbers_as_table: Whether a DataFrame of numbers alone, of which none is missing, is a table
            too.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> of_rows(x) is None
        True
        >>> x[3, 1] = np.nan
        >>> of_rows(x).spec.schema.columns[1].has_missing
        True
    """
    table, kinds = as_table(x, name), None
    if table is None:
        if not isinstance(x, np.ndarray | Tensor) or x.ndim != 2:
            return None
        values = as_tensor(x, name)
        if not values.is_floating_point() or not bool(values.isnan().any()):
            return None
        table = table_of_numbers(values.double().numpy(), numbered(values.shape[1]), name)
        kinds = as_quantities(table)
    elif not isinstance(x, Table) and not _has_others(table):  # numbers alone
        is_table = numbers_as_table and not _is_of_pixels(x, table)
        if not is_table:
            return None
    data = from_table(table, y=y, overrides=kinds, name=name)
    data.print_notes()
    return data


def numbered(n: int) -> list[str]:
    """Return names of columns without any.

    >>> numbered(3)
    ['x0', 'x1', 'x2']
    """
    return [f"x{i}" for i in range(n)]


def _is_of_pixels(frame: object, table: Table) -> bool:
    """Return whether a DataFrame of numbers holds pixels: many columns of bytes, or of k / 255."""
    if len(table.columns) < FEWEST_PIXELS:
        return False
    if is_of_bytes(frame):
        return True
    return all(
        0 <= values.min() <= values.max() <= 1 and is_on_grid(torch.from_numpy(values), N_LEVELS)
        for values in table.columns.values()
    )


def _has_others(table: Table) -> bool:
    """Return whether a table has columns of other values than numbers, or lacks some."""
    return bool(table.declared) or any(
        values.dtype.kind != "f" or bool(np.isnan(values).any())
        for values in table.columns.values()
    )
