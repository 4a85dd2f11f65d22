"""Dates, times and durations as people give them: as numbers, and back as text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_SECONDS = {
    **dict.fromkeys(("w", "week", "weeks"), 604_800.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("h", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1e-9),
}
"""The units of durations in text, and their seconds."""

_PART = re.compile(r"([+-]?)(\d+(?:\.\d+)?)\s*([a-zµ]+)[\s,]*")
_CLOCK = re.compile(r"([+-]?)(\d+):(\d\d):(\d\d(?:\.\d+)?)\Z")


ORDERS: Mapping[str, tuple[int, int, int]] = {
    "year first": (0, 1, 2),
    "day first": (2, 1, 0),
    "month first": (2, 0, 1),
}
"""The orders of a date in text: which of its three parts are the year, the month and the day."""

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
"""The names of the months."""

YEARS = range(1500, 2201)
"""The years of numbers that may be years: dates without a day or marks, and names of columns."""

LAST_OF_2000 = 68
"""Years of two digits up to this one are after 2000, as POSIX has it."""

_MONTH = "|".join(rf"{name[:3]}(?:{name[3:]})?" for name in MONTHS).replace("sep", "sept?")
_MONTH = rf"(?:{_MONTH})\b\.?"
_WEEKDAY = r"(?P<weekday>(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?)[.,]?\s+"
_TIME = (
    r"(?:(?:T|,?\s+)(?P<clock>\d\d?:\d\d(?::\d\d)?(?:\.\d+)?)(?:\s*(?P<half>[ap]\.?m\.?))?"
    r"\s*(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
)
_ORDINAL = re.compile("(st|nd|rd|th)$", re.IGNORECASE)
_DAY = r"\d\d?(?:st|nd|rd|th)?"
_DIGIT = re.compile(r"\d")
_YEAR = r"(?:\d{4}|\d\d)"


def _form(date: str, time: str = "") -> re.Pattern[str]:
    return re.compile(date + time, re.IGNORECASE)


_FORMS = (
    # 2024-01-31, 31.1.2024, 1/31/24
    _form(r"(?P<one>\d+)(?P<mark>[-./])(?P<two>\d+)(?P=mark)(?P<three>\d+)", _TIME),
    # 31-Jan-2024, Wed, 31 January 2024, 2024 Jan 31
    _form(
        rf"(?:{_WEEKDAY})?(?P<one>{_DAY}|\d{{4}})[-./\s]\s*(?P<two>{_MONTH})[-./,\s]\s*"
        rf"(?P<three>{_YEAR}|{_DAY})",
        _TIME,
    ),
    # Jan 31, 2024
    _form(
        rf"(?:{_WEEKDAY})?(?P<one>{_MONTH})[-./\s]\s*(?P<two>{_DAY})[-./,\s]\s*(?P<three>{_YEAR})",
        _TIME,
    ),
)
_VAGUE = (
    # 20240131
    _form(r"(?P<one>\d{4})(?P<two>\d\d)(?P<three>\d\d)"),
    # 2024-01, 2024 Jan
    _form(rf"(?P<one>\d{{4}})(?:[-/]|\s*)(?P<two>(?<=[-/])\d\d?|{_MONTH})"),
    # 01/2024, Jan 2024
    _form(rf"(?P<two>\d\d?(?=[-/])|{_MONTH})[-/\s]\s*(?P<three>\d{{4}})"),
)
"""The forms of dates that other values have as well: numbers, codes and ranges of years."""


@dataclass(frozen=True)
class WrittenDate:
    """A date as it is written, in its parts.

    Arguments:
        match: The match of its form.
        is_vague: Whether other values have its form as well.
    """

    match: re.Match[str]
    is_vague: bool

    @cached_property
    def _found(self) -> Mapping[str, str]:
        return self.match.groupdict("")

    def part(self, name: str) -> str:
        """Return a part of the form, such as ``clock``; "" where it has none."""
        return self._found.get(name, "")

    @property
    def exists(self) -> bool:
        """Whether there is such a date, in some order of year, month and day."""
        return any(self.moment(order, "") is not None for order in ORDERS)

    @property
    def parts(self) -> tuple[str, str, str]:
        """The year, the month and the day in their order; "" for one that is not written."""
        return self.part("one"), self.part("two"), self.part("three")

    def moment(self, order: str, zone: str) -> np.datetime64 | None:
        """Return the date, ``datetime64``, of UTC where it has a zone; None if it does not exist.

        Arguments:
            order: The order of year, month and day: see ``ORDERS``.
            zone: The zone of a time that has none; "" for none.
        """
        parts = self.parts
        year, month, day = (parts[i] for i in ORDERS[order])
        day = (day if day.isdigit() else _ORDINAL.sub("", day)) or "1"
        if not (year.isdigit() and day.isdigit() and month) or len(day) > 2:
            return None
        if not month.isdigit():
            month = str(1 + [name[:3] for name in MONTHS].index(month[:3].lower()))
        if len(year) == 2 and order != "year first":
            # Three short numbers with points are versions, unless all have two digits.
            if self.part("mark") == "." and min(map(len, parts)) < 2:
                return None
            year = f"{20 if int(year) <= LAST_OF_2000 else 19}{year}"
        if len(year) != 4 or len(month) > 2 or (self.is_vague and int(year) not in YEARS):
            return None
        hour, mark, rest = (self.part("clock") or "00:00").partition(":")
        half = self.part("half")
        if half:
            if not 1 <= int(hour) <= 12:
                return None
            hour = str(int(hour) % 12 + (12 if half[0] in "pP" else 0))
        text = f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}{mark}{rest}{self.part('zone')}"
        try:
            return moment_of(text, zone)
        except ValueError:
            return None


def written_date(word: str) -> WrittenDate | None:
    """Return a date of text in its parts; None for other text.

    Example:
        >>> written_date("31-Jan-2024").parts, written_date("Jan 2024").parts
        (('31', 'Jan', '2024'), ('', 'Jan', '2024'))
        >>> written_date("soon") is None
        True
    """
    if not word[:1].isalnum() or not _DIGIT.search(word):
        return None
    for is_vague, forms in ((False, _FORMS), (True, _VAGUE)):
        for form in forms:
            match = form.fullmatch(word)
            if match is not None:
                return WrittenDate(match, is_vague)
    return None


def dates_in_order(words: Sequence[str], order: str, zone: str = "") -> NDArray[Any] | None:
    """Return dates of text, ``datetime64``, of UTC where they have a zone; None if one is no date.

    Years of two digits are from 1969 to 2068. A date without a day is the first of its month.

    Arguments:
        words: The dates.
        order: The order of year, month and day: see ``ORDERS``.
        zone: The zone of a time that has none; "" for none.

    Example:
        >>> dates_in_order(["1/2/2024"], "day first").astype("datetime64[D]").tolist()
        [datetime.date(2024, 2, 1)]
        >>> dates_in_order(["1/31/2024"], "day first") is None
        True
        >>> dates_in_order(["Jan 31, 1999 9:30 PM"], "month first").tolist()
        [datetime.datetime(1999, 1, 31, 21, 30)]
    """
    return moments_in_order(map(written_date, words), order, zone)


def moments_in_order(
    dates: Iterable[WrittenDate | None], order: str, zone: str = ""
) -> NDArray[Any] | None:
    """Return dates, ``datetime64``, of UTC where they have a zone; None if one does not exist.

    Arguments:
        dates: The dates, None for other text.
        order: The order of year, month and day: see ``ORDERS``.
        zone: The zone of a time that has none; "" for none.
    """
    found = []
    for date in dates:
        moment = None if date is None else date.moment(order, zone)
        if moment is None:
            return None
        found.append(moment)
    return np.array(found, "datetime64[us]")


def zone_of(name: str) -> tzinfo:
    """Return the zone of a name, or of an offset from UTC as Arrow writes it.

    Raises:
        ValueError: A zone that is not known here.

    Example:
        >>> zone_of("Europe/Rome").key, zone_of("+02:00").utcoffset(None).seconds
        ('Europe/Rome', 7200)
    """
    if name[:1] in "+-":
        found = datetime.fromisoformat(f"2000-01-01T00:00{name}").tzinfo
        return UTC if found is None else found
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:
        raise ValueError(f"the zone {name!r} is not known here") from error


def moment_of(value: object, zone: str = "") -> np.datetime64:
    """Return a date or a time as microseconds from 1970, of UTC where it has a zone.

    Arguments:
        value: A date or a time of Python, NumPy or pandas, or text such as ``2024-01-31``,
            ``2024-01-31 12:00`` or ``2024-01-31T12:00+01:00``.
        zone: The zone of a time that has none; "" for none.

    Raises:
        ValueError: Any other text, or a zone that is not known here.

    Example:
        >>> moment_of("2024-07-01 12:00", "Europe/Rome").item().hour
        10
        >>> moment_of("2024-07-01T12:00-03:00", "Europe/Rome").item().hour
        15
    """
    found = value
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:  # such as 2024-01
            found = np.datetime64(value.strip(), "us")
    if not isinstance(found, datetime) or str(found) == "NaT":  # that of pandas is a datetime
        moment = np.datetime64(str(found), "us")
        found = moment.item()
        if not isinstance(found, datetime) or not zone:  # NaT, or a year beyond those of Python
            return moment
    if found.tzinfo is None and zone:
        found = found.replace(tzinfo=zone_of(zone))
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(found, "us")


def utc_of(moments: NDArray[Any], zone: str) -> NDArray[Any]:
    """Return the times of UTC of times in a zone, ``datetime64`` with shape (N,).

    Of a time that a clock shows twice it is the first one.

    Arguments:
        moments: The times, ``datetime64`` with shape (N,), NaT for a missing one.
        zone: The zone.

    Example:
        >>> utc_of(np.array(["2024-07-01T12:00"], "datetime64[us]"), "Europe/Rome").tolist()
        [datetime.datetime(2024, 7, 1, 10, 0)]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    local = pa.array(moments.astype("datetime64[us]"))
    found = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    return np.array(found.cast(pa.int64()).cast(pa.timestamp("us")), "datetime64[us]")


def local_of(moments: NDArray[Any], zone: str) -> NDArray[Any]:
    """Return the times in a zone of times of UTC, ``datetime64`` with shape (N,).

    Arguments:
        moments: The times of UTC, ``datetime64`` with shape (N,), NaT for a missing one.
        zone: The zone.

    Example:
        >>> local_of(np.array(["2024-07-01T10:00"], "datetime64[us]"), "Europe/Rome").tolist()
        [datetime.datetime(2024, 7, 1, 12, 0)]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    utc = pa.array(moments.astype("datetime64[us]"), pa.timestamp("us", tz=zone))
    return np.array(pc.local_timestamp(utc), "datetime64[us]")


def date_text(moment: np.datetime64, unit: str = "s", zone: str = "") -> str:
    """Return a date or a time as text, which ``moment_of`` reads; "" for NaT.

    Arguments:
        moment: The moment, of UTC where it has a zone.
        unit: The smallest unit that is written, as NumPy writes it.
        zone: The zone of the text, which then has its offset from UTC; "" for none.

    Example:
        >>> date_text(np.datetime64("2024-07-01T10:00"), "h", "Europe/Rome")
        '2024-07-01T12:00+02:00'
        >>> date_text(np.datetime64("2024-07-01T00:00"), "D")
        '2024-07-01'
    """
    if np.isnat(moment):
        return ""
    found = moment.astype("datetime64[us]").item()
    if not zone or not isinstance(found, datetime):
        return str(moment.astype(f"datetime64[{unit}]"))
    local = found.replace(tzinfo=UTC).astimezone(zone_of(zone))
    return local.isoformat(timespec="seconds" if unit == "s" else "minutes")


def seconds_of(value: object) -> float:
    """Return a duration in seconds.

    Arguments:
        value: A ``timedelta`` of Python, NumPy or pandas, a number of seconds, or text such as
            ``90``, ``1h30m``, ``90 seconds``, ``1 day 02:30:00`` or ``P1DT2H``.

    Raises:
        ValueError: Any other text.
        TypeError: Anything else.

    Example:
        >>> seconds_of("1h30m"), seconds_of("-1 day, 23:59:30"), seconds_of(timedelta(minutes=2))
        (5400.0, -30.0, 120.0)
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    if not isinstance(value, str):
        return float(value)  # type: ignore[arg-type]
    text = value.strip()
    try:
        return float(text)
    except ValueError:
        pass
    # ISO 8601 has a P in front, and a T between days and hours.
    text = (text.replace("T", "") if text.startswith("P") else text).removeprefix("P").lower()
    if not text:
        raise ValueError(f"{value!r} is no duration")
    total, sign, place = 0.0, "", 0
    while place < len(text):
        clock, part = _CLOCK.match(text, place), _PART.match(text, place)
        if clock is not None:
            hours, minutes, seconds = map(float, clock.groups()[1:])
            size = 3600 * hours + 60 * minutes + seconds
            total, place = total + (-size if clock[1] == "-" else size), len(text)
        elif part is not None and part[3] in _SECONDS:
            sign = part[1] or sign  # of -1h30m both are negative
            size = float(part[2]) * _SECONDS[part[3]]
            total, place = total + (-size if sign == "-" else size), part.end()
        else:
            raise ValueError(f"{value!r} is no duration")
    return total
