"""The protocols on other people's data: their rows, and the other libraries, which are faked."""

import importlib
import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
import torch
from scipy import sparse

import reparam as rp
from benchmarks import environments
from benchmarks.environments import PYOD, SCVI, Environment
from benchmarks.settings import CONTENDERS
from experiments.own_data import __main__ as command
from experiments.own_data import peers, protocols, report
from experiments.own_data.cases import Case, Figures
from experiments.own_data.report import page, table, versions


@pytest.fixture
def outliers_dir(tmp_path: Path) -> Path:
    """A set of 60 rows, the last 10 of which are far from the others."""
    (tmp_path / "outliers").mkdir()
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[50:] += 100
    np.savez(tmp_path / "outliers" / "1_far.npz", X=x, y=np.arange(60) >= 50)
    return tmp_path


def words_of(script: str, environment: Environment, words: list[str]) -> dict[str, str]:
    """The options of a command line, of a contender that exists."""
    assert (CONTENDERS / f"{script}.py").exists()
    return dict(word.removeprefix("--").split("=", 1) for word in words)


def case_of(protocol: str, data_dir: Path, contender: str) -> Case:
    (found,) = (c for c in protocols.PROTOCOLS[protocol](data_dir, 3) if c.contender == contender)
    return found


@pytest.mark.parametrize(("rows", "n_train"), [("all rows", 60), ("normal rows", 25)])
def test_pyod_gets_the_rows_of_our_own_detector(
    rows: str, n_train: int, outliers_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(script: str, environment: Environment, words: list[str]) -> Figures:
        options = words_of(script, environment, words)
        with np.load(options["rows"], allow_pickle=False) as stored:
            seen.update(stored, environment=environment, seed=options["seed"])
        np.save(options["scores"], seen["test"].sum(1))
        return {"fit_s": 2.0, "score_s": 1.0}

    monkeypatch.setattr(peers, "run", run)
    figures = case_of("outliers", outliers_dir, f"PyOD's VAE, {rows}").measure()
    # The sums of far rows are all larger, which is an area of 1.
    assert figures == {"PyOD's VAE": 100.0, "seconds": 2.0}
    assert (seen["environment"], seen["seed"]) == (PYOD, "3")
    assert len(seen["train"]) == n_train
    is_far = seen["train"].sum(1) > 150
    if rows == "all rows":
        np.testing.assert_array_equal(seen["train"], seen["test"])
        assert is_far.sum() == 10
    else:
        assert not is_far.any()
        assert len(seen["test"]) == 35
        both = {tuple(row) for row in np.concatenate([seen["train"], seen["test"]])}
        assert len(both) == 60


def test_scvi_gets_the_cells_and_its_codes_are_clustered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pbmc4k"
    folder.mkdir()
    x = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (80, 5)).astype(np.int32))
    y = np.repeat(np.arange(1, 9), 10)
    parts = {name: getattr(x, name) for name in ("data", "indices", "indptr", "shape")}
    np.savez(folder / "pbmc4k.npz", y=y, **parts)
    np.save(folder / "validation.npy", np.arange(0, 80, 10))
    asked = []

    def run(script: str, environment: Environment, words: list[str]) -> Figures:
        options = words_of(script, environment, words)
        with np.load(options["rows"], allow_pickle=False) as stored:
            np.testing.assert_array_equal(stored["x"], x.toarray())
            np.testing.assert_array_equal(stored["held"], np.arange(0, 80, 10))
        asked.append((environment, options["early-stopping"], options["seed"]))
        np.save(options["codes"], np.eye(8)[y - 1])  # the types themselves
        return {"elbo": -7.0, "log_likelihood": -6.0, "epochs": 400, "seconds": 1.0}

    monkeypatch.setattr(peers, "run", run)
    figures = case_of("counts", tmp_path, "SCVI").measure()
    case_of("counts", tmp_path, "SCVI, early stopping").measure()
    assert figures.pop("ARI of k-means") == pytest.approx(100.0)
    assert figures == {"elbo": -7.0, "log_likelihood": -6.0, "epochs": 400, "seconds": 1.0}
    assert asked == [(SCVI, "0", "3"), (SCVI, "1", "3")]


def test_counts_given_their_total_are_beside_scvi(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(protocols, "_cells", lambda _: None)
    monkeypatch.setattr(protocols, "_fitted_to_counts", lambda *words: asked.append(words[2]))
    case_of("counts", Path(), "VAE, given the total").measure()
    spec = rp.DataSpec((5,), "counts")
    recipe = rp.variants.vae(spec, latent_dim=2, likelihood=asked[0])
    assert recipe.model.decoder.family.library_size == "observed"


@pytest.mark.filterwarnings("ignore:.*Early stopping criterion not reached")
@pytest.mark.parametrize("contender", ["iterative, Bayesian ridge", "iterative, random forests"])
def test_iterative_imputers_find_what_other_columns_say(contender: str) -> None:
    """Eight copies of one column: a cell is lost only where all of its row are."""

    def read() -> np.ndarray:
        return np.outer(np.random.default_rng(0).normal(size=200), np.arange(1.0, 9.0))

    mean = protocols._imputed(read, protocols.IMPUTERS["mean"], 0)
    found = protocols._imputed(read, protocols.IMPUTERS[contender], 0)
    assert mean["mse"] == pytest.approx(1.0, abs=0.1)
    assert found["mse"] < 0.1
    assert found.keys() == {"mse", "fit_s", "seconds"}


def test_rows_of_other_imputers_have_the_version_of_scikit_learn() -> None:
    for case in protocols.imputation(Path(), 0):
        is_ours = case.contender.startswith("VAEImputer")
        assert case.versions() == ({} if is_ours else {"scikit-learn": version("scikit-learn")})


def test_versions_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "make", lambda *_: Path(sys.executable))
    two = Environment("two", ("numpy>=1.19", "scikit-learn"), alone=("packaging==1.0",))
    names = ("torch", "packaging", "numpy", "scikit-learn")
    assert peers.versions(two) == {name: version(name) for name in names}


def test_a_row_has_its_versions_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cases(data_dir: Path, seed: int) -> Iterator[Case]:
        """Two contenders."""
        yield Case("set", "ours", lambda: {"mse": 1.0})
        yield Case("set", "other", lambda: {"mse": 2.0}, lambda: {"pyod": "3.6.7"})

    monkeypatch.setitem(protocols.PROTOCOLS, "imputation", cases)
    rows = tmp_path / "rows"
    words = ["imputation", "--data-dir", str(tmp_path), "--rows", str(rows)]
    monkeypatch.setattr(sys, "argv", ["own_data", *words])
    threads = torch.get_num_threads()
    try:
        command.main()
    finally:
        torch.set_num_threads(threads)
    ours, other = map(json.loads, (rows / "imputation.jsonl").read_text("utf-8").splitlines())
    assert "versions" not in ours
    assert other["versions"] == {"pyod": "3.6.7"}
    assert other["contender"] == "other"
    assert other["figures"] == {"mse": 2.0}
    assert str(tmp_path) not in (rows / "imputation.jsonl").read_text("utf-8")
    assert "Versions: pyod 3.6.7." in rows.with_suffix(".md").read_text("utf-8")


def test_the_table_has_the_rows_of_a_set_beside_each_other() -> None:
    rows = [
        {"set": name, "contender": contender, "seed": 0, "figures": {"mse": 1.0}}
        for contender in ("a", "b")
        for name in ("one", "two")
    ]
    shown = [line.split(" | ")[:2] for line in table(rows)[2:]]
    assert shown == [["| one", "a"], ["| one", "b"], ["| two", "a"], ["| two", "b"]]
    assert versions(rows) == []


def test_the_page_is_that_of_the_stored_rows() -> None:
    assert command.STORED.with_suffix(".md").read_text("utf-8") == page(command.STORED)


def test_stored_rows_are_of_contenders_that_exist() -> None:
    for name in ("imputation", "counts"):
        known = {case.contender for case in protocols.PROTOCOLS[name](Path(), 0)}
        lines = (command.STORED / f"{name}.jsonl").read_text("utf-8").splitlines()
        keys = [(r["set"], r["contender"], r["seed"]) for r in map(json.loads, lines)]
        assert len(set(keys)) == len(keys)
        assert {contender for _, contender, _ in keys} <= known


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Run a contender in this process, and return the line of JSON that it ends with."""
    monkeypatch.syspath_prepend(CONTENDERS)
    before, threads = set(sys.modules), torch.get_num_threads()

    def run(name: str, *words: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [name, "--threads=1", *words])
        importlib.import_module(name).main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    yield run
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if str(CONTENDERS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def put(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Let a module be importable that has these members."""
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_script_of_pyod_fits_training_rows_and_scores_test_rows(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distance:
        def __init__(self, **options: Any) -> None:
            assert options == {"random_state": 5, "device": "cpu", "verbose": 0}

        def fit(self, x: np.ndarray) -> Self:
            self.mean = x.mean(0)
            return self

        def decision_function(self, x: np.ndarray) -> np.ndarray:
            return np.linalg.norm(x - self.mean, axis=1)

    put(monkeypatch, "pyod")
    put(monkeypatch, "pyod.models")
    put(monkeypatch, "pyod.models.vae", VAE=Distance)
    rows, scores = tmp_path / "rows.npz", tmp_path / "scores.npy"
    np.savez(rows, train=np.full((4, 2), 1.0), test=np.array([[1.0, 1.0], [4.0, 5.0]]))
    found = told("pyod_scores", f"--rows={rows}", f"--scores={scores}", "--seed=5")
    assert found.keys() == {"fit_s", "score_s"}
    np.testing.assert_allclose(np.load(scores), [0.0, 5.0])


def test_the_script_of_scvi_trains_without_the_held_cells_and_averages_over_them(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = np.array([1, 3, 4])
    bounds = iter([-10.0, -12.0])

    class Model:
        @staticmethod
        def setup_anndata(cells: Any) -> None:
            pass

        def __init__(self, cells: Any, **options: Any) -> None:
            assert options == {"n_latent": 10, "gene_likelihood": "zinb"}
            self.x = np.asarray(cells.X)

        def train(self, **options: Any) -> None:
            train, validation = options["datasplitter_kwargs"]["external_indexing"]
            np.testing.assert_array_equal(train, [0, 2, 5])
            np.testing.assert_array_equal(validation, held)
            assert options["early_stopping"] is True
            self.history = {"elbo_train": [3.0, 2.0, 1.0]}

        def get_elbo(self, indices: np.ndarray) -> torch.Tensor:
            np.testing.assert_array_equal(indices, held)
            return torch.tensor(next(bounds))

        def get_marginal_ll(self, **options: Any) -> torch.Tensor:
            np.testing.assert_array_equal(options["indices"], held)
            assert (options["n_mc_samples"], options["return_mean"]) == (2, False)
            return torch.tensor([-1.0, -2.0, -6.0])

        def get_latent_representation(self) -> np.ndarray:
            return self.x[:, :1]

    settings = SimpleNamespace(seed=None)
    put(monkeypatch, "scvi", settings=settings)
    put(monkeypatch, "scvi.model", SCVI=Model)
    rows, codes = tmp_path / "cells.npz", tmp_path / "codes.npy"
    np.savez(rows, x=np.arange(12).reshape(6, 2), held=held)
    words = [f"--rows={rows}", f"--codes={codes}", "--draws=2", "--early-stopping=1", "--seed=5"]
    found = told("scvi_cells", *words)
    assert found.pop("seconds") >= 0
    assert found == {"elbo": -11.0, "log_likelihood": -3.0, "epochs": 3}
    assert settings.seed == 5
    np.testing.assert_array_equal(np.load(codes)[:, 0], np.arange(0, 12, 2))


def test_every_protocol_says_what_others_have() -> None:
    assert report.PUBLISHED.keys() == protocols.PROTOCOLS.keys()
