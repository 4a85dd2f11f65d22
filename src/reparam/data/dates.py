"""Dates in cells of text: found where their order is clear, and written as others are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.schema import missing_in
from reparam.times import MONTHS, ORDERS, WrittenDate, moments_in_order, written_date

N_SHOWN = 1_000
"""The largest number of dates that are looked at for the notation of all."""


@dataclass(frozen=True)
class Dates:
    """Dates of text, whose order of year, month and day is clear.

    Arguments:
        order: The order: see ``ORDERS``.
        moments: The dates, ``datetime64``, of UTC where they have a zone, with shape (N,).
        written: The dates as they are written.
    """

    order: str
    moments: NDArray[Any]
    written: Sequence[WrittenDate]

    @property
    def zone(self) -> str:
        """The zone: the offset of all from UTC, UTC of several, and "" where one has none.

        >>> [dates_in([f"2024-01-31 9:00{zone}"]).zone for zone in ("Z", "+01:00", "")]
        ['UTC', '+01:00', '']
        """
        offsets = {date.part("zone") for date in self.written}
        only = next(iter(offsets))
        if "" in offsets:
            return ""
        return only if len(offsets) == 1 and only[3:4] == ":" else "UTC"

    @property
    def examples(self) -> tuple[str, ...]:
        """A few of the dates, which show how all are written: see ``dates_like``.

        >>> dates_in(["3/2/2024", "4/2/2024", "31/01/2024"]).examples
        ('3/2/2024', '31/01/2024')
        """
        # Of many dates some, all over the column, show the notation.
        some = self.written[:: -(-len(self.written) // N_SHOWN)]
        shown = [_fullest(some), min(some, key=_fewest_digits), min(some, key=_digits_of_hour)]
        shown += filter(None, [next(filter(_has_long_name, some), None)])
        # Those that do not exist in another order tell this one.
        for order in ORDERS:
            if order != self.order:
                lacks = (date for date in self.written if date.moment(order, "") is None)
                shown += filter(None, [next(lacks, None)])
        return tuple(dict.fromkeys(date.match.string for date in shown))

    @property
    def short(self) -> str:
        """The first date whose year has two digits; "" where none has.

        >>> dates_in(["1/31/24"]).short, dates_in(["2024-01-31"]).short
        ('1/31/24', '')
        """
        year = ORDERS[self.order][0]
        return next((d.match.string for d in self.written if len(d.parts[year]) == 2), "")


def dates_in(words: Sequence[str]) -> Dates | None:
    """Return dates of text in the only order of year, month and day in which all of them exist.

    None stands for several orders, for words of which one is no date, and for no words.

    Example:
        >>> dates_in(["31.1.2024", "soon"]) is dates_in([]) is dates_in(["1/2/2024"]) is None
        True
        >>> found = dates_in(["31.1.2024", "2.3.2024"])
        >>> found.order, str(found.moments[0].astype("datetime64[D]"))
        ('day first', '2024-01-31')
    """
    written = []
    for word in words:
        date = written_date(word)
        if date is None:
            return None
        written.append(date)
    possible = {order: moments_in_order(written, order) for order in ORDERS} if written else {}
    found = {order: moments for order, moments in possible.items() if moments is not None}
    # Dates with points have the day first.
    if len(found) == 2 and all("." in word[:3] for word in words):
        return Dates("day first", found["day first"], written)
    return Dates(*next(iter(found.items())), written) if len(found) == 1 else None


def dates_like(words: Sequence[str], moments: NDArray[Any]) -> list[str]:
    """Return dates as text, in the notation of others; in that of ISO 8601 if they have none.

    Arguments:
        words: The other dates, as they stand in a file.
        moments: The dates, ``datetime64``, of UTC where the others have a zone.

    Example:
        >>> import numpy as np
        >>> dates_like(["31.1.2024", "2.3.2024"], np.array(["2024-02-09"], "datetime64[us]"))
        ['9.2.2024']
        >>> dates_like(["01/31/24 9:00 PM"], np.array(["2024-02-09T14:30"], "datetime64[us]"))
        ['02/09/24 2:30 PM']
        >>> dates_like(["Jan 31, 2024", "May 3, 2024"], np.array(["2024-02-09"], "datetime64[us]"))
        ['Feb 9, 2024']
    """
    found = dates_in(words)
    if found is None:
        return [str(moment) for moment in moments.astype("datetime64[s]")]
    dates = found.written
    like, is_full = _fullest(dates), any(map(_has_long_name, dates))
    width, hour = min(map(_fewest_digits, dates)), min(map(_digits_of_hour, dates))
    return [
        _written_like(like, found.order, moment, (width, hour), is_full)
        for moment in moments.astype("datetime64[us]").tolist()
    ]


def dates_as_text(moments: NDArray[Any], written: Sequence[str]) -> NDArray[Any]:
    """Return dates as text in the notation of others, None for NaT, with shape (N,).

    Arguments:
        moments: The dates, ``datetime64``, of UTC where the others have a zone.
        written: A few of the other dates.

    Example:
        >>> import numpy as np
        >>> dates_as_text(np.array(["2024-02-09", "NaT"], "datetime64[us]"), ["31.1.2024"])
        array(['9.2.2024', None], dtype=object)
    """
    found, there = np.full(len(moments), None, object), ~missing_in(moments)
    found[there] = dates_like(written, moments[there])
    return found


def _fullest(dates: Sequence[WrittenDate]) -> WrittenDate:
    """Return the first date that is written most fully: with seconds, with a time."""
    return max(dates, key=lambda date: (date.part("clock").count(":"), date.part("weekday") != ""))


def _fewest_digits(date: WrittenDate) -> int:
    """Return the least number of digits of its year, month and day."""
    digits = (len(re.sub("[A-Za-z.]+$", "", part)) for part in date.parts)
    return min(filter(None, digits))


def _digits_of_hour(date: WrittenDate) -> int:
    """Return the number of digits of its hour; 0 without one."""
    return len(date.part("clock").partition(":")[0])


def _has_long_name(date: WrittenDate) -> bool:
    """Return whether its month is written in full."""
    return any(len(part.rstrip(".")) > 4 and part[0].isalpha() for part in date.parts)


def _written_like(
    date: WrittenDate, order: str, moment: datetime, widths: tuple[int, int], is_full: bool
) -> str:
    """Return a moment in the notation of a date.

    Arguments:
        date: The date.
        order: The order of its year, month and day.
        moment: The moment, of UTC where the date has a zone.
        widths: The least numbers of digits of a month or a day, and of an hour.
        is_full: Whether the names of months are written in full.
    """
    width, of_hour = widths
    year, month, day = (("one", "two", "three")[i] for i in ORDERS[order])
    name = MONTHS[moment.month - 1].title()
    in_words = date.part(month)
    if in_words.isdigit():
        of_month = f"{moment.month:0{width}}"
    else:
        of_month = name if is_full else name[:3]
        of_month = of_month.upper() if in_words.isupper() else of_month
        of_month = of_month.lower() if in_words.islower() else of_month
        of_month += "." if in_words.endswith(".") and of_month.lower() != "may" else ""
    half, clock = date.part("half"), date.part("clock")
    number = (moment.hour + 11) % 12 + 1 if half else moment.hour
    seconds = f":{moment.second:02}" if clock.count(":") > 1 else ""
    new_half = ("p" if moment.hour >= 12 else "a") + half[1:].lower()
    weekday = f"{moment:%A}"
    texts = {
        "weekday": weekday[: len(date.part("weekday"))]
        if len(date.part("weekday")) < 5
        else weekday,
        year: f"{moment.year:04}"[-len(date.part(year)) :],
        month: of_month,
        day: f"{moment.day:0{width}}",
        "clock": f"{number:0{of_hour}}:{moment.minute:02}{seconds}",
        "half": new_half.upper() if half.isupper() else new_half,
        # Moments are of UTC where others have a zone.
        "zone": "Z",
    }
    word = date.match.string
    # From the end, so that the places of other parts stay as they are.
    for part in sorted(filter(date.part, texts), key=date.match.start, reverse=True):
        start, end = date.match.span(part)
        word = word[:start] + texts[part] + word[end:]
    return word
