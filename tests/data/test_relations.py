"""Formulas and orders of columns: found where the rows have them, and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import halfnorm, kstest, norm
from torch.distributions import Normal

import reparam as rp
from reparam.data.formulas import simplest, with_formulas
from reparam.data.infer import schema_of
from reparam.data.mixed import decoded
from reparam.data.orders import with_orders
from reparam.data.relations import with_relations
from reparam.data.remarks import broken_formulas, unused_results
from reparam.distributions import MixedPart, MixedRow, Region
from reparam.errors import DataError, OptionError
from reparam.estimators import VAEImputer, VAEOutlier, VAESampler
from reparam.evaluation.conditionals import Weighted, with_results
from reparam.formulas import Formula
from reparam.report.facts import facts
from reparam.schema import Column, Schema

N = 300


def schema(rows: pd.DataFrame, **kinds: str) -> Schema:
    """Return the schema with formulas and orders of rows."""
    table = rp.data.of_frame(rows)
    assert table is not None
    overrides = {name: {"kind": kind} for name, kind in kinds.items()}
    return with_relations(schema_of(table, overrides), table, overrides)


def formulas(rows: pd.DataFrame, **kinds: str) -> dict[str, str]:
    return {name: str(formula) for name, formula in schema(rows, **kinds).computed.formulas.items()}


def bikes(seed: int = 0) -> pd.DataFrame:
    """Return rides by two kinds of riders, and their total."""
    rng = np.random.default_rng(seed)
    hour = rng.integers(0, 24, N)
    casual, registered = rng.poisson(5 + hour), rng.poisson(40 + 3 * hour)
    rows = {"hour": hour, "casual": casual, "registered": registered}
    return pd.DataFrame({**rows, "count": casual + registered})


def test_a_total_is_the_sum_of_its_parts_wherever_it_stands() -> None:
    rows = bikes()
    assert formulas(rows) == {"count": "casual + registered"}
    assert formulas(rows[["count", "hour", "registered", "casual"]]) == {
        "count": "registered + casual"
    }
    found = schema(rows)
    assert found.names == ("hour", "casual", "registered")
    assert Schema.from_list(found.to_list()) == found


def test_formulas_of_rounded_and_derived_columns_are_found() -> None:
    rng = np.random.default_rng(1)
    height, weight = rng.normal(1.75, 0.1, N).round(2), rng.normal(70, 10, N).round(1)
    price, n = rng.gamma(2, 10, N).round(2), rng.integers(1, 9, N)
    celsius = rng.normal(15, 8, N).round(1)
    sand, clay = rng.uniform(5, 40, (2, N)).round(1)
    rows = pd.DataFrame({"height": height, "weight": weight, "bmi": (weight / height**2).round(1)})
    rows["price"], rows["n"], rows["amount"] = price, n, (price * n).round(2)
    rows["celsius"], rows["fahrenheit"] = celsius, (1.8 * celsius + 32).round(2)
    rows["sand"], rows["clay"], rows["silt"] = sand, clay, (100 - sand - clay).round(1)
    assert formulas(rows) == {
        "bmi": "weight / height^2",
        "amount": "price * n",
        "fahrenheit": "1.8 * celsius + 32",
        "silt": "100 - sand - clay",
    }


def test_single_precision_and_results_of_results_are_found() -> None:
    rng = np.random.default_rng(2)
    price, n, tax = rng.gamma(2, 10, N).round(2), rng.integers(1, 9, N), rng.gamma(2, 1, N).round(2)
    rows = pd.DataFrame({"total": (price * n + tax).round(2), "price": price, "n": n})
    rows["tax"], rows["net"] = tax, (price * n).round(2)
    assert formulas(rows) == {"net": "price * n", "total": "tax + net"}
    teachers, pupils = rng.uniform(5, 500, N).astype("f4"), rng.integers(100, 9000, N)
    ratio = (pupils / teachers).astype("f4")
    single = pd.DataFrame({"pupils": pupils, "teachers": teachers, "ratio": ratio})
    assert formulas(single) == {"pupils": "teachers * ratio"}


def test_no_formula_is_found_by_chance_or_where_a_row_breaks_it() -> None:
    rng = np.random.default_rng(3)
    noise = pd.DataFrame(rng.integers(0, 9, (N, 12))).add_prefix("x")
    assert formulas(noise) == {}
    assert formulas(pd.DataFrame(rng.normal(size=(8, 6))).add_prefix("x")) == {}
    broken = bikes()
    broken.loc[7, "count"] += 1
    assert formulas(broken) == {}
    almost = bikes().astype(float)
    almost["count"] += rng.normal(0, 0.5, N).round(1)
    assert formulas(almost) == {}


def test_a_formula_gives_the_value_of_every_row_as_it_is_written() -> None:
    rng = np.random.default_rng(4)
    whole = rng.integers(0, 1000, N)
    net = rng.gamma(2, 50, N).round(2)
    tax = (0.075 * net).round(2)
    rows = pd.DataFrame({"n": whole, "half": whole // 2, "rest": whole - whole // 2})
    rows["net"], rows["tax"], rows["total"] = net, tax, (net + tax).round(2)
    found = schema(rows)
    assert {"rest": "n - half", "total": "net + tax"}.items() <= formulas(rows).items()
    decoded_rows = found.decode(found.encode({name: rows[name].to_numpy(float) for name in rows}))
    for name in rows:
        np.testing.assert_allclose(decoded_rows[name], rows[name], rtol=1e-6)


def test_large_numbers_are_compared_to_the_last_digit() -> None:
    rng = np.random.default_rng(5)
    start = 1_700_000_000_000 + rng.integers(0, 100_000, N)
    end = start + rng.integers(1, 15, N)
    assert formulas(pd.DataFrame({"start": start, "end": end, "other": rng.normal(size=N)})) == {}
    later = pd.DataFrame({"start": start, "length": end - start, "end": end})
    assert formulas(later) == {"end": "start + length"}


def test_of_dates_and_a_duration_a_date_is_computed() -> None:
    rows = stays()[["start", "end"]]
    rows = rows.assign(days=(rows["end"] - rows["start"]).dt.days)
    assert formulas(rows) == {"end": "start + days"}
    found = schema(rows)
    table = rp.data.of_frame(rows)
    assert table is not None
    decoded_rows = found.decode(found.encode(table.columns))
    np.testing.assert_array_equal(decoded_rows["end"].astype("M8[ns]"), rows["end"])
    row = found.encode_given({"end": "2022-06-01", "days": 3})
    (start,) = found.columns[0].decode(row[:1])
    assert start == np.datetime64("2022-05-29")


def test_only_what_follows_from_a_result_is_filled_in() -> None:
    rng = np.random.default_rng(6)
    score = rng.integers(0, 2000, N)
    found = schema(pd.DataFrame({"score": score, "tenth": (score / 10 + 0.25).round()}))
    assert str(found.computed.formulas["tenth"]) == "0.1 * score + 0.25"
    # Ten scores have this tenth.
    assert np.isnan(found.encode({"score": np.array([np.nan]), "tenth": np.array([7.0])})).all()
    total = schema(bikes())
    table = {"hour": [5.0], "casual": [np.nan], "registered": [50.0]}
    arrays = {name: np.array(values) for name, values in table.items()}
    assert np.isnan(total.encode({**arrays, "count": np.array([9_000.0])})[0, 1])
    with pytest.raises(DataError, match="training data range"):
        total.encode_given({"count": 9_000})


def test_a_given_kind_keeps_a_column_in_the_model() -> None:
    rows = bikes()
    assert "count" in schema(rows, count="count").names
    assert formulas(rows, count="count") == {"registered": "count - casual"}
    assert formulas(rows, count="count", casual="count", registered="count") == {}


def test_rows_keep_a_formula_when_they_are_decoded_and_missing_cells_follow() -> None:
    rows = bikes()
    found = schema(rows)
    table = {name: rows[name].to_numpy(float) for name in rows}
    decoded = found.decode(found.encode(table))
    assert list(decoded) == list(rows)
    for name in rows:
        np.testing.assert_array_equal(decoded[name], rows[name])
    lacking = {**table, "casual": np.where(np.arange(N) < 5, np.nan, table["casual"])}
    np.testing.assert_array_equal(found.encode(lacking), found.encode(table))
    del lacking["count"]
    assert np.isnan(found.encode(lacking)[:5, 1]).all()


def test_rows_that_break_a_formula_or_do_not_use_its_result_are_named() -> None:
    rows = bikes().astype(float)
    found = schema(rows)
    rows.loc[4, "count"] += 1
    rows.loc[7:8, ["casual", "registered"]] = np.nan
    table = rp.data.of_frame(rows)
    assert table is not None
    assert broken_formulas(table, found) == [
        "column 'count' is not casual + registered in 1 row, the first one row 4: the model "
        "ignores its value"
    ]
    assert unused_results(table, found) == [
        "in 2 rows the value of 'count' is known and not casual, registered: they are filled in "
        "without it"
    ]


def test_a_given_total_needs_all_parts_but_one() -> None:
    found = schema(bikes())
    row = found.encode_given({"count": 70, "casual": 20})
    assert row[1:].tolist() == [20.0, 50.0]
    with pytest.raises(DataError, match="casual \\+ registered"):
        found.encode_given({"count": 70})
    row, results = found.encode_conditions({"count": 70, "hour": 3})
    assert results == {"count": 70.0}
    assert np.isnan(row).tolist() == [False, True, True]
    with pytest.raises(DataError, match="which is 60"):
        found.encode_given({"count": 70, "casual": 20, "registered": 40})


def test_a_sum_of_what_is_no_quantity_is_refused() -> None:
    total = schema(bikes()).columns[-1]
    with pytest.raises(OptionError, match="quantities of x"):
        Schema((Column("casual", "count"), total))
    with pytest.raises(OptionError, match="a computed column has one"):
        Column("count", "computed")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-1e-9, 1e-9, 0.0), (0.9, 1.2, 1.0), (0.4999, 0.5001, 0.5), (0.07211, 0.07213, 0.07212)],
)
def test_the_simplest_number_lies_in_the_interval(low: float, high: float, expected: float) -> None:
    assert simplest(low, high) == pytest.approx(expected)
    assert low <= simplest(low, high) <= high
    assert simplest(-high, -low) == -simplest(low, high)


def stays(seed: int = 0) -> pd.DataFrame:
    """Return stays from a start to an end, and lows, middles and highs."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 2000, N), "D")
    end = start + pd.to_timedelta(rng.integers(0, 30, N), "D")
    low = rng.normal(50, 10, N)
    middle = low + rng.exponential(3, N)
    rows = pd.DataFrame({"start": start, "end": end, "low": low, "middle": middle})
    return rows.assign(high=middle + rng.exponential(3, N), other=rng.normal(50, 10, N))


def orders(rows: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return {c.name: c.at_least for c in schema(rows).features if c.at_least}


def test_orders_are_those_of_all_rows_without_what_follows_from_others() -> None:
    assert orders(stays()) == {"end": ("start",), "middle": ("low",), "high": ("middle",)}
    broken = stays()
    broken.loc[200, ["low", "middle"]] = [99.0, 98.0]
    assert "middle" not in orders(broken)
    apart = pd.DataFrame({"year": np.arange(N) % 50 + 1950, "age": np.arange(N) % 47})
    assert orders(apart) == {}
    few = stays().iloc[:8]
    assert orders(few) == {}


def test_an_order_of_numbers_is_stored_and_checked() -> None:
    found = schema(stays())
    assert Schema.from_list(found.to_list()) == found
    with pytest.raises(OptionError, match="both must be quantities"):
        Schema((Column("a", "real", at_least=("b",)), Column("b", "binary", (0, 1))))
    with pytest.raises(OptionError, match="column"):
        Schema((Column("a", "real", at_least=("c",)),))


@pytest.mark.slow
def test_drawn_imputed_and_conditional_rows_keep_formulas_and_orders(tmp_path: Path) -> None:
    rows = pd.concat([bikes(), stays()], axis=1)
    run = rp.fit(rp.variants.vae, rows, out=tmp_path / "run", steps=300, progress=False)
    assert ("computed", "count = casual + registered") in facts(run)
    drawn = decoded(run.sample(1000, seed=1), run.spec.schema).to_pandas()
    assert (drawn["count"] == drawn["casual"] + drawn["registered"]).all()
    assert drawn["count"].between(rows["count"].min(), rows["count"].max()).mean() > 0.99
    assert (drawn["start"] <= drawn["end"]).mean() > 0.99
    assert (drawn["low"] <= drawn["high"]).mean() > 0.99
    given = run.sample_given({"end": "2022-06-01", "count": 90, "casual": 30}, n_samples=200)
    table = decoded(given, run.spec.schema).to_pandas()
    assert (table["registered"] == 60).all()
    assert (pd.to_datetime(table["start"]) <= "2022-06-01").mean() > 0.97
    of_total = decoded(run.sample_given({"count": 90, "hour": 6}, n_samples=200), run.spec.schema)
    table = of_total.to_pandas()
    assert (table["count"] == 90).all()
    assert (table["casual"] + table["registered"] == 90).all()
    assert table["casual"].nunique() > 5


@pytest.mark.slow
def test_estimators_keep_formulas_and_an_outlier_is_a_row_that_breaks_one() -> None:
    rows = bikes()
    options: dict[str, Any] = {"steps": 200, "random_state": 0}
    drawn = VAESampler(**options).fit(rows).sample(200)
    assert (drawn["count"] == drawn["casual"] + drawn["registered"]).all()
    lacking = rows.astype(float)
    holes = np.random.default_rng(0).random((N, 3)) < 0.1
    lacking.iloc[:, 1:] = lacking.iloc[:, 1:].mask(holes)
    filled = VAEImputer(n_importance=5, **options).fit(lacking).transform(lacking)
    one = holes.sum(1) < 2
    np.testing.assert_array_equal(np.asarray(filled)[one], rows.to_numpy(float)[one])
    outlier = VAEOutlier(**options).fit(rows)
    assert outlier.run_.spec.schema is None or "count" in outlier.run_.spec.schema.names


def test_draws_of_a_region_are_those_of_a_truncated_distribution() -> None:
    torch.manual_seed(0)
    loc = torch.zeros(20_000, 2)
    normal = Normal(loc, 1.0)
    inf = torch.full((2,), torch.inf)
    region = Region(-inf, inf, torch.tensor([[1.0, -1.0]]), torch.zeros(1))
    p = MixedRow([MixedPart(torch.tensor([0, 1]), normal)], region=region)
    low, high = p.sample_in_range().T
    assert (low <= high).all()
    # The larger one of two standard normal numbers has the distribution function F².
    assert kstest(high.numpy(), lambda x: norm.cdf(x) ** 2).pvalue > 0.01
    known = torch.tensor([[0.0, torch.nan]])
    above = p.sample_in_range(known)
    assert (above[:, 0] == 0).all()
    assert kstest(above[:, 1].numpy(), halfnorm.cdf).pvalue > 0.01


def test_parts_of_a_given_sum_have_their_conditional_distribution() -> None:
    torch.manual_seed(0)
    n = 20_000
    loc, scale = torch.tensor([1.0, -2.0]), torch.tensor([1.0, 2.0])
    normal = Normal(loc.expand(n, 1, 2), scale)
    p = MixedRow([MixedPart(torch.tensor([0, 1]), normal)])
    draws = Weighted(torch.zeros(n, 1, 1), torch.full((n, 1), -np.log(n)), torch.zeros(1), p)
    total = Formula("sum", (("a", 1.0), ("b", 1.0)))
    parts = [Column(name, "real", low=-20, high=20) for name in ("a", "b")]
    columns = Schema((*parts, Column("total", "computed", formula=total)))
    found = with_results(draws, torch.full((1, 2), torch.nan), columns, {"total": 3.0})
    assert found.x is not None
    rows = found.resampled(found.x, n)[:, 0]
    torch.testing.assert_close(rows.sum(1), torch.full((n,), 3.0), atol=1e-4, rtol=0.0)
    # Of normal numbers with the variances 1 and 4, a given a + b is normal too.
    mean, variance = 1 + (3 - (1 - 2)) * 1 / 5, 1 - 1 / 5
    assert rows[:, 0].mean().item() == pytest.approx(mean, abs=0.05)
    assert rows[:, 0].var().item() == pytest.approx(variance, rel=0.06)


def test_a_result_that_no_row_can_have_is_refused() -> None:
    p = MixedRow([MixedPart(torch.tensor([0, 1]), Normal(torch.zeros(9, 1, 2), 1.0))])
    draws = Weighted(torch.zeros(9, 1, 1), torch.full((9, 1), -np.log(9)), torch.zeros(1), p)
    total = Formula("sum", (("a", 1.0), ("b", 1.0)))
    parts = [Column(name, "real", low=-9, high=9) for name in ("a", "b")]
    columns = Schema((*parts, Column("total", "computed", formula=total)))
    with pytest.raises(DataError, match="none of 9 rows"):
        with_results(draws, torch.full((1, 2), torch.nan), columns, {"total": 99.0})


def test_formulas_and_orders_have_limits_of_their_own() -> None:
    first = np.random.default_rng(0).normal(size=N).round(3)
    table = rp.data.of_frame(pd.DataFrame({f"x{i}": first + i for i in range(120)}))
    assert table is not None
    plain = schema_of(table)
    assert with_orders(plain, table) == plain
    assert len(with_formulas(plain, table).computed.formulas) == 119
