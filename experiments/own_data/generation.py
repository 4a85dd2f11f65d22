"""Generated tables: rows that a model draws, beside real ones, TVAE and TabularARGN.

Training and test rows are those of TabSyn (Zhang et al., ICLR 2024). The measures and the peers run
in environments of their own: see ``benchmarks.environments``.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.environments import TABLES, TABULAR_ARGN, Environment
from experiments.own_data import peers
from experiments.own_data.cases import Case, Figures
from reparam.estimators import VAESampler

ADULT = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
)
"""The names of the columns of Adult, whose files have none."""


SHARE = 0.9
"""The budget of a fit in time, as a share of the seconds that TabularARGN takes beside it."""


class Tables(NamedTuple):
    """The rows of a table, all of whose classes are text.

    Arguments:
        train: The training rows.
        test: The test rows.
        numbers: The names of the columns of numbers.
        classes: The names of the columns of classes, the target last.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    numbers: list[str]
    classes: list[str]


def read(name: str, data_dir: Path) -> Tables:
    """Return a table of TabSyn.

    Arguments:
        name: ``adult``, ``magic`` or ``shoppers``.
        data_dir: The folder of all data sets.
    """
    place = data_dir / "tables" / name
    info = json.loads((place / "info.json").read_text("utf-8"))
    if name == "adult":
        known: dict[str, Any] = {"names": ADULT, "header": None, "skipinitialspace": True}
        train = pd.read_csv(place / "adult.data", **known)
        test = pd.read_csv(place / "adult.test", skiprows=1, **known)
        test["income"] = test["income"].str.rstrip(".")
    else:
        train, test = (pd.read_csv(place / f"{split}.csv") for split in ("train", "test"))
    columns = list(train.columns)
    numbers = [columns[i] for i in info["num_col_idx"]]
    classes = [columns[i] for i in info["cat_col_idx"] + info["target_col_idx"]]
    as_text = dict.fromkeys(classes, str)
    return Tables(train.astype(as_text), test.astype(as_text), numbers, classes)


def generation(data_dir: Path, seed: int) -> Iterator[Case]:
    """Rows that a model draws, as many as there are training rows, beside real rows."""
    for name in ("shoppers", "magic", "adult"):
        for contender, draw in CONTENDERS_OF_TABLES.items():
            used = (TABLES, TABULAR_ARGN) if contender in BESIDE_TABULAR_ARGN else (TABLES,)
            measure = partial(_measured, name, draw, data_dir, seed)
            yield Case(name, contender, measure, partial(peers.versions, *used))


Draw = Callable[[Tables, Path, int], tuple[pd.DataFrame, Figures]]
"""From tables, a folder that holds them as files, and a seed, to drawn rows and figures."""


def _ours(
    tables: Tables, folder: Path, seed: int, budget: float | None = None
) -> tuple[pd.DataFrame, Figures]:
    began = time.perf_counter()
    sampler = VAESampler(budget=budget, random_state=seed).fit(tables.train)
    fitted = time.perf_counter()
    drawn = sampler.sample(len(tables.train), random_state=seed + 1)
    figures = {"fit_s": fitted - began, "draw_s": time.perf_counter() - fitted}
    return drawn, {**figures, "log_likelihood": float(sampler.score(tables.test))}


def _in_time(tables: Tables, folder: Path, seed: int) -> tuple[pd.DataFrame, Figures]:
    """Return rows of a fit that takes less time than that of TabularARGN, which runs before it."""
    _, figures = _peer("tabular_argn_rows", TABULAR_ARGN, tables, folder, seed)
    budget = SHARE * float(figures["fit_s"])
    drawn, own = _ours(tables, folder, seed, budget)
    return drawn, {**own, "budget_s": budget}


def _shuffled(tables: Tables, folder: Path, seed: int) -> tuple[pd.DataFrame, Figures]:
    """Return the training rows, each of whose columns is shuffled on its own."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.permutation(values) for name, values in tables.train.items()}
    return pd.DataFrame(columns), {}


def _peer(
    script: str, environment: Environment, tables: Tables, folder: Path, seed: int
) -> tuple[pd.DataFrame, Figures]:
    words = {"real": "real.csv", "drawn": "peer.csv", "schema": "schema.json"}
    files = [f"--{key}={folder / file}" for key, file in words.items()]
    found = peers.run(script, environment, [*files, f"--seed={seed}", "--threads=1"])
    return pd.read_csv(folder / "peer.csv"), found


CONTENDERS_OF_TABLES: dict[str, Draw] = {
    "shuffled columns": _shuffled,
    "VAESampler": _ours,
    "VAESampler, in time": _in_time,
    "TVAE": partial(_peer, "tvae_rows", TABLES),
    "TabularARGN": partial(_peer, "tabular_argn_rows", TABULAR_ARGN),
}
"""What draws rows, by name."""

BESIDE_TABULAR_ARGN = ("VAESampler, in time", "TabularARGN")
"""The contenders whose figures depend on TabularARGN."""


def _measured(name: str, draw: Draw, data_dir: Path, seed: int) -> Figures:
    """Return the figures of drawn rows."""
    tables = read(name, data_dir)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables.train.to_csv(folder / "real.csv", index=False)
        tables.test.to_csv(folder / "test.csv", index=False)
        schema = {
            "numbers": tables.numbers,
            "classes": tables.classes,
            "target": tables.classes[-1],
        }
        (folder / "schema.json").write_text(json.dumps(schema), "utf-8")
        drawn, figures = draw(tables, folder, seed)
        drawn.to_csv(folder / "drawn.csv", index=False)
        files = [f"--{key}={folder / key}.csv" for key in ("real", "test", "drawn")]
        return (
            peers.run("table_quality", TABLES, [*files, f"--schema={folder}/schema.json"]) | figures
        )
