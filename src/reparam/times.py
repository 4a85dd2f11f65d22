"""Dates, times and durations as people give them: as numbers, and back as text."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np

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
