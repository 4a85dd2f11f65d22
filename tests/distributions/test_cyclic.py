"""Dates in cycles: masses that add up to one, weekdays by hand, and a model that is known."""

from dataclasses import replace
from math import log

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

import reparam as rp
from reparam.data.infer import column_of
from reparam.data.tables import Table
from reparam.distributions import (
    Calendar,
    ContaminatedNormal,
    Cyclic,
    Level,
    RoundedMixture,
    RoundedNormal,
    Standardized,
)
from reparam.families import Cycles, Mixed
from reparam.schema import Column, Schema
from tests.support import quick_fit

RNG = np.random.default_rng(0)

DATES = {
    "days": np.datetime64("2012-01-01") + np.arange(1461),
    "workdays": np.array(pd.bdate_range("2014-01-01", periods=800), "datetime64[D]"),
    "weeks": np.datetime64("2010-01-04") + 7 * np.arange(500),
    "months": np.arange("2008-01", "2020-01", dtype="datetime64[M]").astype("datetime64[D]"),
    "month ends": np.arange("2019-02", "2021-02", dtype="datetime64[M]")
    .repeat(3)
    .astype("datetime64[D]")
    - 1,
    "hours": np.datetime64("2018-01-01T00") + np.arange(17_600),
    "minutes": np.datetime64("2020-01-01T00:00") + 15 * np.arange(3000),
    "quarters from seven past": np.datetime64("2020-01-01T00:07") + 15 * np.arange(3000),
    "all minutes": np.datetime64("2020-01-01T00:00") + np.sort(RNG.integers(0, 7_000, 4000)),
}


def column(dates: NDArray[np.datetime64]) -> tuple[Column, Tensor]:
    """Return dates as a column, and their numbers with shape (N, 1)."""
    values = dates.astype("datetime64[us]")
    found = column_of(Table("t", {"d": values}, {"d": "date"}, {"d": 0}), "d", {})
    return found, torch.from_numpy(found.encode(values, "x"))[:, None]


def cyclic(of: Column, x: Tensor) -> tuple[Cyclic, Standardized]:
    """Return a distribution of dates with random logits, and its base, in double precision."""
    torch.manual_seed(0)
    family = Cycles([of]).attach((3,)).double()
    family.start_at_values(x)
    loc, scale, width = x.mean(0), x.std(0), torch.tensor([of.step]).double()
    parts = (torch.randn(1, 3), 0.3 + torch.rand(1, 3), torch.randn(1, 3))
    mixture = RoundedMixture(*(part.double() for part in parts), width / scale)
    rest = ContaminatedNormal(mixture, torch.tensor([-4.0]).double())
    zero = torch.zeros(1).double()
    base = Standardized(rest, loc, scale, width, zero, zero)
    head = family.head
    assert head is not None
    with torch.no_grad():
        raw = 2 * head(torch.randn(3).double()).flatten()
    p = family.over(base, raw)
    assert isinstance(p, Cyclic)
    return p, base


@pytest.mark.parametrize("name", DATES)
def test_masses_add_up_to_one_and_draws_have_them(name: str) -> None:
    of, x = column(DATES[name])
    assert of.cycles
    p, base = cyclic(of, x)
    ends = [float(end) for end in (x.mean() - 9 * x.std(), x.mean() + 9 * x.std())]
    grid = of.step * torch.arange(*(round(end / of.step) for end in ends))[:, None].double()
    mass = p.log_prob(grid).exp()[:, 0]
    # The base loses less than 1e-4 to numbers further away.
    assert float(mass.sum()) == pytest.approx(float(base.log_prob(grid).exp().sum()), abs=1e-4)
    draws = p.sample(torch.Size([20_000]))
    assert ((draws / of.step) - (draws / of.step).round()).abs().max() < 1e-9
    # The entropy by the masses, and by draws.
    exact = -float(torch.special.entr(mass).sum())
    found = p.log_prob(draws)
    error = float(found.std()) / 20_000**0.5
    assert float(found.mean()) == pytest.approx(exact, abs=5 * error + 1e-3)
    (calendar,) = p.calendars
    seen, expected = calendar.places_of(draws[:, 0]), calendar.places_of(grid[:, 0])
    for size, own, other in zip(calendar.sizes, seen.bins, expected.bins, strict=True):
        share = torch.zeros(size).double().index_add(0, other, mass)
        counts = torch.bincount(own, minlength=size) / 20_000
        assert (counts - share).abs().max() < 5 * (share.max() / 20_000) ** 0.5 + 1e-4


def test_weekdays_by_hand() -> None:
    """A Gaussian over weeks, and a share of each day of them."""
    normal = RoundedNormal(torch.zeros(1), torch.ones(1), torch.tensor([0.1]))
    base = Standardized(normal, torch.tensor([3.0]), torch.tensor([10.0]), torch.ones(1))
    shares = torch.tensor([0.3, 0.2, 0.2, 0.1, 0.1, 0.1, 0.0])
    week = Calendar(None, 4.0, 7.0, (Level(7, 1.0, 7),), 1.0)
    p = Cyclic(base, shares.log(), [week], [0])
    of_days = torch.tensor(np.diff(norm.cdf((np.arange(10.5, 18) - 3) / 10)))
    expected = of_days.sum() * (of_days * shares) / (of_days * shares).sum()
    found = p.log_prob(torch.arange(11.0, 18.0)[:, None]).exp()[:, 0]
    torch.testing.assert_close(found, expected.float(), atol=1e-6, rtol=1e-4)
    alike = Cyclic(base, torch.zeros(7), [week], [0])
    x = torch.arange(-20.0, 30.0)[:, None]
    torch.testing.assert_close(alike.log_prob(x), base.log_prob(x), atol=1e-4, rtol=1e-4)
    assert p.log_prob(torch.full((4, 5, 1), 12.0)).shape == (4, 5, 1)
    draws = p.sample(torch.Size([500]))
    assert {*(int(day) for day in (draws - 4) % 7)} <= {0, 1, 2, 3, 4, 5}


def test_parts_of_a_year_are_weighted_within_it() -> None:
    """Half of the days of each year, by hand; dates outside of all years are as in the base."""
    normal = RoundedNormal(torch.zeros(2), torch.ones(2), torch.ones(2) / 5)
    base = Standardized(normal, torch.zeros(2), torch.full((2,), 5.0), torch.ones(2))
    edges = torch.tensor([[-10.0, -5.0, 0.0], [0.0, 5.0, 10.0]])
    p = Cyclic(base, torch.tensor([log(3.0), 0.0]), [Calendar(edges, 0.0, 0.0, (), 1.0)], [1])
    parts = ((-0.5, 4.5), (4.5, 9.5), (1.5, 2.5))
    first, second, cell = (norm.cdf(b / 5) - norm.cdf(a / 5) for a, b in parts)
    expected = (first + second) * 3 * first / (3 * first + second) * cell / first
    x = torch.tensor([[2.0, 2.0], [2.0, 12.0]])
    found = p.log_prob(x)
    assert float(found[0, 1].exp()) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found[1, 1], base.log_prob(x)[1, 1])
    torch.testing.assert_close(found[:, 0], base.log_prob(x)[:, 0])
    torch.testing.assert_close(p.expand(torch.Size([2, 2])).log_prob(x), found)


def test_the_gradient_is_that_of_the_masses() -> None:
    of, x = column(DATES["days"])
    p, _ = cyclic(of, x)
    base, calendars = p.base, p.calendars

    def found(logits: Tensor) -> Tensor:
        return Cyclic(base, logits, calendars, [0]).log_prob(x[::200])

    assert torch.autograd.gradcheck(found, (p.logits.clone().requires_grad_(),))
    edges = torch.tensor([-50.0, -3.0, 0.0, 2.0, 400.0]).double()

    def masses(loc: Tensor, scale: Tensor) -> Tensor:
        mixture = RoundedMixture(loc, scale, torch.zeros(1, 3).double(), torch.ones(1).double())
        rest = ContaminatedNormal(mixture, torch.tensor([-4.0]).double())
        one = torch.ones(1).double()
        return Standardized(rest, one, 90 * one).log_masses(0, edges)

    loc, scale = torch.randn(1, 3).double(), 0.3 + torch.rand(1, 3).double()
    assert torch.autograd.gradcheck(masses, (loc.requires_grad_(), scale.requires_grad_()))


@pytest.mark.parametrize("name", DATES)
def test_several_draws_of_z_have_a_probability_each(name: str) -> None:
    """Features of (draws, rows), in single precision, and rows of which some lack their date."""
    of, x = column(DATES[name])
    torch.manual_seed(0)
    family = Mixed(Schema((replace(of, has_missing=True),))).attach((3,))
    assert family.cycles is not None
    family.cycles.start_at_values(x.float())
    features, rows = torch.randn(4, 5, 3), x[:5].float()
    rows[2] = torch.nan
    found = family(features).log_prob(rows)
    assert found.shape == (4, 5)
    assert bool((found[:, 2] == 0).all())
    for draw in range(4):
        for row in (0, 4):
            alone = family(features[draw, row]).log_prob(rows[row])
            torch.testing.assert_close(found[draw, row], alone, rtol=1e-4, atol=1e-4)


def test_a_table_of_month_ends_is_trained() -> None:
    ends = pd.date_range("2008-01-31", periods=150, freq="ME")
    rows = pd.DataFrame({"end": ends, "pay": RNG.normal(size=150), "due": RNG.normal(size=150)})
    run = quick_fit(rp.variants.vae, rows, epochs=2)
    assert run.spec.schema is not None
    assert run.spec.schema.features[0].cycles[-1] == "month end"
    drawn = run.to_table(run.sample(300)).to_pandas()["end"]
    assert drawn.dt.is_month_end.mean() > 0.9


def test_a_column_may_lack_all_dates_at_the_start() -> None:
    of, x = column(DATES["days"])
    family = Cycles([of]).attach((3,))
    family.start_at_values(torch.full_like(x, torch.nan).float())
    assert family.head is not None
    assert family.head(torch.zeros(3)).isfinite().all()


def test_columns_without_cycles_are_refused() -> None:
    with pytest.raises(rp.errors.OptionError, match="no column has cycles"):
        Cycles([Column("d", "date")])
    with pytest.raises(rp.errors.OptionError, match=r"cycle of column 'd'.*week"):
        Column("d", "date", cycles=("weak",))  # type: ignore[arg-type]
    with pytest.raises(rp.errors.OptionError, match="only dates have some"):
        Column("d", "count", cycles=("week",))


def test_cycles_are_stored_with_the_schema() -> None:
    schema = Schema((column(DATES["hours"])[0],))
    assert schema.features[0].cycles == ("year", "week", "day")
    assert Schema.from_list(schema.to_list()) == schema


@pytest.mark.slow
def test_a_trained_model_knows_the_season_and_the_days_of_work() -> None:
    """Warm in summer, busy in the middle of the week, no rows on Sundays."""
    days = np.datetime64("2019-01-01") + np.arange(4 * 365)
    weekday = (days.astype(int) + 3) % 7
    days, weekday = days[weekday < 6], weekday[weekday < 6]
    angle = 2 * np.pi * (days - days.astype("datetime64[Y]")).astype(int) / 365
    rows = pd.DataFrame({"day": days.astype("datetime64[ns]")})
    rows["warmth"] = (10 - 10 * np.cos(angle) + RNG.normal(0, 2, len(days))).round(2)
    rows["visits"] = RNG.poisson(np.where(weekday == 2, 90, 30))
    run = rp.fit(rp.variants.vae, rows, steps=2000, seed=0, progress=False)
    drawn = run.to_table(run.sample(4000, seed=0)).to_pandas()
    assert (drawn["day"].dt.day_of_week < 6).all()
    by_month = drawn.groupby(drawn["day"].dt.month)["warmth"].mean()
    assert by_month[[6, 7]].mean() - by_month[[12, 1]].mean() > 14  # 19.2 in the rows
    by_weekday = drawn.groupby(drawn["day"].dt.day_of_week)["visits"].mean()
    assert by_weekday[2] > 1.5 * by_weekday[[0, 1, 3, 4, 5]].mean()
    given = run.to_table(run.sample_given({"day": "2021-07-20"}, 300)).to_pandas()
    assert given["warmth"].mean() == pytest.approx(19.6, abs=2)
