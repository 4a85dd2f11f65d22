"""The schema of a table: its columns, and how its rows become vectors and return.

A row of a table is a vector x of one number for each column: a quantity, days or seconds of a date,
or the number of a class. A missing value is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.errors import DataError, OptionError, unknown
from reparam.formulas import compute, in_order
from reparam.schema.column import ARRAY_TYPES, CLASSES, N_WAVES, QUANTITIES, Column, listed
from reparam.schema.computed import ComputedColumns, differ


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in their order.

    Arguments:
        columns: The columns, with those that are no part of x.

    Raises:
        OptionError: A name that occurs twice.

    Example:
        >>> schema = Schema((Column("age", "count"), Column("sex", "binary", ("F", "M"))))
        >>> schema.encode({"age": np.array([40.0]), "sex": np.array(["M"], object)})
        array([[40.,  1.]])
    """

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise OptionError(f"the schema has two columns {twice!r}: give each its own name")
        for column in self.dependent:
            if len(column.values) != self.column(column.source).n_values:
                raise OptionError(
                    f"column {column.name!r} has {len(column.values)} values, and its source "
                    f"{column.source!r} has {self.column(column.source).n_values} classes: give "
                    "one value for each"
                )
        for column in self.columns:
            for name in column.at_least:
                if column.kind not in QUANTITIES or self.column(name).kind not in QUANTITIES:
                    raise OptionError(
                        f"column {column.name!r} is at least {name!r}: both must be quantities"
                    )
        _ = self.computed  # which checks their formulas

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns of x."""
        return tuple(column for column in self.columns if column.kind in (*QUANTITIES, *CLASSES))

    @property
    def dependent(self) -> tuple[Column, ...]:
        """The columns that are functions of columns of x."""
        return tuple(column for column in self.columns if column.kind == "dependent")

    @cached_property
    def computed(self) -> ComputedColumns:
        """The columns that are sums or products of quantities, in the order of computation."""
        formulas = {c.name: c.formula for c in self.columns if c.formula is not None}
        quantities = [c.name for c in self.features if c.kind in QUANTITIES]
        return ComputedColumns(self.features, in_order(formulas, quantities))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of x."""
        return tuple(column.name for column in self.features)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The names of the columns that are text in the user's table."""
        return tuple(column.name for column in self.columns if column.stored == "text")

    @property
    def written(self) -> dict[str, tuple[str, ...]]:
        """A few dates of each column of dates of text, by name: see ``Column``."""
        return {column.name: column.written for column in self.columns if column.written}

    @property
    def is_numeric(self) -> bool:
        """Whether all columns of the user's table are numbers or booleans."""
        return all(column.stored in ("int", "float", "bool") for column in self.columns)

    @property
    def has_missing(self) -> bool:
        """Whether training rows lack values."""
        return any(column.has_missing for column in self.features)

    def places(self, kinds: Sequence[str]) -> list[int]:
        """Return the places in x of the columns of some kinds."""
        return [i for i, column in enumerate(self.features) if column.kind in kinds]

    @property
    def optional(self) -> list[int]:
        """The places in x of the columns that training rows lack."""
        return [i for i, column in enumerate(self.features) if column.has_missing]

    @property
    def valued_missing(self) -> list[int]:
        """The places in x of the columns whose missing values are values of their own."""
        return [i for i, column in enumerate(self.features) if column.missing_as_value]

    @property
    def input_size(self) -> int:
        """The number of entries that an encoder reads for one row."""
        one_hot = sum(column.n_values + len(column.atoms) for column in self.features)
        waves = N_WAVES * sum(len(column.cycles) for column in self.features)
        return len(self.places(QUANTITIES)) + one_hot + waves + len(self.optional)

    def column(self, name: str) -> Column:
        """Return the column of x with a name.

        Raises:
            OptionError: A name that none has.
        """
        for column in self.features:
            if column.name == name:
                return column
        raise unknown("column", name, self.names)

    def encode(self, table: Mapping[str, NDArray[Any]], where: str = "x") -> NDArray[np.float64]:
        """Return the rows of a table as x, with shape (N, D), NaN for missing values.

        Arguments:
            table: The columns by name, as ``Column.encode`` takes them; others are left out.
            where: The name of the table in messages.

        Raises:
            DataError: A table without one of the columns, or values that no training data have.
        """
        lacking = [name for name in self.names if name not in table]
        if lacking:
            raise DataError(
                f"{where} lacks the column {lacking[0]!r}, and has {listed(list(table))}: "
                "give a table with the columns of the training data"
            )
        x = np.stack([c.encode(table[c.name], where) for c in self.features], axis=1)
        for column in self.dependent:
            place = self.names.index(column.source)
            lacks = np.isnan(x[:, place])
            if column.name in table and lacks.any():
                x[lacks, place] = column.classes_of(table[column.name][lacks])
        results = [c for c in self.columns if c.kind == "computed" and c.name in table]
        if results and np.isnan(x).any():
            self.computed.complete(x, {c.name: c.encode(table[c.name], where) for c in results})
        return x

    def encode_given(self, given: Mapping[str, object]) -> NDArray[np.float64]:
        """Return a row with the given values, and NaN in the other columns, with shape (D,).

        Arguments:
            given: The values by the names of their columns.

        Raises:
            OptionError: No value, or a column that does not exist.
            DataError: A class that the training data do not have, or the value of a computed column
                without all but one of its parts.
        """
        row, results = self.encode_conditions(given)
        for name in results:
            formula = self.computed.formulas[name]
            raise DataError(
                f"{name}={given[name]!r}: the column is {formula}; give values of "
                f"{', '.join(formula.names)}, or beside it all but one of them"
            )
        return row

    def encode_conditions(
        self, given: Mapping[str, object]
    ) -> tuple[NDArray[np.float64], dict[str, float]]:
        """Return a row with the given values, and given results of formulas that it leaves open.

        Arguments:
            given: The values by the names of their columns.

        Returns:
            The row, with shape (D,), NaN in the other columns; and the numbers of computed columns
            of which several parts are open, by name: see ``ComputedColumns.impose``.

        Raises:
            OptionError: No value, or a column that does not exist.
            DataError: A class that the training data do not have, or a result that the given parts
                do not have.
        """
        if not given:
            raise OptionError(
                f"given={{}}: name the value of one column or more, of {', '.join(self.names)}"
            )
        row = np.full(len(self.features), np.nan)
        dependent = {column.name: column for column in self.dependent}
        results = {c.name: c for c in self.columns if c.kind == "computed" and c.name in given}
        for name, value in given.items():
            if name in results:
                continue
            if name in dependent:
                column = dependent[name]
                (number,) = column.classes_of(column.as_array(value))
                if np.isnan(number):
                    raise DataError(
                        f"{name}={value!r}: the column is a function of {column.source!r}, and no "
                        f"class, or several, have this value; give {column.source!r}"
                    )
                row[self.names.index(column.source)] = number
            else:
                row[self.names.index(name)] = self.column(name).encode_given(value)
        known = {k: np.array([c.encode_given(given[k])]) for k, c in results.items()}
        if not known:
            return row, {}
        self.computed.complete(row[None], known)
        found = self.computed.of(row[None])
        for name, column in results.items():
            formula = self.computed.formulas[name]
            if differ(found[name], known[name], formula.decimals).any():
                (shown,) = column.decode(found[name])
                raise DataError(
                    f"{name}={given[name]!r}: the column is {formula}, which is {shown} here; give "
                    f"other values of {', '.join(formula.names)}, or leave {name!r} out"
                )
        return row, {k: float(v[0]) for k, v in known.items() if np.isnan(found[k][0])}

    def decode(self, x: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Return the columns of x, with shape (N, D), by name.

        Dependent and computed columns, and those with a single value, are among them.
        """
        found: dict[str, NDArray[Any]] = {}
        place = 0
        for column in self.columns:
            if column.kind == "computed":
                found[column.name] = np.empty(0)  # keeps the place among the columns
            elif column.kind == "dependent":
                found[column.name] = column.of_classes(x[:, self.names.index(column.source)])
            elif column.kind != "ignored":
                found[column.name] = column.decode(x[:, place])
                place += 1
            elif column.values:
                only = np.full(len(x), column.values[0], object)
                found[column.name] = only.astype(ARRAY_TYPES.get(column.stored, object))
        if not self.computed.formulas:
            return found
        quantities = [c for c in self.features if c.kind in QUANTITIES]
        numbers = compute(
            {c.name: c.numbers(found[c.name], "x") for c in quantities}, self.computed.formulas
        )
        for column in self.columns:
            if column.kind == "computed":
                found[column.name] = column.decode(numbers[column.name])
        return found

    def exact(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        r"""Return rows x in which frequent values have all their digits: see ``Column.exact``.

        Arguments:
            x: The rows, with shape (\*, D).
        """
        return np.stack([c.exact(x[..., i]) for i, c in enumerate(self.features)], axis=-1)

    def with_columns(self, changes: Mapping[str, Column]) -> "Schema":
        """Return the schema with other columns of the same names."""
        return replace(self, columns=tuple(changes.get(c.name, c) for c in self.columns))

    def to_list(self) -> list[dict[str, Any]]:
        """Return plain values for JSON and YAML, without those that are the default."""
        return [column.to_dict() for column in self.columns]

    @classmethod
    def from_list(cls, values: object) -> "Schema":
        """Return the schema that ``to_list`` wrote.

        Raises:
            OptionError: Anything else.

        Example:
            >>> schema = Schema((Column("sex", "binary", ("F", "M")),))
            >>> Schema.from_list(schema.to_list()) == schema
            True
        """
        if not isinstance(values, list | tuple) or not all(isinstance(v, dict) for v in values):
            raise OptionError(f"schema={values!r}: must be a list of columns")
        return cls(tuple(Column.from_dict(column) for column in values))
