"""The verbs on a table of the user's own."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, save_npz

from reparam.data.tables import read_table
from reparam.schema import missing_in
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


def german(n: int = 60) -> list[list[str]]:
    """Return the cells of a table in German notation, every fifth of some columns missing."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2023-12-20") + rng.integers(0, 60, n)
    rows = [["nr", "tag", "zeit", "preis", "neu", "note"]]
    for i, day in enumerate(days.tolist()):
        row = [
            f"{i:04}" if i % 3 else "NA",
            f"{day.day}.{day.month}.{day.year}",
            f"{day:%d.%m.%Y} {i % 24}:{i % 60:02}",
            f"{rng.normal(1500, 200):.2f}".replace(".", ","),
            str(bool(i % 2)).upper(),
            str(rng.choice(["1,0", "1,3", "2,0"])),
        ]
        if i % 5 == 0:
            row[1:] = [cell if (i // 5 + j) % 2 else "" for j, cell in enumerate(row[1:])]
        rows.append(row)
    return rows


def test_known_cells_come_back_as_they_stand_in_the_file(tmp_path: Path) -> None:
    rows = german()
    (tmp_path / "a.csv").write_text("\n".join(";".join(row) for row in rows))
    reparam(f"{TRAIN} --data {tmp_path}/a.csv --out", tmp_path / "run")
    reparam(f"impute {tmp_path}/run --data {tmp_path}/a.csv --out", tmp_path / "full.csv")
    with (tmp_path / "full.csv").open(newline="") as file:
        found = list(csv.reader(file))
    forms = {
        "tag": r"\d{1,2}\.\d{1,2}\.2\d{3}",
        "zeit": r"\d\d\.\d\d\.2\d{3} \d{1,2}:\d\d",
        "preis": r"\d+(,\d+)?",
        "neu": "TRUE|FALSE",
        "note": r"[12],\d",
    }
    assert len(found) == len(rows)
    for before, after in zip(rows, found, strict=True):
        for name, known, cell in zip(rows[0], before, after, strict=True):
            if known:
                assert cell == known
            else:
                assert re.fullmatch(forms[name], cell), cell
    # It is read as the first file was, without gaps.
    first, second = (read_table(tmp_path / name) for name in ("a.csv", "full.csv"))
    assert second.stored == first.stored
    assert not any(missing_in(second.columns[name]).any() for name in forms)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_known_cells_of_typed_columns_come_back(tmp_path: Path, ending: str) -> None:
    n = 60
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "seen": pd.date_range("2024-03-30", periods=n, freq="h", tz="Europe/Rome"),
            "exact": np.datetime64("2024-01-01", "ns") + rng.integers(0, 10**15, n),
            "lasted": pd.to_timedelta(rng.integers(0, 10**6, n), unit="ns"),
            "n": pd.array(rng.integers(0, 30, n), "Int16"),
            "size": pd.Categorical(rng.choice(["S", "M"], n)),
        }
    )
    for i, name in enumerate(frame):
        frame.loc[i::9, name] = pd.NaT if i < 3 else None
    frame.to_parquet(tmp_path / "a.parquet")
    reparam(f"{TRAIN} --data {tmp_path}/a.parquet --out", tmp_path / "run")
    place = tmp_path / f"full.{ending}"
    reparam(f"impute {tmp_path}/run --data {tmp_path}/a.parquet --out", place)
    if ending == "csv":
        found = pd.read_csv(place, parse_dates=["exact"])
        known = frame["exact"].notna()
        assert (found["exact"][known] == frame["exact"][known]).all()
        assert found.notna().all(axis=None)
        return
    found = pd.read_parquet(place)
    kinds = frame.astype({"n": float}).dtypes.astype(str).replace("float64", "int16")
    assert found.dtypes.astype(str).tolist() == kinds.tolist()
    assert found.notna().all(axis=None)
    for name in frame:
        known = frame[name].notna()
        assert found[name][known].tolist() == frame[name][known].tolist()


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


def test_names_of_typed_columns_are_beside_the_scores(tmp_path: Path) -> None:
    names = [f"person {i}" for i in range(60)]
    waited = pd.to_timedelta(np.full(60, 1500), unit="ms")  # one value, so that it is no part of x
    frame = pd.DataFrame({"name": pd.Categorical(names), "waited": waited, "x": np.arange(60) % 7})
    frame.to_parquet(tmp_path / "a.parquet")
    reparam(f"train vae --data {tmp_path}/a.parquet --steps 2 --hidden 4 --out", tmp_path / "run")
    reparam(f"score {tmp_path}/run --data {tmp_path}/a.parquet --out", tmp_path / "s.csv")
    scores = pd.read_csv(tmp_path / "s.csv")
    assert scores["name"].tolist() == names
    assert scores["waited"].tolist() == [1.5] * 60


@pytest.mark.parametrize("verb", ["score", "impute"])
def test_a_file_is_read_once(folder: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, seen = Path.read_bytes, list[Path]()

    def noted(path: Path) -> bytes:
        seen.append(path)
        return read(path)

    shutil.copy(folder / "people.csv", folder / f"{verb}.csv")
    monkeypatch.setattr(Path, "read_bytes", noted)
    reparam(f"{verb} {folder}/run --data {folder}/{verb}.csv --out", folder / "out.csv")
    assert seen.count(folder / f"{verb}.csv") == 1


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
        ("data inspect nowhere.csv", "is no file or folder"),
        ("data inspect", "FILE"),
        ("sweep vae", "--space is needed"),
        ("sweep vae --space nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(folder: Path, line: str, said: str) -> None:
    assert said in refused(line.format(run=folder / "run"))


def test_files_of_cells_are_examined_and_not_inspected(tmp_path: Path) -> None:
    counts = csr_matrix(np.random.default_rng(0).poisson(0.5, (60, 12)).astype(np.float32))
    save_npz(tmp_path / "cells.npz", counts)
    said = reparam("doctor", str(tmp_path / "cells.npz")).out
    assert "54 training examples of shape (12,)" in said
    said = reparam("data inspect", str(tmp_path / "cells.npz"), code=2).err
    assert "'reparam doctor' examines arrays" in said
