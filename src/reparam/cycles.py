"""The cycles of dates: years, months, weeks, days and hours.

A date has a place in each of its cycles, such as a Tuesday in the week. Dates of business have no
Sundays, and quantities of a season repeat every year, so that a model of a table describes places
beside the date itself: see ``distributions.Cyclic``.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Cycle = Literal["year", "month", "month end", "week", "day", "hour"]
"""The cycles. The days of a ``month end`` count back from the last one."""

DAY, WEEK = 86_400.0, 604_800.0
"""A day and a week in seconds."""

BIN: Mapping[Cycle, float] = {
    "year": 2 * WEEK,
    "month": DAY,
    "month end": DAY,
    "week": DAY,
    "day": 3_600.0,
    "hour": 60.0,
}
"""The bins that a cycle is divided into, in seconds. A year has months where there is a cycle of
these, and else bins of two weeks from Monday on, the last of which may have three."""

N_BINS: Mapping[Cycle, int] = {
    "year": 26,
    "month": 31,
    "month end": 31,
    "week": 7,
    "day": 24,
    "hour": 60,
}
"""The number of bins of a cycle; a year of months has 12."""

DIVIDES: Collection[tuple[Cycle, Cycle]] = {
    ("year", "month"),
    ("year", "month end"),
    ("year", "week"),
    ("month", "day"),
    ("month end", "day"),
    ("week", "day"),
    ("day", "hour"),
}
"""The pairs of cycles of which the second divides a bin of the first."""

MOST_WEEKS = 3
"""The largest number of weeks in one bin of a year."""

ROWS_PER_BIN = 10
"""The least number of training rows for each bin that is used."""

FEWEST_CYCLES = 4
"""The least number of cycles that dates span; of years two are enough."""

FEW_PLACES = 3
"""The largest number of days of the month of dates that are given by the month, as the first."""

FEW_MINUTES = 12
"""The largest number of minutes of the hour that have frequencies of their own."""

ON_GRID = 1e-5
"""The relative error of the number of steps of a bin."""

_YEAR = 365.25 * DAY
_MONDAY = 4 * DAY
"""The first Monday after 1970 begins, in seconds."""


def cycles_of(seconds: NDArray[Any], step: float) -> tuple[Cycle, ...]:
    """Return the cycles of dates, from the longest to the shortest.

    A cycle needs several rows for each of its bins, dates that span several cycles, and dates on a
    grid that its bins are divided by.

    Arguments:
        seconds: The dates, in seconds from 1970 on a clock of their zone, with shape (N,).
        step: The step of the grid that they lie on, in seconds; 0 for none.

    Example:
        >>> days = DAY * np.arange(3 * 365.0)
        >>> cycles_of(days, DAY)
        ('year', 'week')
        >>> cycles_of(days[::30], DAY), cycles_of(np.arange(0, 300 * 3600.0, 60), 60.0)
        ((), ('day',))
    """
    n, span = len(seconds), float(np.ptp(seconds)) if len(seconds) else 0.0

    def has(cycle: Cycle, length: float, n_bins: int, fewest: int = FEWEST_CYCLES) -> bool:
        steps = BIN[cycle] / step if step else 1.0
        is_divided = steps > 0.5 and abs(steps - round(steps)) < ON_GRID * steps
        return is_divided and span >= fewest * length and n >= ROWS_PER_BIN * n_bins

    if not n:
        return ()
    found: list[Cycle] = []
    month = _month_of(seconds)
    by_month = month is not None and has(month, _YEAR / 12, FEW_PLACES)
    if has("year", _YEAR, 12 if by_month else N_BINS["year"], fewest=2):
        found.append("year")
    if by_month and month is not None:
        found.append(month)
    elif has("week", WEEK, N_BINS["week"]):
        found.append("week")
    if np.ptp(seconds % DAY) and has("day", DAY, N_BINS["day"]):
        found.append("day")
    minutes = np.unique(seconds % 3_600 // 60)
    if 1 < len(minutes) <= FEW_MINUTES and has("hour", 3_600.0, len(minutes)):
        found.append("hour")
    return without_gaps(found)


def without_gaps(cycles: Sequence[Cycle]) -> tuple[Cycle, ...]:
    """Return the first cycles, each of which divides the bins of the one before.

    Arguments:
        cycles: Some cycles, from the longest to the shortest.

    Example:
        >>> without_gaps(["year", "day"]), without_gaps(["week", "day"])
        (('year',), ('week', 'day'))
    """
    n = next((i for i, pair in enumerate(pairwise(cycles), 1) if pair not in DIVIDES), len(cycles))
    return tuple(cycles[:n])


def _month_of(seconds: NDArray[Any]) -> Cycle | None:
    """Return the cycle of dates that are on few days of the month, from its start or its end."""
    from_start, from_end = (np.unique(d, return_counts=True)[1] for d in _days_of_month(seconds))
    if min(len(from_start), len(from_end)) > FEW_PLACES:
        return None
    # The 30th is the last day but one or two; of February it is missing.
    return "month" if from_start.max() >= from_end.max() else "month end"


def bins_of_years(low: float, high: float, by_month: bool) -> NDArray[np.float64]:
    """Return the edges of the bins of each year between two times, with shape (Y, B + 1).

    Years of weeks begin on the Monday of the week with the first Thursday, as those of ISO 8601.

    Arguments:
        low: The first time, in seconds from 1970.
        high: The last.
        by_month: Whether the bins are months.

    Example:
        >>> edges = bins_of_years(0.0, 1e6, by_month=False)
        >>> edges.shape, edges[:, 0].astype("datetime64[s]").astype("datetime64[D]").tolist()[0]
        ((3, 27), datetime.date(1968, 12, 30))
    """
    ends = np.array([low, high]).astype("datetime64[s]").astype("datetime64[Y]")
    years = np.arange(ends[0] - 1, ends[1] + 3)
    if by_month:
        months = years[:-1, None].astype("datetime64[M]") + np.arange(13)
        return months.astype("datetime64[s]").astype(np.float64)
    # The week with the fourth of January is the first of its year.
    fourth = (years.astype("datetime64[D]") + 3).astype("datetime64[s]").astype(np.float64)
    starts = _MONDAY + np.floor((fourth - _MONDAY) / WEEK) * WEEK
    edges = starts[:-1, None] + BIN["year"] * np.arange(N_BINS["year"] + 1)
    edges[:, -1] = starts[1:]
    return edges


def months_between(low: float, high: float) -> NDArray[np.float64]:
    """Return the start and the end of each month between two times, with shape (M, 2).

    Arguments:
        low: The first time, in seconds from 1970.
        high: The last.

    Example:
        >>> months_between(0.0, 0.0)[1] / DAY
        array([ 0., 31.])
    """
    ends = np.array([low, high]).astype("datetime64[s]").astype("datetime64[M]")
    months = np.arange(ends[0] - 1, ends[1] + 2)[:, None] + np.arange(2)
    return months.astype("datetime64[s]").astype(np.float64)


def places_in(cycle: Cycle, seconds: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin of each date in a cycle, with shape (N,).

    Those of a year are parts of equal length from January on, which differ from those of weeks by
    some days.

    Arguments:
        cycle: The cycle.
        seconds: The dates, in seconds from 1970 on a clock of their zone, with shape (N,).

    Example:
        >>> friday = DAY * np.array([1.0])
        >>> [int(places_in(cycle, friday)[0]) for cycle in ("year", "month", "week", "day")]
        [0, 1, 4, 0]
    """
    moments = seconds.astype("datetime64[s]")
    if cycle == "year":
        start = moments.astype("datetime64[Y]").astype("datetime64[s]").astype(np.float64)
        return np.minimum((seconds - start) / _YEAR * N_BINS[cycle], N_BINS[cycle] - 1).astype(int)
    if cycle in ("month", "month end"):
        first, last = _days_of_month(seconds)
        return first if cycle == "month" else last - 1
    start_of, length = regular_periods(cycle)
    return ((seconds - start_of) % length // BIN[cycle]).astype(int)


def _days_of_month(seconds: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the days before each date in its month, and those from it to the end."""
    days = seconds.astype("datetime64[s]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    first = (days - months.astype("datetime64[D]")).astype(int)
    last = ((months + 1).astype("datetime64[D]") - days).astype(int)
    return first, last


def regular_periods(cycle: Cycle) -> tuple[float, float]:
    """Return the start of one period of weeks, days or hours, and the length of all, in seconds.

    >>> regular_periods("day")
    (0.0, 86400.0)
    """
    return (_MONDAY if cycle == "week" else 0.0), N_BINS[cycle] * BIN[cycle]
