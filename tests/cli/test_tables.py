"""The verbs on a table of the user's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import refused, reparam

TRAIN = "train vae --hidden 8 --steps 20 --pictures-every 0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``people.csv``, and a run on it."""
    place = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 150),
            "height": rng.normal(1.7, 0.1, 150).round(2),
            "sex": rng.choice(["F", "M"], 150),
        }
    )
    people.loc[::10, "height"] = np.nan
    people.to_csv(place / "people.csv", index=False)
    reparam(f"{TRAIN} --data {place}/people.csv --out", place / "run")
    return place


def test_a_table_is_inspected(folder: Path) -> None:
    said = reparam(f"data inspect {folder}/people.csv --target sex").out
    assert "height   positive" in said
    n_twice = pd.read_csv(folder / "people.csv").duplicated().sum()
    assert f"150 rows, {n_twice} of them equal" in said


def test_samples_are_a_table(folder: Path) -> None:
    reparam(f"sample {folder}/run -n 30 --out", folder / "new.csv")
    drawn = pd.read_csv(folder / "new.csv")
    assert list(drawn.columns) == ["age", "height", "sex"]
    assert drawn["age"].between(18, 89).all()
    assert drawn["age"].dtype == np.int64
    assert set(drawn["sex"]) <= {"F", "M"}
    np.testing.assert_allclose(drawn["height"], drawn["height"].round(2), atol=1e-9)
    reparam(f"sample {folder}/run -n 5 --given sex=F --out", folder / "given.parquet")
    assert pd.read_parquet(folder / "given.parquet")["sex"].tolist() == ["F"] * 5


def test_missing_cells_are_filled_in_order(folder: Path) -> None:
    reparam(f"impute {folder}/run --data {folder}/people.csv --out", folder / "full.csv")
    before, after = pd.read_csv(folder / "people.csv"), pd.read_csv(folder / "full.csv")
    assert after["height"].notna().all()
    known = before["height"].notna()
    np.testing.assert_allclose(after["height"][known], before["height"][known], atol=1e-6)
    assert after["age"].tolist() == before["age"].tolist()
    reparam(f"impute {folder}/run --n-draws 2 --out", folder / "draw.csv")
    assert (folder / "draw-2.csv").exists()


def test_scores_are_a_row_for_each_row(folder: Path) -> None:
    reparam(f"score {folder}/run --data {folder}/people.csv --columns --out", folder / "s.csv")
    scores = pd.read_csv(folder / "s.csv")
    assert list(scores.columns) == ["log_likelihood", "log p(age)", "log p(height)", "log p(sex)"]
    assert len(scores) == 150
    assert scores["log_likelihood"].notna().all()


def test_scores_have_the_names_of_their_rows(folder: Path) -> None:
    people = pd.read_csv(folder / "people.csv").assign(name=[f"person {i}" for i in range(150)])
    people.to_csv(folder / "named.csv", index=False)
    reparam(f"train vae --data {folder}/named.csv --steps 2 --no-report --out", folder / "named")
    reparam(f"score {folder}/named --data {folder}/named.csv --out", folder / "names.csv")
    scores = pd.read_csv(folder / "names.csv")
    assert list(scores.columns) == ["name", "log_likelihood"]
    assert scores["name"].tolist() == people["name"].tolist()


def test_a_sweep_prints_its_trials(folder: Path) -> None:
    (folder / "space.yaml").write_text("latent_dim: [1, 2]\n")
    (folder / "fixed.yaml").write_text("steps: 10\nhidden: [4]\n")
    words = f"--space {folder}/space.yaml --fixed {folder}/fixed.yaml --n-trials 2"
    said = reparam(f"sweep vae --data {folder}/people.csv {words} --out", folder / "sweep").out
    assert "held-out log p(x)" in said
    assert (folder / "sweep" / "trial-1" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sample {run} --given age", "--given age: give names and values"),
        ("sample {run} --given agee=3", "did you mean 'age'"),
        ("sample {run} --given age=old", "a number is needed"),
        ("sample {run} --given sex=X", "F, M"),
        ("sample {run} --out x.png", "end the name of a table in"),
        ("score {run} --out x.npy", "end the name of the table in"),
        ("evaluate {run} --data nowhere.csv", "is no file or folder"),
        ("data inspect nowhere.csv", "does not exist"),
        ("data inspect", "FILE"),
        ("sweep vae", "--space is needed"),
        ("sweep vae --space nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(folder: Path, line: str, said: str) -> None:
    assert said in refused(line.format(run=folder / "run"))
