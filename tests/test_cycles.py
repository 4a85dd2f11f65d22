"""The cycles of dates, against the calendar of Python."""

from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray

from reparam.cycles import DAY, Cycle, bins_of_years, cycles_of, months_between, without_gaps
from reparam.errors import OptionError
from reparam.schema import Column

RNG = np.random.default_rng(0)
HOUR = 3_600.0


def seconds(first: str, n: int, unit: str, step: int = 1) -> NDArray[np.float64]:
    """Return n times of one step, in seconds from 1970."""
    moments = np.datetime64(first) + (step * np.arange(n)).astype(f"timedelta64[{unit}]")
    return moments.astype("datetime64[s]").astype(np.float64)


MONTHS = np.arange("2010-01", "2022-01", dtype="datetime64[M]").astype("datetime64[D]")


@pytest.mark.parametrize(
    ("dates", "step", "cycles"),
    [
        (seconds("2012-01-01", 1461, "D"), DAY, ("year", "week")),
        (seconds("2012-01-01", 500, "D"), DAY, ("week",)),
        (seconds("2012-01-01", 40, "D"), DAY, ()),
        (seconds("2012-01-02", 300, "D", 7), 7 * DAY, ("year",)),
        (MONTHS.astype("datetime64[s]").astype(float), DAY, ("year", "month")),
        ((MONTHS - 1).astype("datetime64[s]").astype(float), DAY, ("year", "month end")),
        (seconds("2020-01-01T00", 9000, "h"), HOUR, ("week", "day")),
        (seconds("2020-01-01T00", 9000, "h", 6), 6 * HOUR, ("year", "week")),
        (seconds("2020-01-01T00:00", 9000, "m", 20), 1200.0, ("week", "day")),
        (np.sort(RNG.uniform(0, 60 * DAY, 5000)), 0.0, ("week", "day")),
        (np.sort(RNG.choice(seconds("2020-01-01T09:15", 60, "D"), 900)), DAY, ("week",)),
        (np.array([]), 0.0, ()),
    ],
)
def test_a_cycle_needs_rows_several_periods_and_a_grid(
    dates: NDArray[np.float64], step: float, cycles: tuple[Cycle, ...]
) -> None:
    assert cycles_of(dates, step) == cycles


def test_quarters_of_an_hour_are_a_cycle_of_minutes() -> None:
    hours = RNG.integers(0, 1000, 3000) * HOUR
    found = cycles_of(hours + RNG.choice([0, 15, 30, 45], 3000) * 60 + RNG.integers(0, 60, 3000), 1)
    assert found == ("week", "day", "hour")


def test_a_cycle_divides_the_bins_of_the_one_before() -> None:
    """Some tens of rows are enough for quarters of an hour, and not for hours of the day."""
    seconds = RNG.integers(0, 2000, 100) * HOUR + RNG.choice([0, 15, 30, 45], 100) * 60
    assert cycles_of(seconds, 900.0) == ("week",)
    assert without_gaps(["year", "month", "day", "hour"]) == ("year", "month", "day", "hour")
    with pytest.raises(OptionError, match="put those between in"):
        Column("day", "date", cycles=("year", "day"))


def test_years_of_weeks_are_those_of_iso() -> None:
    edges = bins_of_years(0.0, 60 * 365.25 * DAY, by_month=False)
    starts = edges[:, 0].astype("datetime64[s]").astype("datetime64[D]").tolist()
    assert all(day.isocalendar()[1:] == (1, 1) for day in starts)
    assert [day.isocalendar().year for day in starts] == list(range(1969, 1969 + len(starts)))
    assert (edges[1:, 0] == edges[:-1, -1]).all()
    lengths = np.diff(edges, axis=1) / (7 * DAY)
    assert (lengths[:, :-1] == 2).all()
    assert {*lengths[:, -1]} == {2, 3}


def test_months_are_those_of_the_calendar() -> None:
    low = 10_000 * DAY
    months = months_between(low, low + 400 * DAY)
    days = (months[:, 1] - months[:, 0]) / DAY
    firsts = months[:, 0].astype("datetime64[s]").astype("datetime64[D]").tolist()
    following = [date(d.year + d.month // 12, d.month % 12 + 1, 1) for d in firsts]
    assert days.tolist() == [(b - a).days for a, b in zip(firsts, following, strict=True)]
    of_years = bins_of_years(low, low + 400 * DAY, by_month=True)
    assert np.isin(months[:, 0], of_years[:, :-1]).all()
