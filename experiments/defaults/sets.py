"""The data sets: tables of numbers, split at random, and images, text and counts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from experiments.defaults.cells import Floats, widths

MOST_TRAIN, MOST_TEST = 20_000, 5_000
"""The largest numbers of rows of a split; the same random ones for all contenders."""


@dataclass(frozen=True)
class Table:
    """A table, split into training and test rows.

    Arguments:
        train: The training rows, in random order, with shape (N, D).
        test: The test rows, with shape (M, D).
        widths: The resolution of each column, 0 for a continuous one.
        facts: What was left out, and the sizes.
    """

    train: Floats
    test: Floats
    widths: Floats
    facts: Mapping[str, Any]


def table(name: str, seed: int, folder: Path) -> Table:
    """Return the split of a table by a seed, 70 % of its rows for training.

    Columns that are constant in training, and rows with values that are not finite, are dropped.

    Arguments:
        name: The table.
        seed: The seed of the split.
        folder: The folder of all data sets.
    """
    x = np.asarray((TABLES | MORE)[name](folder), np.float64)
    finite = np.isfinite(x).all(1)
    train, test = train_test_split(x[finite], test_size=0.3, random_state=seed)
    train, test = train[:MOST_TRAIN], test[:MOST_TEST]
    varies = np.ptp(train, axis=0) > 0
    train, test = train[:, varies], test[:, varies]
    w = widths(train)
    facts = {
        "rows": len(train),
        "test_rows": len(test),
        "columns": train.shape[1],
        "rounded": int((w > 0).sum()),
        "dropped_rows": int((~finite).sum()),
        "dropped_columns": np.flatnonzero(~varies).tolist(),
    }
    return Table(train, test, w, facts)


def _bundled(name: str, folder: Path, **options: Any) -> Floats:
    """Return a table of scikit-learn."""
    return getattr(datasets, f"load_{name}")(**options).data


def _archive(path: str, folder: Path) -> Floats:
    """Return the array X of an archive."""
    with np.load(folder / path, allow_pickle=False) as stored:
        return stored["X"]


def _text(path: str, folder: Path, **options: Any) -> Floats:
    """Return a text file of numbers."""
    return np.loadtxt(folder / path, **options)


def _tabsyn(name: str, files: tuple[tuple[str, int], ...], folder: Path) -> Floats:
    """Return the columns of numbers of all rows of a mixed table."""
    place = folder / "tables" / name
    columns = json.loads((place / "info.json").read_text(encoding="utf-8"))["num_col_idx"]
    parts = [
        np.genfromtxt(place / file, delimiter=",", skip_header=skip, usecols=columns)
        for file, skip in files
    ]
    return np.concatenate(parts)


TABLES: dict[str, Callable[[Path], Floats]] = {
    "wine": partial(_bundled, "wine"),
    "breast-cancer": partial(_bundled, "breast_cancer"),
    "iris": partial(_bundled, "iris"),
    "diabetes": partial(_bundled, "diabetes", scaled=False),
    "linnerud": partial(_bundled, "linnerud"),
    "cardio": partial(_archive, "tabular/cardio.npz"),
    "mammography": partial(_archive, "tabular/mammography.npz"),
    "magic": partial(_tabsyn, "magic", (("train.csv", 1), ("test.csv", 1))),
    "shoppers": partial(_tabsyn, "shoppers", (("train.csv", 1), ("test.csv", 1))),
    "adult": partial(_tabsyn, "adult", (("adult.data", 0), ("adult.test", 1))),
    "banknote": partial(_text, "imputation/banknote.csv", delimiter=",", usecols=range(4)),
    "concrete": partial(_text, "imputation/concrete.txt"),
    "wine-red": partial(_text, "imputation/wine-red.txt"),
}
MORE = {
    file: partial(_archive, f"outliers/{file}.npz")
    for file in (
        *("7_Cardiotocography", "15_Hepatitis", "17_InternetAds", "19_landsat", "21_Lymphography"),
        *("25_musk", "27_PageBlocks", "29_Pima", "31_satimage-2", "33_skin", "35_SpamBase"),
        *("37_Stamps", "39_vertebral", "41_Waveform", "43_WDBC", "45_wine", "47_yeast"),
        "5_campaign",
    )
}
"""Further tables, on which nobody tries defaults."""
