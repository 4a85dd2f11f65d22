"""The schema of a table: what each column is, and how its values become numbers and return.

A row of a table is a vector x of one number for each column: a quantity, days or seconds of a date,
or the number of a class. A missing value is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reparam.cycles import Cycle, without_gaps
from reparam.errors import DataError, OptionError, unknown
from reparam.formulas import Formula, compute, in_order, last_digit, solve
from reparam.times import ORDERS, date_text, dates_in_order, local_of, moment_of, seconds_of, utc_of

Kind = Literal[
    "real",
    "positive",
    "count",
    "date",
    "binary",
    "categorical",
    "ordinal",
    "dependent",
    "computed",
    "ignored",
]
Stored = Literal["float", "int", "bool", "text", "date", "duration"]
Value = str | int | float | bool

QUANTITIES = ("real", "positive", "count", "date")
"""The kinds of columns that are quantities."""

CLASSES = ("binary", "categorical", "ordinal")
"""The kinds of columns that are one of several classes."""

DATE_UNITS: Mapping[str, int] = {"D": 86_400, "h": 3_600, "m": 60, "s": 1}
"""The units of dates, by the letters of NumPy, and their seconds."""

N_WAVES = 6
"""The number of sines and cosines that an encoder reads of the place of a date in a cycle."""

UNSEEN = -1.0
"""The number of a class that no training row has."""

_MOST_LISTED = 8

_TYPES: Mapping[str, type] = {"float": float, "int": int, "bool": bool, "duration": float}
"""The types of NumPy's arrays of classes, where they are not objects."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Arguments:
        name: Its name.
        kind: ``real``, ``positive`` and ``count`` are quantities: any real number, one above zero,
            and a whole number from 0 on. ``date`` is a date or a time. ``binary``, ``categorical``
            and ``ordinal`` are one of several classes, the last in an order. ``dependent`` is a
            function of a column of classes, and ``computed`` a sum or product of quantities. These
            two and ``ignored`` are no part of x.
        values: The classes in their order; () for a quantity. Of a dependent column its value for
            each class of its source, None for a missing one. Of an ignored column its only value,
            where it has one.
        stored: The type of the values in the user's table.
        has_missing: Whether training rows lack a value.
        missing_as_value: Whether a missing value is a value of its own, so that samples lack it
            as often as the data.
        decimals: The decimals of a quantity; None for any number of them.
        low: The least training value of a quantity, in its own unit.
        high: The largest.
        atoms: The values of a quantity that are much more frequent than those beside them, each
            with a probability of its own, in its own unit.
        origin: The number that x counts from. float32 would round values far from zero.
        unit: The unit of a date, as NumPy writes it.
        cycles: The cycles of a date that have frequencies of their own, the longest one first.
        step: The step of the grid that the dates of a column with cycles lie on, in ``unit``; 0
            for none.
        zone: The zone of times, such as ``Europe/Berlin``; "" for none. Values are times of UTC,
            and numbers those that a clock in the zone shows, so that midnights are whole days.
        order: The order of year, month and day in dates of text; "" where they have a type.
        written: A few dates of text, which show how all are written; () where they have a type.
        source: The name of the column that a dependent one is a function of.
        formula: The sum or product that a computed column is.
        at_least: The names of columns of x whose values are never above those of this one.
        reason: Why the column is no part of x.

    Raises:
        OptionError: A kind that does not exist, or classes where none, or two or more, are needed.

    Example:
        >>> Column("sex", "binary", ("F", "M")).is_class
        True
    """

    name: str
    kind: Kind
    values: tuple[Value | None, ...] = ()
    stored: Stored = "float"
    has_missing: bool = False
    missing_as_value: bool = False
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    atoms: tuple[float, ...] = ()
    origin: float = 0.0
    unit: str = "s"
    cycles: tuple[Cycle, ...] = ()
    step: float = 0.0
    zone: str = ""
    order: str = ""
    written: tuple[str, ...] = ()
    source: str = ""
    formula: Formula | None = None
    at_least: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown(f"kind of column {self.name!r}", str(self.kind), get_args(Kind))
        if self.is_class and len(self.values) < 2:
            raise OptionError(
                f"column {self.name!r} is {self.kind} with the classes {list(self.values)}: two or "
                "more are needed, so ignore the column"
            )
        if self.kind == "binary" and len(self.values) != 2:
            raise OptionError(
                f"column {self.name!r} is binary with {len(self.values)} classes: it has two, so "
                "make it categorical"
            )
        if self.kind in QUANTITIES and self.values:
            raise OptionError(
                f"column {self.name!r} is {self.kind} and has the classes {list(self.values)}: a "
                "quantity has none, so make it categorical, or drop them"
            )
        if self.kind not in QUANTITIES and self.atoms:
            raise OptionError(
                f"column {self.name!r} is {self.kind} and has the atoms {list(self.atoms)}: only a "
                "quantity has some, so drop them"
            )
        if len(set(self.atoms)) < len(self.atoms):
            raise OptionError(f"column {self.name!r} has an atom twice: give each once")
        if (self.kind == "dependent") != bool(self.source):
            raise OptionError(
                f"column {self.name!r} is {self.kind} with the source {self.source!r}: a dependent "
                "column has one, and no other column"
            )
        if (self.kind == "computed") != (self.formula is not None):
            raise OptionError(
                f"column {self.name!r} is {self.kind} with the formula {self.formula}: a computed "
                "column has one, and no other column"
            )
        if self.is_class and len(set(self.values)) < len(self.values):
            raise OptionError(f"column {self.name!r} has a class twice: name each once")
        for cycle in self.cycles:
            if cycle not in get_args(Cycle):
                raise unknown(f"cycle of column {self.name!r}", str(cycle), get_args(Cycle))
        if without_gaps(self.cycles) != tuple(self.cycles):
            raise OptionError(
                f"column {self.name!r} has the cycles {list(self.cycles)}: each divides the bins "
                "of the one before, as in ['year', 'week', 'day', 'hour'], so put those between in"
            )
        if self.cycles and self.kind != "date":
            raise OptionError(
                f"column {self.name!r} is {self.kind} and has the cycles {list(self.cycles)}: only "
                "dates have some, so drop them"
            )
        if self.unit not in DATE_UNITS:
            raise unknown(f"unit of column {self.name!r}", self.unit, DATE_UNITS)
        if self.order and self.order not in ORDERS:
            raise unknown(f"order of column {self.name!r}", self.order, ORDERS)

    @property
    def is_class(self) -> bool:
        """Whether the column is one of several classes."""
        return self.kind in CLASSES

    @property
    def n_values(self) -> int:
        """The number of classes; 0 for a quantity."""
        return len(self.values)

    def encode(self, values: NDArray[Any], where: str) -> NDArray[np.float64]:
        """Return the numbers of values, with shape (N,), NaN for a missing one.

        Arguments:
            values: float64, objects that are text or None, or datetime64, with shape (N,).
            where: The name of the table in messages.

        Raises:
            DataError: A class that is not in the schema, or values of another type.
        """
        what = f"column {self.name!r} of {where}"
        # A column without values has no type, unless it is one of dates.
        if values.dtype.kind != "M" and missing_in(values).all():
            return np.full(len(values), np.nan)
        if self.is_class:
            return self._encode_classes(values, what)
        if values.dtype.kind == "O":
            values = self._of_text(values, what)
        if self.is_date:
            if values.dtype.kind != "M":
                raise DataError(f"{what} holds no dates: give dates, as in the training data")
            shown = self.shown(values)
            numbers = shown.astype(np.int64) / (1e6 * DATE_UNITS[self.unit])
            return np.where(np.isnat(values), np.nan, numbers - self.origin)
        if values.dtype.kind == "M":
            raise DataError(f"{what} holds dates: numbers are needed, as in the training data")
        bad = np.isinf(values)
        if bad.any():
            raise DataError(
                f"{what} is infinite in row {int(bad.argmax())}: give a finite number, or leave "
                "the cell empty"
            )
        numbers = values - self.origin
        return np.asarray(numbers, np.float64)

    def numbers(self, values: NDArray[Any], where: str) -> NDArray[np.float64]:
        """Return the numbers of a quantity in its own unit, NaN for a missing one, with shape (N,).

        They do not count from ``origin``, as those of ``encode`` do.

        Arguments:
            values: The values, as ``encode`` takes them.
            where: The name of the table in messages.
        """
        return self.encode(values, where) + self.origin

    @property
    def last_digit(self) -> float:
        """The unit of the last digit of a quantity, and of a date; 0 for any number of decimals."""
        return last_digit(0 if self.is_date else self.decimals)

    def shown(self, moments: NDArray[Any]) -> NDArray[Any]:
        """Return dates and times as a clock in the zone of the column shows them, with shape (N,).

        Arguments:
            moments: The dates, ``datetime64`` of UTC where there is a zone, with shape (N,).
        """
        return local_of(moments, self.zone) if self.zone else moments.astype("datetime64[us]")

    def _of_text(self, values: NDArray[Any], what: str) -> NDArray[Any]:
        """Return numbers or dates that are given as text, with shape (N,).

        Arguments:
            values: Text, or None for a missing value, with shape (N,).
            what: The column in messages.

        Raises:
            DataError: Text that is none.
        """
        missing = missing_in(values)
        words, places = np.unique(values[~missing].astype(str), return_inverse=True)
        read: list[Any] = [self._read(word) for word in words]
        wrong = next((word for word, one in zip(words, read, strict=True) if one is None), None)
        if wrong is not None:
            row = int(np.argmax(values == wrong))
            rule = f"a date with the {self.order or 'year first'}" if self.is_date else "a number"
            raise DataError(
                f"{what} is {str(wrong)!r} in row {row}: {rule} is needed, as in the training data"
            )
        found = np.full(len(values), np.datetime64("NaT", "us") if self.is_date else np.nan)
        found[~missing] = np.array(read)[places]
        return found

    def _read(self, word: str) -> Any:
        """Return a number or a date of text; None if it is none."""
        if self.is_date:
            dates = dates_in_order([word], self.order or "year first", self.zone)
            return None if dates is None else dates[0]
        try:
            return float(word)
        except ValueError:
            return None

    @property
    def is_date(self) -> bool:
        """Whether the column is a date or a time, also one that is computed."""
        return self.kind == "date" or (self.kind == "computed" and self.stored == "date")

    def _encode_classes(self, values: NDArray[Any], what: str) -> NDArray[np.float64]:
        if values.dtype.kind == "M":
            raise DataError(f"{what} holds dates: give classes, as in the training data")
        values = _as_stored(values, self.stored)
        found = self._codes(values)
        unseen = found == UNSEEN
        if unseen.any():
            row = int(unseen.argmax())
            shown = values[row] if isinstance(values[row], str) else float(values[row])
            classes = _some([str(v) for v in self.values])
            raise DataError(
                f"{what} is {shown!r} in row {row}, and the training data have "
                f"{classes}: give one of these, leave the cell empty, or drop "
                "the row"
            )
        return found

    def _codes(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers of classes, NaN for a missing one and ``UNSEEN`` for an unknown one.

        Arguments:
            values: The classes, in the type of the user's table, with shape (N,).
        """
        number_of: dict[Any, float] = {plain(v): float(i) for i, v in enumerate(self.values)}
        missing = missing_in(values)
        distinct, inverse = np.unique(values[~missing], return_inverse=True)
        codes = np.array([number_of.get(plain(v), UNSEEN) for v in distinct], np.float64)
        found = np.full(len(values), np.nan)
        found[~missing] = codes[inverse]
        return found

    def unseen(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether values are none of the classes, with shape (N,).

        The only value of an ignored column counts as its class. A quantity, which has none, and a
        missing value are not unseen.

        Arguments:
            values: The values, with shape (N,), as ``encode`` takes them.

        Example:
            >>> column = Column("sex", "binary", ("F", "M"), "text")
            >>> column.unseen(np.array(["M", "X", None], object)).tolist()
            [False, True, False]
        """
        if not self.values or self.kind == "dependent" or values.dtype.kind == "M":
            return np.zeros(len(values), bool)
        return self._codes(_as_stored(values, self.stored)) == UNSEEN

    def as_array(self, value: object) -> NDArray[Any]:
        """Return one value, which may be text as on the command line, as a column of one row.

        A time without a zone is one of the zone of the column. A duration may be a ``timedelta``,
        text or a number of seconds.

        Raises:
            DataError: Text that is no number, date or duration, in a column of such.

        Example:
            >>> Column("age", "count").as_array("40")
            array([40.])
            >>> Column("day", "date", zone="Europe/Rome").as_array("2024-01-31 12:00")
            array(['2024-01-31T11:00:00.000000'], dtype='datetime64[us]')
        """
        rule = "a number"
        if self.stored == "text":
            return np.array([None if value is None else str(value)], object)
        try:
            if self.is_date:
                rule = "a date, such as 2024-01-31"
                text = str(value).strip()
                dates = dates_in_order([text], self.order, self.zone) if self.order else None
                return np.array([moment_of(value, self.zone)]) if dates is None else dates
            if self.stored == "duration":
                rule = "a duration, such as 90 seconds, 1h30m or 1 day 02:30:00,"
                return np.array([seconds_of(value)])
            words = _TRUTHS if self.stored == "bool" else {}
            return np.array([words.get(str(value).lower(), value)], np.float64)
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"column {self.name!r} is {value!r}: {rule} is needed") from None

    def encode_given(self, value: object) -> float:
        """Return the number of one given value.

        Raises:
            DataError: A missing value, one outside the range of the training data, or one between
                their values.
        """
        (number,) = self.encode(self.as_array(value), "given")
        quantity = number + self.origin
        if np.isnan(number):
            raise DataError(f"{self.name}={value!r}: a value is needed; leave the column out")
        if self.is_class or self.low is None or self.high is None:
            return float(number)
        if not self.low <= quantity <= self.high:
            ends = self.decode(np.array([self.low, self.high]) - self.origin)
            if self.is_date:
                low, high = (date_text(v, self.unit, self.zone) for v in ends)
            else:
                low, high = (str(v) for v in ends)
            raise DataError(
                f"{self.name}={value!r}: the training data range from {low} to {high}, so give a "
                "value among them"
            )
        if self.decimals is not None and round(quantity, self.decimals) != quantity:
            raise DataError(
                f"{self.name}={value!r}: the training data have {self.decimals} decimals, so give "
                "as many"
            )
        return float(number)

    def of_classes(self, numbers: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of a dependent column, with shape (N,), None or NaN for a missing one.

        Arguments:
            numbers: The numbers of the classes of its source, NaN for a missing one.

        Example:
            >>> values = ("CH", "IT", "IT")
            >>> country = Column("country", "dependent", values, "text", source="city")
            >>> country.of_classes(np.array([2.0, np.nan, 0.0])).tolist()
            ['IT', None, 'CH']
        """
        codes = np.where(np.isnan(numbers), -1, numbers).astype(int)
        found = np.array([*self.values, None], object)[codes]
        missing = missing_in(found)
        kind = _TYPES.get(self.stored, object)
        if kind in (int, float) and missing.any():
            kind = float
        return found if kind is bool and missing.any() else found.astype(kind)

    def classes_of(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers of the classes of its source that a dependent column tells.

        Arguments:
            values: The values of the column, with shape (N,).

        Returns:
            The numbers, with shape (N,), NaN where no class or several have the value.

        Example:
            >>> values = ("CH", "IT", "IT")
            >>> country = Column("country", "dependent", values, "text", source="city")
            >>> country.classes_of(np.array(["CH", "IT", None], object)).tolist()
            [0.0, nan, nan]
        """
        known = [None if value is None else plain(value) for value in self.values]
        number_of = {v: float(known.index(v)) for v in known if known.count(v) == 1}
        number_of[None] = np.nan
        values = _as_stored(values, self.stored)
        return np.array([number_of.get(plain(v), np.nan) for v in values], np.float64)

    def exact(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return numbers of x, of which those that are an atom in single precision are the atom.

        Arguments:
            numbers: The numbers, NaN for a missing value, of any shape.

        Example:
            >>> column = Column("share", "real", atoms=(0.1, 0.3))
            >>> column.exact(np.array([np.float32(0.1), 0.2], np.float64)).tolist()
            [0.1, 0.2]
        """
        if not self.atoms:
            return numbers
        atoms = np.sort(self.atoms) - self.origin
        singles, single = atoms.astype(np.float32), numbers.astype(np.float32)
        place = np.searchsorted(singles, single).clip(max=len(atoms) - 1)
        return np.where(singles[place] == single, atoms[place], numbers)

    def decode(self, numbers: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of numbers of a sample, with shape (N,), in the type of the table.

        Quantities are rounded to the decimals of the column and kept in its range. A missing value
        is NaN in a column of floats, NaT in one of dates, and None in others.

        Arguments:
            numbers: The numbers, NaN for a missing value, with shape (N,).
        """
        missing = np.isnan(numbers)
        if self.is_class:
            codes = np.where(missing, 0, numbers).astype(int)
            found = np.array([*self.values, None], object)[np.where(missing, -1, codes)]
            return found if missing.any() else found.astype(_TYPES.get(self.stored, object))
        quantity = self.exact(numbers) + self.origin
        # A computed value stays the sum or product that it is.
        if self.low is not None and self.high is not None and self.kind != "computed":
            quantity = quantity.clip(self.low, self.high)
        if self.is_date:
            whole = np.where(missing, 0, quantity).round()
            if self.atoms:
                # A frequent time may lie between the units of the others.
                near = _nearest(quantity, np.sort(self.atoms))
                whole = np.where(np.abs(quantity - near) < _EXACTLY * np.abs(near), near, whole)
            seconds = (whole * DATE_UNITS[self.unit]).round()
            dates = (1e6 * seconds).astype("datetime64[us]")
            dates[missing] = np.datetime64("NaT")
            return utc_of(dates, self.zone) if self.zone else dates
        if self.decimals is not None:
            quantity = quantity.round(self.decimals)
        else:
            quantity = _shortest(quantity)
        if self.stored == "int" and not missing.any() and (np.abs(quantity) < 2**63).all():
            return quantity.astype(np.int64)
        return quantity


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
        _ = self.formulas  # which checks them

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns of x."""
        return tuple(column for column in self.columns if column.kind in (*QUANTITIES, *CLASSES))

    @property
    def dependent(self) -> tuple[Column, ...]:
        """The columns that are functions of columns of x."""
        return tuple(column for column in self.columns if column.kind == "dependent")

    @cached_property
    def formulas(self) -> dict[str, Formula]:
        """The formulas of the computed columns, by name, in the order of computation."""
        formulas = {c.name: c.formula for c in self.columns if c.formula is not None}
        return in_order(formulas, [c.name for c in self.features if c.kind in QUANTITIES])

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
                f"{where} lacks the column {lacking[0]!r}, and has {_some(list(table))}: "
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
            self._solve(x, {c.name: c.encode(table[c.name], where) for c in results})
        return x

    def _solve(self, x: NDArray[np.float64], results: Mapping[str, NDArray[np.float64]]) -> None:
        """Set the missing values of rows that follow from computed columns.

        Arguments:
            x: The rows, with shape (N, D), which are changed.
            results: The numbers of computed columns, by name, each with shape (N,).
        """
        formulas, numbers = self.formulas, self._numbers(x)
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
        is_wrong = ~self.has_results(x, results)
        x[changed & is_wrong[:, None]] = np.nan

    def has_results(
        self, x: NDArray[np.float64], results: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.bool_]:
        """Return whether rows have the given results of formulas, with shape (N,).

        A result that is not given, or cannot be computed, is no other one.

        Arguments:
            x: The rows, with shape (N, D).
            results: The numbers of computed columns, by name, each with shape (N,) or ().
        """
        found = compute(self._numbers(x), self.formulas)
        fits = np.ones(len(x), bool)
        for name, wanted in results.items():
            fits &= ~_differ(found[name], wanted, self.formulas[name].decimals)
        return fits

    def _numbers(self, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the quantities of rows in their own units, by name, each with shape (N,)."""
        columns = enumerate(self.features)
        return {c.name: x[:, i] + c.origin for i, c in columns if c.kind in QUANTITIES}

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
            formula = self.formulas[name]
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
            of which several parts are open, by name: see ``with_results``.

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
        self._solve(row[None], known)
        found = compute(self._numbers(row[None]), self.formulas)
        for name, column in results.items():
            formula = self.formulas[name]
            if _differ(found[name], known[name], formula.decimals).any():
                (shown,) = column.decode(found[name])
                raise DataError(
                    f"{name}={given[name]!r}: the column is {formula}, which is {shown} here; give "
                    f"other values of {', '.join(formula.names)}, or leave {name!r} out"
                )
        return row, {k: float(v[0]) for k, v in known.items() if np.isnan(found[k][0])}

    def with_results(
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
            >>> schema = Schema((*parts, Column("total", "computed", decimals=0, formula=half)))
            >>> x = np.array([[3.0, 8.0], [7.0, 1.0]])
            >>> schema.with_results(x, np.array([False, False]), {"total": 12})
            (array([[ 4.,  8.],
                   [nan,  1.]]), [0])
        """
        rows = x.copy()
        places: list[int] = []
        for name in results:
            parts = [self.names.index(part) for part in self._parts_of(name)]
            open_parts = [i for i in parts if not given[i] and i not in places]
            factors = dict(self.formulas[name].terms)
            reach = [
                abs(factors.get(c.name, 1.0)) * ((c.high or 0.0) - (c.low or 0.0))
                for c in (self.features[i] for i in open_parts)
            ]
            places += [open_parts[int(np.argmax(reach))]] if open_parts else []
        rows[:, places] = np.nan
        self._solve(rows, {name: np.full(len(rows), value) for name, value in results.items()})
        return rows, places

    def _parts_of(self, name: str) -> list[str]:
        """Return the columns of x that a computed column is computed from."""
        found: list[str] = []
        for part in self.formulas[name].names:
            found += self._parts_of(part) if part in self.formulas else [part]
        return found

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
                found[column.name] = only.astype(_TYPES.get(column.stored, object))
        if not self.formulas:
            return found
        quantities = [c for c in self.features if c.kind in QUANTITIES]
        numbers = compute(
            {c.name: c.numbers(found[c.name], "x") for c in quantities}, self.formulas
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
        plain_values = []
        for column in self.columns:
            values = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(column).items()}
            values["formula"] = None if column.formula is None else column.formula.to_dict()
            own = {k: v for k, v in values.items() if k in ("name", "kind") or v != _DEFAULTS[k]}
            plain_values.append(own)
        return plain_values

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
        columns = []
        for given in values:
            for key in given:
                if key not in _DEFAULTS:
                    raise unknown("key of a column", str(key), _DEFAULTS)
            if not isinstance(given.get("name"), str) or "kind" not in given:
                raise OptionError(f"column {given!r}: needs a name and a kind")
            if not all(isinstance(given[key], _STORED_TYPES[key]) for key in given):
                raise OptionError(f"column {given!r}: a value has another type than it needs")
            several = {name: tuple(given.get(name, ())) for name in _SEVERAL}
            if not all(isinstance(atom, int | float) for atom in several["atoms"]):
                raise OptionError(f"column {given!r}: an atom is no number")
            formula = given.get("formula")
            one = None if formula is None else Formula.from_dict(formula)
            columns.append(Column(**{**given, **several, "formula": one}))
        return cls(tuple(columns))


_SEVERAL = ("values", "atoms", "cycles", "written", "at_least")
"""The fields of a column that are tuples, and lists in a file."""

_DEFAULTS: dict[str, Any] = {
    f.name: [] if f.name in _SEVERAL else f.default for f in fields(Column)
}

_NUMBER = (int, float, NoneType)

_STORED_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "kind", "stored", "unit", "zone", "order", "source", "reason"), str),
    **dict.fromkeys(("has_missing", "missing_as_value"), bool),
    **dict.fromkeys(("low", "high", "origin", "step"), _NUMBER),
    "decimals": (int, NoneType),
    "formula": (dict, NoneType),
    **dict.fromkeys(_SEVERAL, (list, tuple)),
}
"""The types of the fields of a column in a file."""


def missing_in(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether values are missing, with shape (N,).

    >>> missing_in(np.array(["a", None], object)).tolist()
    [False, True]
    """
    if values.dtype.kind == "O":
        return np.array([value is None for value in values], bool)
    return np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)


def _nearest(values: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest of known numbers, which ascend, for each value.

    >>> _nearest(np.array([0.0, 1.9, 9.0]), np.array([1.0, 2.0])).tolist()
    [1.0, 2.0, 2.0]
    """
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    above, below = known[place], known[(place - 1).clip(min=0)]
    return np.where(np.abs(values - below) < np.abs(values - above), below, above)


def _differ(
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


def _shortest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers of single precision by their shortest decimals; other numbers unchanged.

    >>> _shortest(np.array([np.float32(4.9), 1 / 3], np.float64)).tolist()
    [4.9, 0.3333333333333333]
    """
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return np.where(single == values, single.astype(str).astype(np.float64), values)


_ROUNDING, _SINGLE = 1e-9, 2e-6
"""The relative errors of values that are computed in double, and in single, precision."""

_EXACTLY = 1e-12
"""The relative error of a frequent value in double precision."""

_TRUTHS = {"true": 1.0, "false": 0.0}
"""The words of a column of booleans."""


def _as_stored(values: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """Return classes in the type of the user's table; those that it cannot hold unchanged.

    One file may hold as text what another holds as numbers or booleans.

    Arguments:
        values: The classes: float64, or objects that are text or None.
        stored: The type.

    Example:
        >>> _as_stored(np.array(["1", None], object), "int").tolist()
        [1.0, nan]
        >>> _as_stored(np.array([1.0, np.nan]), "text").tolist()
        ['1', None]
    """
    missing = missing_in(values)
    if stored == "text" and values.dtype.kind == "f":
        numbers: list[float] = values[~missing].tolist()
        texts = np.full(len(values), None, object)
        texts[~missing] = [str(int(v)) if v.is_integer() else repr(v) for v in numbers]
        return texts
    if stored not in ("int", "float", "bool") or values.dtype.kind != "O":
        return values
    words = _TRUTHS if stored == "bool" else {}
    found = np.full(len(values), np.nan)
    try:
        found[~missing] = [words.get(str(v).lower(), v) for v in values[~missing]]
    except ValueError:
        return values
    return found


def _some(names: Sequence[str]) -> str:
    """Return the first names, and an ellipsis if there are more."""
    more = ", ..." if len(names) > _MOST_LISTED else ""
    return (", ".join(names[:_MOST_LISTED]) or "none") + more


def plain(value: object) -> Value | None:
    """Return a class as it is compared: a whole number and its float are the same.

    >>> plain(np.float64(2.0)), plain("a"), plain(True)
    (2.0, 'a', 1.0)
    """
    if isinstance(value, str) or value is None:
        return value
    return float(value)  # type: ignore[arg-type]
