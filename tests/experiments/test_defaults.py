"""The suite of defaults: scores with known answers, and its rows."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import reparam as rp
from experiments.defaults import choices, ours
from experiments.defaults.cells import cell_log_prob, dequantized, in_units, widths
from experiments.defaults.classical import CLASSICAL, fitted
from experiments.defaults.measure import Task, measure
from experiments.defaults.report import differences, page
from experiments.defaults.rows import add_row, read_rows
from experiments.defaults.sets import MOST_TEST, Table, table
from experiments.ledger.provenance import provenance
from reparam.errors import DataError


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rounded_gaussian(x: np.ndarray) -> np.ndarray:
    """The exact log-probability of cells of 0.5 under N(1, 2²)."""
    known = stats.norm(1.0, 2.0)
    return np.log(known.cdf(x + 0.25) - known.cdf(x - 0.25))[:, 0]


def test_the_score_of_a_rounded_gaussian_is_the_probability_of_its_cells() -> None:
    known = stats.norm(1.0, 2.0)
    x = (2 * random().normal(1.0, 2.0, (200, 1))).round() / 2
    w = widths(x)
    assert w == pytest.approx([0.5])
    scores = cell_log_prob(lambda rows: known.logpdf(rows)[:, 0], x, w, n_draws=4000)
    np.testing.assert_allclose(scores, rounded_gaussian(x), atol=0.02)
    assert (scores < 0).all()


def test_a_model_of_narrow_spikes_gains_nothing_from_repeated_values() -> None:
    # Its density at the values exceeds that of the truth without limit; the cells hold the same.
    x = random().integers(0, 4, (500, 1)).astype(float)

    def spikes(rows: np.ndarray) -> np.ndarray:
        near = abs(rows[:, 0] - rows[:, 0].round())
        with np.errstate(divide="ignore"):
            return np.log(np.where(near < 0.05, 0.25 / 0.1, 0.0))

    assert spikes(x).mean() == pytest.approx(np.log(2.5))
    scores = cell_log_prob(spikes, x, widths(x), n_draws=4000)
    assert scores.mean() == pytest.approx(np.log(0.25), abs=0.02)


def test_the_density_follows_the_units() -> None:
    x = random().normal(1.0, 2.0, (50, 2))
    log_density = in_units(
        lambda z: stats.norm.logpdf(z).sum(1), np.ones(2), np.array([2.0, 0.002])
    )
    shifted = (x - 1) * [1, 1e-3] + 1
    expected = stats.norm(1, [2.0, 0.002]).logpdf(shifted).sum(1)
    np.testing.assert_allclose(cell_log_prob(log_density, shifted, np.zeros(2)), expected)


@pytest.mark.parametrize("name", CLASSICAL)
def test_every_classical_model_is_nearly_a_gaussian_in_any_units(name: str) -> None:
    # Columns: rounded, and continuous in other units.
    truth = random().normal(size=(3000, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    x = truth * [2.0, 1000.0]
    x[:, 0] = (2 * x[:, 0]).round() / 2
    w = widths(x[:2000])
    assert w == pytest.approx([0.5, 0.0])
    scores = cell_log_prob(fitted(name, x[:2000], w, 0)[0], x[2000:], w)
    covariance = np.cov(truth.T) * np.outer([2.0, 1000.0], [2.0, 1000.0])
    # The mean of the log density, since the cells are narrow.
    known = stats.multivariate_normal(truth.mean(0) * [2.0, 1000.0], covariance)
    expected = known.logpdf(truth[2000:] * [2.0, 1000.0]).mean() + np.log(0.5)
    assert scores.mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("column", "width"),
    [
        (random().normal(size=300), 0.0),
        (random().normal(size=300).astype(np.float32), 0.0),
        (random().normal(size=300).round(1), 0.1),
        ((random().normal(size=300).round(1) - 0.05) / 0.7, 0.1 / 0.7),
        (random().integers(0, 2, 300), 1.0),
        (3 * random().integers(0, 50, 300) + 100_000.0, 3.0),
        (random().normal(size=300).round(6), 0.0),  # fine, and no value repeats
        (np.append(np.zeros(60), random().normal(size=240).cumsum() + 100), None),
    ],
)
def test_the_resolution_of_a_column(column: np.ndarray, width: float | None) -> None:
    distinct = np.unique(np.float32(column))
    # A spike beside continuous values: a fifth repeats, on no grid.
    expected = np.diff(distinct).min() if width is None else width
    assert widths(column[:, None].astype(float))[0] == pytest.approx(expected, rel=1e-4)


def test_noise_stays_in_the_cell() -> None:
    x, w = np.zeros((1000, 2)), np.array([0.0, 0.5])
    noisy = dequantized(x, w, random())
    assert (noisy[:, 0] == 0).all()
    assert stats.kstest(noisy[:, 1], stats.uniform(-0.25, 0.5).cdf).pvalue > 0.01


def test_rows_are_kept_and_the_last_counts(tmp_path: Path) -> None:
    task = Task("iris", 0, "gaussian", tmp_path, tmp_path)
    (row,) = measure(task)
    assert row["score"] == pytest.approx(-11.9, abs=0.3)
    assert (row["rows"], row["test_rows"], row["rounded"]) == (105, 45, 4)
    for contender, score in (("gaussian", row["score"]), ("ours", None), ("ours", -9.0)):
        add_row(
            row | {"contender": contender, "score": score} | provenance("test", threads=1), tmp_path
        )
    rows = read_rows(tmp_path)
    assert list(rows) == [("iris", 0, "gaussian"), ("iris", 0, "ours")]
    ahead = differences(rows, ["iris"], ["gaussian"])
    assert ahead["iris"] == pytest.approx(-9.0 - row["score"])
    assert "on 1 of 1 sets (100%)" in page(rows)


def test_a_fit_that_fails_is_a_row_without_a_score(tmp_path: Path) -> None:
    (row,) = measure(Task("magic", 0, "gaussian", tmp_path, tmp_path))
    assert row["score"] is None
    assert row["error"].startswith("FileNotFoundError")
    json.dumps(row, allow_nan=False)


def test_splits_follow_from_the_seed(tmp_path: Path) -> None:
    one, other = (table("breast-cancer", seed, tmp_path) for seed in (0, 1))
    assert len(one.train) == 398
    assert len(one.test) == 171 <= MOST_TEST
    assert not np.array_equal(one.train, other.train)
    again = table("breast-cancer", 0, tmp_path)
    assert np.array_equal(again.train, one.train)


class Gaussian:
    """A run of one Gaussian, in whatever units it gets."""

    def __init__(self, variant: object, data: rp.data.Dataset, seed: int) -> None:
        self.data = data
        x = data.split("train").x.double().numpy()
        self.known = stats.multivariate_normal(x.mean(0), np.cov(x.T, ddof=0))

    def evaluate(self, split: str, **options: object) -> SimpleNamespace:
        scores = self.known.logpdf(self.data.split(split).x.double().numpy())
        return SimpleNamespace(per_example={"log_likelihood": torch.tensor(scores)})


def test_ours_is_scored_in_the_units_of_the_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ours, "fit", Gaussian)
    monkeypatch.setattr(ours, "facts", lambda run: {})
    monkeypatch.setattr(ours, "cell_correction", lambda *given: 0.0)
    x = np.random.default_rng(0).normal([3, -50], [0.1, 20], (300, 2))
    data = Table(x[:200], x[200:], np.zeros(2), {})
    raw, _ = ours.on_table("ours", data, 0)
    for other in ("ours-array", "ours-scaled"):
        np.testing.assert_allclose(ours.on_table(other, data, 0)[0], raw, atol=1e-4)
    known = stats.multivariate_normal(x[:200].mean(0), np.cov(x[:200].T, ddof=0))
    np.testing.assert_allclose(raw, known.logpdf(x[200:]), atol=1e-4)


def test_other_cells_are_corrected_where_they_are_narrow() -> None:
    data = table("iris", 0, Path())
    given = ours.dataset(data.train, data.test)
    assert [len(given.split(name)) for name in ("train", "test")] == [105, 45]
    run = rp.fit(rp.variants.vae, given, steps=2, progress=False)
    assert ours.cell_correction(run, data.widths, data.train.std(0)) == 0
    half = data.widths * [0.5, 1, 1, 1]
    with pytest.raises(DataError, match=r"columns \[0\]: cells of"):
        ours.cell_correction(run, half, data.train.std(0))
    wide = 1000 * data.train.std(0)
    assert ours.cell_correction(run, half, wide) == pytest.approx(np.log(0.5))
    none = data.widths * [0, 1, 1, 1]
    assert ours.cell_correction(run, none, wide) == pytest.approx(-np.log(0.1))


def test_a_column_of_classes_is_scored_by_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=400), rng.integers(0, 2, 400)])
    run = rp.fit(rp.variants.vae, ours.dataset(x[:300], x[300:]), steps=2, progress=False)
    assert run.spec.quantities == [0]
    assert ours.cell_correction(run, np.array([0.0, 1.0]), x.std(0)) == 0
    with pytest.raises(DataError, match=r"columns \[1\] are classes"):
        ours.cell_correction(run, np.zeros(2), x.std(0))
    schema = rp.data.Schema((*run.spec.schema.columns, rp.data.Column("x2", "ignored")))
    left_out = rp.data.from_table(
        rp.data.of_frame(pd.DataFrame({"x0": x[:, 0], "x1": x[:, 1], "x2": 0.0})), schema=schema
    )
    run = rp.fit(rp.variants.vae, left_out, steps=2, progress=False)
    with pytest.raises(DataError, match=r"x2.* left out"):
        ours.cell_correction(run, np.array([0.0, 1.0, 0.0]), np.ones(3))


def test_the_plain_command_has_no_options_and_is_examined() -> None:
    run = rp.fit(rp.variants.vae, table("iris", 0, Path()).train, steps=20, progress=False)
    found = ours.facts(run)
    assert found["settings"]["steps"] == 20
    assert set(found["problems"]) <= {finding.name for finding in rp.doctor.examine(run)}


def test_a_choice_is_shown_by_what_it_adds_to_the_default() -> None:
    facts = provenance("measure", threads=1)
    rows = [
        {"set": "iris", "option": option, "value": value, "log_likelihood": score, **facts}
        for option, value, score in (
            ("default", None, -11.0),
            ("dropout", 0.5, -10.5),
            ("hidden", (64, 64), -12.0),
        )
    ]
    lines = choices.page(rows).splitlines()
    assert "| default | -11.00 |" in lines
    assert "| dropout 0.5 | +0.50 |" in lines
    assert "| hidden 64 64 | -1.00 |" in lines
