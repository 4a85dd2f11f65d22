"""One column of a table: what it is, and how its values become numbers and return.

The number of a quantity is its distance from an origin, that of a date counts days or seconds, and
that of a class is its place among the classes. A missing value is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reparam.cycles import Cycle, without_gaps
from reparam.errors import DataError, OptionError, unknown
from reparam.formulas import Formula, last_digit
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

ARRAY_TYPES: Mapping[str, type] = {"float": float, "int": int, "bool": bool, "duration": float}
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
            classes = listed([str(v) for v in self.values])
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
        kind = ARRAY_TYPES.get(self.stored, object)
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
            return found if missing.any() else found.astype(ARRAY_TYPES.get(self.stored, object))
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and YAML, without those that are the default."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}
        values["formula"] = None if self.formula is None else self.formula.to_dict()
        return {k: v for k, v in values.items() if k in ("name", "kind") or v != _DEFAULTS[k]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Column":
        """Return the column that ``to_dict`` wrote.

        Raises:
            OptionError: Anything else.

        Example:
            >>> Column.from_dict({"name": "sex", "kind": "binary", "values": ["F", "M"]}).n_values
            2
        """
        for key in values:
            if key not in _DEFAULTS:
                raise unknown("key of a column", str(key), _DEFAULTS)
        if not isinstance(values.get("name"), str) or "kind" not in values:
            raise OptionError(f"column {values!r}: needs a name and a kind")
        if not all(isinstance(values[key], _STORED_TYPES[key]) for key in values):
            raise OptionError(f"column {values!r}: a value has another type than it needs")
        several = {name: tuple(values.get(name, ())) for name in _SEVERAL}
        if not all(isinstance(atom, int | float) for atom in several["atoms"]):
            raise OptionError(f"column {values!r}: an atom is no number")
        formula = values.get("formula")
        one = None if formula is None else Formula.from_dict(formula)
        return cls(**{**values, **several, "formula": one})


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

_EXACTLY = 1e-12
"""The relative error of a frequent value in double precision."""

_TRUTHS = {"true": 1.0, "false": 0.0}
"""The words of a column of booleans."""


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


def _shortest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers of single precision by their shortest decimals; other numbers unchanged.

    >>> _shortest(np.array([np.float32(4.9), 1 / 3], np.float64)).tolist()
    [4.9, 0.3333333333333333]
    """
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return np.where(single == values, single.astype(str).astype(np.float64), values)


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


_MOST_LISTED = 8
"""The largest number of names in a message."""


def listed(names: Sequence[str]) -> str:
    """Return the first names, and an ellipsis if there are more.

    >>> listed(["a", "b"]), listed([])
    ('a, b', 'none')
    """
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
