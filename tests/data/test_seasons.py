"""Which cycles dates of a table have, and what comes back of times that few rows have."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import reparam as rp
from reparam.data.frames import of_frame
from reparam.data.infer import schema_of
from reparam.schema import Column

RNG = np.random.default_rng(0)
DAYS = pd.Series(pd.date_range("2018-01-01", periods=1200))
WARMTH = 10 - 10 * np.cos(2 * np.pi * DAYS.dt.day_of_year / 365) + RNG.normal(0, 2, 1200)


def column(rows: pd.DataFrame, name: str = "day") -> Column:
    """Return a column of a DataFrame, as it is understood."""
    table = of_frame(rows, "x")
    assert table is not None
    return schema_of(table).column(name)


@pytest.mark.parametrize(
    ("days", "other", "cycles"),
    [
        (DAYS, RNG.normal(size=1200), ()),
        (DAYS, WARMTH, ("year",)),
        (DAYS, np.where(DAYS.dt.day_of_week < 5, "work", "rest"), ("week",)),
        (DAYS[DAYS.dt.day_of_week < 5], RNG.normal(size=1200), ("week",)),
        (DAYS.where(RNG.random(1200) < 0.5), WARMTH, ("year",)),
    ],
)
def test_a_table_varies_with_its_cycles(days: Any, other: Any, cycles: tuple[str, ...]) -> None:
    rows = pd.DataFrame({"day": days, "other": pd.Series(other)}).loc[days.index]
    assert column(rows).cycles == cycles


def test_a_series_that_changes_slowly_has_no_cycle() -> None:
    found = [
        column(
            pd.DataFrame({"day": DAYS, "walk": np.random.default_rng(i).normal(size=1200).cumsum()})
        )
        for i in range(20)
    ]
    assert sum(bool(each.cycles) for each in found) <= 2


def test_the_thirtieth_of_a_month_is_no_end_of_it() -> None:
    months = pd.date_range("2005-01-01", periods=200, freq="MS")
    days = pd.Series(months).map(lambda day: day.replace(day=min(30, day.days_in_month)))
    found = column(pd.DataFrame({"day": days, "pay": RNG.normal(size=200)}))
    assert "month" in found.cycles


def test_cycles_between_two_that_differ_stay() -> None:
    """Hours and seasons differ, and days of the week do not."""
    hours = pd.Series(pd.date_range("2019-01-01", periods=20_000, freq="h"))
    angle = 2 * np.pi * (hours.dt.day_of_year / 365 + 0.25), 2 * np.pi * hours.dt.hour / 24
    warmth = 5 * np.sin(angle[0]) + 3 * np.sin(angle[1]) + RNG.normal(0, 1, 20_000)
    assert column(pd.DataFrame({"day": hours, "warmth": warmth})).cycles == ("year", "week", "day")


def test_a_frequent_time_among_midnights_keeps_its_seconds() -> None:
    days = DAYS.where(RNG.random(1200) > 0.1, pd.Timestamp("2020-03-01 22:20:10.5"))
    found = column(pd.DataFrame({"day": days, "other": WARMTH}))
    assert (found.unit, len(found.atoms)) == ("D", 1)
    values = days.to_numpy("datetime64[us]")
    back = found.decode(torch.from_numpy(found.encode(values, "x")).float().double().numpy())
    assert (back[days == DAYS] == values[days == DAYS]).all()
    assert {*back[days != DAYS]} == {np.datetime64("2020-03-01T22:20:10", "us")}


def test_rounding_errors_of_a_few_cells_are_no_decimals(tmp_path: Any) -> None:
    cells = [f"{number:.1f}" for number in RNG.normal(50, 9, 300)]
    cells[7] = "6.699999999999999"
    (tmp_path / "rows.csv").write_text("\n".join(["size", *cells]))
    data = rp.data.read(tmp_path / "rows.csv")
    assert data.spec.schema is not None
    assert data.spec.schema.column("size").decimals == 1


def test_numbers_of_single_precision_are_written_by_their_shortest_decimals() -> None:
    numbers = np.float64(np.float32([4.9, 0.1, np.nan]))
    found = Column("x", "real").decode(numbers)
    assert found[:2].tolist() == [4.9, 0.1]
    assert np.isnan(found[2])


def test_names_tell_identifiers_from_counts() -> None:
    numbers = RNG.choice(100_000, 300, replace=False)
    rows = pd.DataFrame({"customer_id": numbers, "sales": numbers, "day": DAYS[:300]})
    table = of_frame(rows, "x")
    assert table is not None
    kinds = {c.name: c.kind for c in schema_of(table).columns}
    assert (kinds["customer_id"], kinds["sales"]) == ("ignored", "count")


def test_measurements_are_no_functions_of_their_text() -> None:
    lead = np.repeat(RNG.uniform(0.01, 0.3, 20).round(3), 10)
    rows = pd.DataFrame({"text": [f"<{v}" if v < 0.05 else f"{v}" for v in lead], "lead": lead})
    place = RNG.integers(0, 4, 200)
    rows["city"] = np.array(["Bern", "Rome", "Bonn", "Oslo"])[place]
    rows["north"] = np.array([46.9, 41.9, 50.7, 59.9])[place]
    data = rp.data.read(rows)
    assert data.spec.schema is not None
    kinds = {c.name: c.kind for c in data.spec.schema.columns}
    assert kinds["lead"] == "positive"
    assert kinds["north"] == "dependent"
