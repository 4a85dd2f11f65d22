"""Dates in cells of text: found where their order is clear, and written as others are."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from numpy.typing import NDArray

from reparam.times import DATE, ORDERS, dates_in_order


def zone_in(words: Sequence[str]) -> str:
    """Return the zone of dates: their offset from UTC, UTC of several, and "" where one has none.

    Arguments:
        words: The dates, which ``dates_in`` reads.

    Example:
        >>> [zone_in([f"2024-01-31 9:00{zone}"]) for zone in ("Z", "+01:00", "")]
        ['UTC', '+01:00', '']
    """
    matches = [DATE.fullmatch(word) for word in words]
    offsets = {match and match[6] for match in matches}
    if not offsets or None in offsets:
        return ""
    only = offsets.pop() or ""
    return only if not offsets and only[3:4] == ":" else "UTC"


def dates_in(words: Sequence[str]) -> tuple[str, NDArray[Any]] | None:
    """Return the only order of year, month and day in which all dates exist, and the dates.

    None stands for several orders, for words of which one is no date, and for no words.

    Example:
        >>> dates_in(["31.1.2024", "soon"]) is dates_in([]) is dates_in(["1/2/2024"]) is None
        True
        >>> order, dates = dates_in(["31.1.2024", "2.3.2024"])
        >>> order, str(dates[0].astype("datetime64[D]"))
        ('day first', '2024-01-31')
    """
    possible = existing_dates(words) if words else {}
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
        >>> import numpy as np
        >>> dates_like(["31.1.2024", "2.3.2024"], np.array(["2024-02-09"], "datetime64[us]"))
        ['9.2.2024']
        >>> dates_like(["01/31/2024 9:00"], np.array(["2024-02-09T14:30"], "datetime64[us]"))
        ['02/09/2024 14:30']
    """
    found = dates_in(words)
    if found is None:
        return [str(moment) for moment in moments.astype("datetime64[s]")]
    order = ORDERS[found[0]]
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
    found = {order: dates_in_order(words, order) for order in ORDERS}
    return {order: dates for order, dates in found.items() if dates is not None}
