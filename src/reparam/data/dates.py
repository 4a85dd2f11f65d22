"""Dates in cells of text: found where their order is clear, and written as others are."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATE = re.compile(
    r"(\d+)([-./])(\d+)\2(\d+)(?:[ T](\d\d?:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?))?"
)
"""A date, and a time behind it: three numbers, the mark between them, and the time."""

_FIELDS = {"year first": (0, 1, 2), "day first": (2, 1, 0), "month first": (2, 0, 1)}


def dates_of(texts: Sequence[str | None]) -> NDArray[Any] | None:
    """Return texts as dates, NaT for None; None where some are no dates, or their order is unclear.

    >>> dates_of(["2024-01-31", None, "2024-03-02"]).astype("datetime64[D]").tolist()[::2]
    [datetime.date(2024, 1, 31), datetime.date(2024, 3, 2)]
    >>> dates_of(["2024-01-31", "unknown"]) is dates_of(["1/2/2024"]) is None
    True
    """
    words = list(dict.fromkeys(text for text in texts if text is not None))
    dates = dates_in(words)
    if dates is None:
        return None
    places: dict[str | None, Any] = dict(zip(words, dates, strict=True))
    places[None] = np.datetime64("NaT")
    return np.array([places[text] for text in texts], "datetime64[us]")


def dates_in(words: Sequence[str]) -> NDArray[Any] | None:
    """Return dates, in the only order of year, month and day in which all of them exist; else None.

    None also stands for words of which one is no date, and for no words.

    >>> dates_in(["31.1.2024", "soon"]) is dates_in([]) is None
    True
    >>> dates_in(["31.1.2024", "2.3.2024"]).astype("datetime64[D]").tolist()[0].isoformat()
    '2024-01-31'
    """
    found = _clear(words)
    return None if found is None else found[1]


def _clear(words: Sequence[str]) -> tuple[str, NDArray[Any]] | None:
    """Return the only order of year, month and day in which dates exist, and the dates in it."""
    possible = existing_dates(words)
    # Dates with points have the day first.
    if len(possible) == 2 and all("." in word[:3] for word in words):
        return "day first", possible["day first"]
    return next(iter(possible.items())) if len(possible) == 1 else None


def dates_like(words: Sequence[str], moments: NDArray[Any]) -> list[str]:
    """Return dates as text, in the notation of others; in that of ISO 8601 if they have none.

    Arguments:
        words: The other dates, as they stand in a file.
        moments: The dates, ``datetime64``, of UTC where the others have a zone.

    Example:
        >>> dates_like(["31.1.2024", "2.3.2024"], np.array(["2024-02-09"], "datetime64[us]"))
        ['9.2.2024']
        >>> dates_like(["01/31/2024 9:00"], np.array(["2024-02-09T14:30"], "datetime64[us]"))
        ['02/09/2024 14:30']
    """
    found = _clear(words)
    if found is None:
        return [str(moment) for moment in moments.astype("datetime64[s]")]
    order = _FIELDS[found[0]]
    parts = [match.groups() for match in map(DATE.fullmatch, words) if match is not None]
    width = min(len(part[i]) for part in parts for i in (0, 2, 3))
    times = [part[4] for part in parts if part[4] is not None]
    texts = []
    for moment in moments.astype("datetime64[us]").tolist():
        numbers = (f"{moment.year:04}", f"{moment.month:0{width}}", f"{moment.day:0{width}}")
        text = parts[0][1].join(numbers[order.index(i)] for i in range(3))
        if times:
            before = next(word for word in words if word.endswith(times[0]))[-len(times[0]) - 1]
            text += before + _time_like(times, moment)
        texts.append(text)
    return texts


def _time_like(times: Sequence[str], moment: datetime) -> str:
    """Return the time of a moment in the notation of others: with seconds and a zone, or without.

    >>> _time_like(["9:00Z", "10:30Z"], datetime(2024, 1, 31, 7, 5))
    '7:05Z'
    """
    hours = f"{moment.hour:0{min(len(time.partition(':')[0]) for time in times)}}"
    clocks = [re.split("[Z+-]", time)[0] for time in times]
    seconds = f":{moment.second:02}" if any(clock.count(":") > 1 for clock in clocks) else ""
    # Moments are of UTC where others have a zone.
    zone = "Z" if clocks != times else ""
    return f"{hours}:{moment.minute:02}{seconds}{zone}"


def existing_dates(words: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return dates in each order of year, month and day in which all of them exist."""
    parts = []
    for word in words:
        found = DATE.fullmatch(word)
        if found is None:
            return {}
        first, _, second, third, time = found.groups()
        parts.append(((first, second, third), time or "00:00"))
    orders = {name: _in_order(parts, order) for name, order in _FIELDS.items()}
    return {name: dates for name, dates in orders.items() if dates is not None}


def _in_order(
    parts: Sequence[tuple[tuple[str, ...], str]], order: tuple[int, ...]
) -> NDArray[Any] | None:
    """Return dates with their fields in an order; None if one of them does not exist."""
    found = []
    for numbers, time in parts:
        year, month, day = (numbers[i] for i in order)
        if len(year) != 4 or max(len(month), len(day)) > 2:
            return None
        try:
            moment = datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{time:0>5}")
        except ValueError:
            return None
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        found.append(moment)
    return np.array(found, "datetime64[us]")
