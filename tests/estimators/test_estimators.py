"""Estimators: scikit-learn's own checks, and known answers."""

import errno
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import reparam as rp
from reparam.errors import OptionError, RunError
from reparam.estimators import (
    VAE,
    VAEClassifier,
    VAECluster,
    VAEImputer,
    VAEOutlier,
    VAESampler,
    base,
)
from reparam.estimators.base import images_of
from reparam.nn import RandomAffine
from tests.support import contents, quick_fit

X, Y = load_iris(return_X_y=True)

ALL = [
    VAE(steps=20),
    VAEOutlier(steps=20),
    VAEImputer(n_samples=20, steps=20),
    VAECluster(2, steps=20),
    VAESampler(prior=None, steps=20),
    VAEClassifier(hidden=(32,), steps=30, lr=0.02),
]

NOT_CHECKED = {
    # It converts arrays of other libraries only where SCIPY_ARRAY_API is set before SciPy's import.
    "check_array_api_input": "SCIPY_ARRAY_API is not set",
}

NO_CLASSIFIER = "the check reads predict_proba as that of a classifier, with a column for each y"
FAIL = {
    "VAECluster": dict.fromkeys(
        ("check_estimator_sparse_array", "check_estimator_sparse_matrix"), NO_CLASSIFIER
    )
}
"""Checks that no clustering with ``predict_proba`` and sparse X can pass."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_scikit_learn_accepts_it(estimator: Any) -> None:
    expected = FAIL.get(type(estimator).__name__, {})
    results = check_estimator(
        estimator, on_skip=None, on_fail="raise", expected_failed_checks=expected
    )
    skipped = {r["check_name"] for r in results if r["status"] != "passed"}
    assert skipped <= {*NOT_CHECKED, *expected}


def frame(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=n), "sex": rng.choice(["F", "M"], n)})
    rows["b"] = rows["a"] * 2 + rng.normal(size=n)
    rows.loc[2, "sex"] = None
    return rows


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_a_dataframe_of_several_kinds_keeps_its_columns(estimator: Any) -> None:
    rows = frame()
    y = np.arange(len(rows)) % 2
    found = clone(estimator).set_params(random_state=0).fit(rows, y)
    assert list(found.feature_names_in_) == ["a", "sex", "b"]
    if isinstance(found, VAEImputer):
        filled = found.transform(rows)
        assert filled["sex"].isin(["F", "M"]).all()
        np.testing.assert_allclose(filled["a"], rows["a"], atol=1e-5)
    if isinstance(found, VAESampler):
        drawn = found.sample(30, given={"sex": "M"})
        assert isinstance(drawn, pd.DataFrame)
        assert drawn["sex"].tolist() == ["M"] * 30
    if isinstance(found, VAEOutlier):
        assert found.explain(rows).shape == (80, 3)


@pytest.mark.slow
def test_the_log_likelihood_is_that_of_the_normal_that_the_rows_came_from() -> None:
    rng = np.random.default_rng(0)
    covariance = np.array([[2.0, 1.2], [1.2, 1.0]])
    x, new = (rng.multivariate_normal([3.0, -50.0], covariance, n) for n in (2000, 500))
    vae = VAE(steps=1500, random_state=0).fit(x)
    true = multivariate_normal([3.0, -50.0], covariance).logpdf(new)
    assert vae.score(new) == pytest.approx(true.mean(), abs=0.06)
    assert np.corrcoef(vae.score_samples(new), true)[0, 1] > 0.98


def test_a_score_does_not_depend_on_other_rows() -> None:
    found = VAEOutlier(steps=20, random_state=0).fit(X)
    whole = found.score_samples(X)
    alone = np.concatenate([found.score_samples(X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, whole[:5], rtol=1e-9)


def test_the_value_that_is_wrong_is_named() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1000, 1))
    x = z + 0.3 * rng.normal(size=(1000, 4))
    x[:10, 2] += 3.0
    options = {"scoring": "log_likelihood", "likelihood": "gaussian"}
    found = VAEOutlier(contamination=0.01, steps=800, random_state=0, **options).fit(x)
    assert (found.explain(x[:10]).argmax(1) == 2).all()
    assert len(set(np.argsort(found.score_samples(x))[:10]) & set(range(10))) >= 8


def test_a_dataframe_of_numbers_with_missing_values_is_filled() -> None:
    rows = pd.DataFrame(X, index=range(10, 160))
    rows[4] = 3.0
    rows.iloc[::5, 1] = np.nan
    rows.iloc[::7, 4] = np.nan
    found = VAEImputer(n_samples=20, steps=20, random_state=0).fit_transform(rows)
    assert found.notna().all().all()
    assert found.index.equals(rows.index)
    assert (found[4] == 3.0).all()


def test_missing_values_may_be_values_and_are_not_what_is_asked() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=300) + 50, "sex": rng.choice(["F", "M"], 300)})
    rows.loc[rng.random(300) < 0.5, "a"] = np.nan
    table = rp.data.of_frame(rows)
    assert table is not None
    data = rp.data.from_table(table, missing_as_value=True)
    run = rp.fit(rp.variants.vae, data, steps=300, lr=0.005, early_stopping=0)
    drawn = run.sample_given({"sex": "F"}, 400)
    assert 0.35 < drawn[:, 0].isnan().float().mean() < 0.65
    filled = run.impute(rows, n_draws=2)
    assert not filled.draws.isnan().any()
    assert (filled.low[:, 0] > 40).all()


def test_a_loaded_sampler_returns_the_same_library(tmp_path: Path) -> None:
    rows = pl.DataFrame({"a": np.arange(60) % 7, "b": ["x", "y", "z"] * 20})
    found = VAESampler(prior=None, steps=10, random_state=0).fit(rows)
    found.save(tmp_path / "it")
    again = VAESampler.load(tmp_path / "it")
    assert isinstance(again.sample(3), pl.DataFrame)
    assert again.sample(3).equals(found.sample(3))


def test_every_score_finds_a_far_row() -> None:
    x = np.random.default_rng(0).normal(size=(300, 3))
    x[7] = 9.0
    for name in ("log_likelihood", "elbo", "reconstruction"):
        found = VAEOutlier(scoring=name, steps=100, random_state=0).fit(x)
        assert found.score_samples(x).argmin() == 7
    with pytest.raises(OptionError, match="did you mean 'elbo'"):
        VAEOutlier(scoring="elb").fit(x)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"contamination=0\.7"):
        VAEOutlier(contamination=0.7).fit(x)


def test_the_combined_score_is_that_of_the_most_unusual_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(300, 5))
    found = VAEOutlier(steps=100, random_state=0).fit(x)
    names = ("log_likelihood", "latent", "reconstruction")
    parts = found._scores(names, x)  # type: ignore[arg-type]
    quartiles = [np.percentile(part, [25, 50, 75]) for part in parts]
    usual = [(t - q[1]) / (q[2] - q[0]) for t, q in zip(parts, quartiles, strict=True)]
    unit = quartiles[0][2] - quartiles[0][0]
    scores = (found.score_samples(x) - quartiles[0][1]) / unit
    # A soft minimum of three is at most log 3 below the minimum.
    least = np.min(usual, 0)
    assert (scores <= least + 1e-9).all()
    assert (scores >= least - np.log(3) - 1e-9).all()
    np.testing.assert_allclose(np.exp(-scores), np.exp(-np.array(usual)).sum(0))
    found.save(tmp_path / "it")
    again = VAEOutlier.load(tmp_path / "it")
    np.testing.assert_allclose(again.score_samples(x), found.score_samples(x))
    plain = VAEOutlier(scoring="elbo", steps=20, random_state=0).fit(x)
    np.testing.assert_allclose(plain.score_samples(x), plain._scores(["elbo"], x)[0])


@pytest.mark.slow
def test_missing_values_of_a_line_are_found() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 1)) * np.array([[1.0, -2.0, 0.5]]) + 0.1 * rng.normal(size=(800, 3))
    lacking = x.copy()
    lacking[rng.random(x.shape) < 0.2] = np.nan
    lacking[np.isnan(lacking).all(1), 0] = 0.0
    imputer = VAEImputer(steps=500, n_samples=200, random_state=0).fit(lacking)
    missing = np.isnan(lacking) & (np.isnan(lacking).sum(1, keepdims=True) == 1)
    error = (imputer.transform(lacking) - x)[missing]
    assert np.abs(error).mean() < 0.4 * np.abs(x[missing]).mean()
    found = imputer.impute(lacking, n_draws=3)
    inside = (found.low.numpy() <= x) & (x <= found.high.numpy())
    assert 0.8 < inside[missing].mean() < 0.98
    assert found.draws.shape == (3, 800, 3)


@pytest.mark.slow
def test_few_labels_are_enough_for_separated_classes() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = rng.normal(size=(400, 3)) + 4.0 * y[:, None]
    names = np.array(["low", "high"], object)[y]
    few = np.where(np.arange(400) < 20, names, None)
    found = VAEClassifier(steps=500, random_state=0).fit(x, few)
    assert (found.predict(x) == names).mean() > 0.97
    assert list(found.classes_) == ["high", "low"]
    np.testing.assert_allclose(found.predict_proba(x).sum(1), 1.0)


@pytest.mark.slow
def test_clusters_of_separated_blobs_are_found() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = rng.normal(size=(300, 2)) + 12.0 * np.array([[0, 0], [1, 0], [0, 1]])[y]
    found = VAECluster(3, steps=800, random_state=0).fit_predict(x)
    assert all(len(set(found[y == k])) == 1 for k in range(3))


def test_the_combined_score_tells_rows_where_most_are_equal() -> None:
    x = np.zeros((400, 3))
    x[:70] = np.random.default_rng(0).normal(size=(70, 3))
    x[0] = 50.0
    scores = VAEOutlier(steps=50, random_state=0).fit(x).score_samples(x)
    assert scores.argmin() == 0
    assert len(np.unique(scores)) > 20


def test_frequent_values_are_filled_in_to_the_last_digit() -> None:
    """A third of the numbers is 1/3, which single precision rounds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2)).round(1) / 3
    x[rng.random((600, 2)) < 0.4] = 1 / 3
    lacking = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    lacking[np.isnan(lacking).all(1), 0] = 0.0
    imputer = VAEImputer(n_samples=100, steps=50, random_state=0).fit(lacking)
    found = imputer.impute(lacking, n_draws=3)
    near = np.abs(found.draws.numpy() - 1 / 3) < 1e-6
    assert near.any()
    assert (found.draws.numpy()[near] == 1 / 3).all()
    inside = (found.low.numpy() <= x) & (x <= found.high.numpy())
    assert inside[np.isnan(lacking)].mean() > 0.8
    frame = pd.DataFrame(lacking, columns=["a", "b"])
    drawn = VAEImputer(steps=50, random_state=0).fit(frame).complete(frame, 2)[0].to_numpy()
    assert (drawn[np.abs(drawn - 1 / 3) < 1e-6] == 1 / 3).all()


@pytest.mark.parametrize("value", [2, -1, 1000])
def test_a_value_outside_the_support_is_an_outlier(value: float) -> None:
    rng = np.random.default_rng(0)
    z = rng.random(300) < 0.5
    x = np.stack([z ^ (rng.random(300) < 0.1) for _ in range(4)], 1).astype(float)
    model = VAEOutlier(steps=50, random_state=0).fit(x)
    row = x[:1].copy()
    row[0, 1] = value
    assert model.score_samples(row)[0] == -np.inf
    assert model.predict(row)[0] == -1
    found = model.explain(row)[0]
    assert found[1] == np.inf
    assert np.isfinite(np.delete(found, 1)).all()


def test_a_value_that_no_training_row_has_counts_by_the_rule_of_succession(tmp_path: Path) -> None:
    """Of N rows without it, the next one has it with a probability of about 1 / (N + 1)."""
    n = 80
    rows = frame(n).assign(site="x", flag=1)
    model = VAEOutlier(scoring="log_likelihood", steps=20, random_state=0).fit(rows)
    changed = rows.head(4).copy()
    changed.loc[1, "site"], changed.loc[2, "flag"], changed.loc[3, "sex"] = "y", 0, "other"
    model.save(tmp_path / "model")
    for each in (model, VAEOutlier.load(tmp_path / "model")):
        with pytest.warns(UserWarning, match=r"X has classes that no row had .* columns sex \(1\)"):
            found = each.score_samples(changed)
        of_one = -np.log(n + 1)
        known = rows.head(4).copy()
        known.loc[3, "sex"] = None
        less = np.array([0, of_one, of_one, of_one])
        np.testing.assert_allclose(found, each.score_samples(known) + less, rtol=1e-6)
    with pytest.warns(UserWarning, match="count as missing values"):
        surprise = model.explain(changed)
    for row, name in enumerate(("site", "flag", "sex"), 1):
        assert surprise[row, rows.columns.get_loc(name)] == pytest.approx(-of_one)
    assert np.isnan(surprise[0, rows.columns.get_loc("site")])


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_rows_of_another_fold_may_have_other_classes(estimator: Any) -> None:
    rows = frame().fillna({"sex": "F"})
    found = clone(estimator).set_params(random_state=0).fit(rows, np.arange(len(rows)) % 2)
    other = rows.head(3).assign(sex=["F", "other", "M"])
    names = [m for m in ("transform", "predict", "score_samples") if hasattr(found, m)]
    assert names
    for name in names:
        with pytest.warns(UserWarning, match="count as missing values"):
            values = getattr(found, name)(other)
        if isinstance(found, VAEImputer):  # what is known stays, and nothing was missing
            pd.testing.assert_frame_equal(values, other)
        else:
            assert len(values) == 3


def test_a_misplaced_decimal_point_is_what_explains_its_row() -> None:
    """The other values of a row, classes among them, are those of a training row."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 240)
    rows = pd.DataFrame({"kind": np.array(["a", "b", "c"])[kind], "site": kind == 1})
    rows["length"] = (40 + 5 * kind + rng.normal(0, 2, 240)).round(1)
    rows["mass"] = (100 * rows["length"] + rng.normal(0, 200, 240)).round()
    model = VAEOutlier(random_state=0).fit(rows)
    usual = np.median(model.explain(rows), 0)
    for name in ("length", "mass"):
        for factor in (0.1, 10):
            found = model.explain(rows.assign(**{name: factor * rows[name]})) - usual
            assert (found.argmax(1) == rows.columns.get_loc(name)).all()


@pytest.mark.parametrize("distance", [1e6, 1e30])
def test_a_value_beyond_all_reason_is_what_explains_its_row(distance: float) -> None:
    """The other values of the row are those of a training row."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2))
    x = z @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(300, 5))
    model = VAEOutlier(steps=100, random_state=0).fit(x)
    rows = x[:5].copy()
    rows[range(5), range(5)] += distance * x.std(0)
    found = model.explain(rows)
    assert found.argmax(1).tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(np.delete(found.ravel(), range(0, 25, 6))).all()
    assert (model.score_samples(rows) < model.score_samples(x).min()).all()


def test_a_value_that_is_missing_explains_nothing() -> None:
    rows = frame(60)
    found = VAEOutlier(steps=10, random_state=0).fit(rows).explain(rows)
    assert np.isnan(found[2, 1])
    assert np.isfinite(found[3]).all()


def test_classes_that_new_rows_do_not_have_are_filled_in() -> None:
    known = pd.Categorical(["a"] * 25 + ["b"] * 25 + [None] * 10)
    rows = pd.DataFrame({"c": known, "x": [0.0] * 25 + [9.0] * 25 + [9.0] * 10})
    imputer = VAEImputer(steps=300, random_state=0).fit(rows)
    new = pd.DataFrame({"c": pd.Categorical([None, "a"], ["a"]), "x": [9.0, 0.0]})
    assert imputer.transform(new)["c"].tolist() == ["b", "a"]
    several = imputer.complete(new, n_draws=3)
    assert [table["c"].tolist() for table in several] == [["b", "a"]] * 3


def test_an_imputer_returns_numbers_in_the_types_of_the_frame() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"n": pd.array([None, *rng.integers(0, 90, 79).tolist()], "Int16")})
    rows["x"] = rng.normal(size=80).astype(np.float32).round(1)
    rows.loc[::9, "x"] = np.nan
    filled = VAEImputer(steps=20, random_state=0).fit_transform(rows)
    pd.testing.assert_series_equal(filled.dtypes, rows.dtypes)
    assert filled.notna().all().all()
    np.testing.assert_array_equal(filled["x"], filled["x"].round(1))
    pd.testing.assert_frame_equal(filled[1:9], rows[1:9])


def test_rows_of_numbers_alone_come_back_as_the_frame_they_were() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"n": rng.integers(0, 9, 80).astype(np.int16)})
    rows["x"] = (rows["n"] + rng.normal(size=80)).round(2)
    sampler = VAESampler(prior=None, steps=20, random_state=0).fit(rows)
    drawn = sampler.sample(20, given={"n": 3})
    pd.testing.assert_series_equal(drawn.dtypes, rows.dtypes)
    assert set(drawn["n"]) == {3}
    assert drawn["x"].between(rows["x"].min(), rows["x"].max()).all()
    np.testing.assert_array_equal(drawn["x"], drawn["x"].round(2))
    with pytest.raises(ValueError, match="steps=0: must be at least 1"):
        VAESampler(steps=0).fit(rows)


def test_types_of_columns_survive_a_file(tmp_path: Path) -> None:
    kinds = pd.Categorical(["S", "M", "L"] * 20, ["S", "M", "L", "XL"], ordered=True)
    times = pd.date_range("2024-03-30", periods=60, freq="D", tz="Europe/Berlin")
    rows = pd.DataFrame(
        {"size": kinds, "time": times, "n": pd.array([*range(5), None] * 10, "Int64")}
    )
    imputer = VAEImputer(steps=5, random_state=0).fit(rows)
    imputer.save(tmp_path / "imputer")
    filled = VAEImputer.load(tmp_path / "imputer").transform(rows)
    pd.testing.assert_frame_equal(filled[:5], rows[:5])
    assert filled["n"].dtype == "Int64"
    assert filled["n"].between(0, 4).all()


def test_it_lives_in_a_pipeline_and_in_a_search() -> None:
    pipeline = make_pipeline(StandardScaler(), VAE(latent_dim=2, steps=20, random_state=0))
    assert pipeline.fit_transform(X).shape == (150, 2)
    assert list(pipeline.get_feature_names_out()) == ["vae0", "vae1"]
    search = GridSearchCV(VAE(steps=20, random_state=0), {"latent_dim": [1, 2]}, cv=2).fit(X)
    assert search.best_params_["latent_dim"] in (1, 2)
    names = VAE(latent_dim=2, steps=5).set_output(transform="pandas").fit_transform(X)
    assert isinstance(names, pd.DataFrame)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_it_is_saved_and_loaded_without_pickle(estimator: Any, tmp_path: Path) -> None:
    found = clone(estimator).set_params(random_state=0).fit(X, Y)
    found.save(tmp_path / "it")
    assert not list((tmp_path / "it").rglob("*.pkl"))
    again = type(found).load(tmp_path / "it")
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301
    method = next(m for m in ("score_samples", "predict_proba", "transform") if hasattr(found, m))
    for other in (again, copy):
        np.testing.assert_allclose(getattr(other, method)(X), getattr(found, method)(X), rtol=1e-6)
    with pytest.raises(RunError, match="holds no estimator"):
        type(found).load(tmp_path)


NAMES = np.array(["setosa", "versicolor", "virginica"])
DAYS = np.array(["2024-01-01", "2024-01-02", "1969-12-31"], "datetime64[D]")
MOMENTS = DAYS.astype("datetime64[us]") + np.timedelta64(1, "us")
GAP = [None, *Y[1:].tolist()]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (pd.Series(MOMENTS[Y]), np.sort(MOMENTS)),
        (pd.Series([pd.NaT, *MOMENTS[Y[1:]]]), np.sort(MOMENTS)),
        (pl.Series(MOMENTS[Y]), np.sort(MOMENTS)),
        (pl.Series([None, *MOMENTS[Y[1:]].tolist()]), np.sort(MOMENTS)),
        (pl.Series(DAYS[Y]), np.sort(DAYS)),
        (DAYS[Y].tolist(), np.sort(DAYS)),  # dates of Python
        (pd.Series(pd.to_timedelta(Y, unit="D")), np.arange(3) * np.timedelta64(86_400, "s")),
        (pd.Series(Y > 0), np.array([False, True])),
        (pd.Series([None, *(Y[1:] > 0)], dtype="boolean"), np.array([False, True])),
        (pl.Series([None, *(Y[1:] > 0).tolist()]), np.array([False, True])),
        (Y.astype(np.uint8), np.arange(3, dtype=np.uint8)),
        (pd.Series(GAP, dtype="Int64"), np.arange(3)),
        (pl.Series(GAP), np.arange(3)),
        (2.0 * Y, 2.0 * np.arange(3)),
        (NAMES[Y], NAMES),
        (NAMES.astype(object)[Y], NAMES.astype(object)),
        (pd.Series(NAMES[Y], dtype="string"), NAMES.astype(object)),
        (pl.Series(NAMES[Y]), NAMES),
    ],
)
def test_labels_come_back_with_their_types(y: Any, classes: Any, tmp_path: Path) -> None:
    fitted = VAEClassifier(steps=2, hidden=(4,), latent_dim=2, random_state=0)
    found = fitted.fit(X, y)
    found.save(tmp_path / "it")
    again = VAEClassifier.load(tmp_path / "it")
    for each in (found, again):
        np.testing.assert_array_equal(each.classes_, classes)
        assert each.classes_.dtype.kind == classes.dtype.kind
        assert each.classes_.dtype == found.classes_.dtype
        assert type(each.classes_[0]) is type(found.classes_[0])
    assert again.predict(X).dtype == found.predict(X).dtype
    np.testing.assert_array_equal(again.predict(X), found.predict(X))


def test_an_earlier_estimator_is_replaced_only_where_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (VAE(latent_dim=2, steps=5, random_state=seed).fit(X) for seed in (0, 1))
    place = tmp_path / "it"
    first.save(place)
    (place / "notes.txt").write_text("mine")
    before = contents(place)
    with pytest.raises(RunError, match=r"holds another estimator.*replace it by overwrite=True"):
        second.save(place)
    with monkeypatch.context() as patch:

        def full(*values: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(base, "write_json", full)
        with pytest.raises(RunError, match="no space left"):
            second.save(place, overwrite=True)
    assert contents(place) == before
    second.save(place, overwrite=True)
    np.testing.assert_allclose(VAE.load(place).transform(X), second.transform(X), rtol=1e-6)
    assert contents(place).keys() == before.keys()
    # Other folders are not replaced, whatever one says.
    (place / "estimator.json").unlink()
    with pytest.raises(RunError, match="holds another run"):
        second.save(place, overwrite=True)


class TestImages:
    """Rows that are images, with the channels last."""

    def colored(self) -> np.ndarray:
        """Return four rows of 2 x 3 pixels in three colors, all values different."""
        return np.arange(4 * 18, dtype=np.uint8).reshape(4, 18)

    def test_come_back_as_they_were_given(self) -> None:
        x = self.colored()
        vae = VAE(latent_dim=2, image_shape=(2, 3, 3), steps=2, random_state=0).fit(x)
        assert vae.run_.spec.shape == (3, 2, 3)
        pictures = images_of(torch.from_numpy(x), (2, 3, 3))
        assert np.array_equal(pictures.movedim(1, -1), x.reshape(4, 2, 3, 3))
        assert np.array_equal(vae._as_given(pictures / 255), x)
        assert vae.sample(5).shape == vae.inverse_transform(np.zeros((5, 2))).shape == (5, 18)

    def test_have_the_codes_of_a_run_on_images(self) -> None:
        x = load_digits().images.astype(np.uint8)
        options = {"steps": 20, "latent_dim": 2}
        vae = VAE("conv-vae", image_shape=(8, 8), random_state=0, **options)
        codes = vae.fit_transform(x.reshape(-1, 64))
        images = torch.from_numpy(x)[:, None]
        run = quick_fit(rp.variants.conv_vae, images, epochs=None, **options)
        np.testing.assert_allclose(codes, run.encode(images), atol=1e-5)

    def test_are_kept_with_the_estimator(self, tmp_path: Path) -> None:
        x = load_digits().data
        found = VAECluster(3, image_shape=(8, 8), steps=5, random_state=0).fit(x)
        found.save(tmp_path / "clusters")
        again = VAECluster.load(tmp_path / "clusters")
        assert again.image_shape == (8, 8)
        assert np.array_equal(again.predict(x[:9]), found.predict(x[:9]))

    def test_of_another_size_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"a row of X has 64 values"):
            VAE(image_shape=(8, 9)).fit(load_digits().data)
        with pytest.raises(ValueError, match=r"image_shape=8: give \(height, width\)"):
            VAE(image_shape=8).fit(load_digits().data)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="give whole images"):
            VAE(image_shape=(2, 9)).fit(np.full((4, 18), np.nan))
        with pytest.raises(ValueError, match="a table of several kinds"):
            VAE(image_shape=(1, 3)).fit(frame())

    def test_are_deformed_for_the_classifier(self) -> None:
        x, y = load_digits(return_X_y=True)
        found = VAEClassifier(image_shape=(8, 8), hidden=(16,), steps=5).fit(x, y)
        assert any(isinstance(m, RandomAffine) for m in found.run_.model.modules())

    @pytest.mark.parametrize("levels", [2, 17, 256])
    def test_of_bytes_come_back_as_bytes(self, levels: int) -> None:
        """In the scale of X, whose type in later calls does not matter."""
        x = np.random.default_rng(0).integers(0, levels, (80, 12)).astype(np.uint8)
        vae = VAE(latent_dim=2, image_shape=(3, 4), steps=5, random_state=0).fit(x)
        drawn = vae.sample(50)
        assert set(np.unique(drawn)) <= set(range(256))
        assert drawn.max() > 0.8 * (levels - 1)
        score = vae.score(x)
        assert np.isfinite(score)
        assert vae.score(x.astype(int)) == vae.score(x.astype(float)) == score
        if levels > 2:
            with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
                vae.transform(x / 255)

    @pytest.mark.parametrize("channels", [2, 4])
    def test_may_have_any_number_of_channels(self, channels: int) -> None:
        x = np.random.default_rng(0).integers(0, 256, (60, 12 * channels)).astype(np.uint8)
        vae = VAE(latent_dim=2, image_shape=(3, 4, channels), steps=5, random_state=0)
        pictures = torch.from_numpy(x).reshape(60, 3, 4, channels).movedim(-1, 1)
        expected = vae.fit(x).run_.encode(pictures.contiguous())
        np.testing.assert_allclose(vae.transform(x), expected, atol=1e-5)

    def test_of_whole_numbers_are_bytes(self) -> None:
        x = load_digits().data.astype(int) * 15
        options = {"latent_dim": 2, "image_shape": (8, 8), "steps": 5, "random_state": 0}
        codes = VAE(**options).fit_transform(x)
        assert np.array_equal(codes, VAE(**options).fit_transform(x.astype(np.uint8)))


def test_dates_of_text_are_dates_and_what_is_left_out_is_told() -> None:
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 90), "D")
    rows = pd.DataFrame({"joined": days.strftime("%Y-%m-%d"), "v": rng.normal(size=90)})
    rows.loc[::9, "joined"] = None
    filled = VAEImputer(n_samples=5, steps=5, random_state=0).fit_transform(rows)
    assert filled["joined"].notna().all()
    assert str(filled["joined"].iloc[1])[:10] == rows["joined"].iloc[1]
    rows["name"] = [f"P{i}" for i in range(90)]
    with pytest.warns(UserWarning, match=r"left out: name \(text with 90 different values"):
        VAESampler(prior=None, steps=5, random_state=0).fit(rows)


def test_later_counts_may_be_larger_than_a_byte() -> None:
    x = np.random.default_rng(0).poisson(4.0, (60, 6))
    vae = VAE(latent_dim=2, support="counts", steps=5, random_state=0).fit(x.astype(np.uint8))
    assert np.isfinite(vae.score_samples(x * 100)).all()
    assert vae.score(x) == vae.score(x.astype(np.uint8))
