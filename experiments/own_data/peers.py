"""Other libraries: each runs in an environment of its own, on the same rows, and its versions."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import environments, process
from benchmarks.environments import PYOD, SCVI, Environment
from benchmarks.settings import CONTENDERS
from experiments.own_data.cases import Figures


def run(script: str, environment: Environment, words: list[str]) -> Figures:
    """Return what a script prints in an environment of its own.

    Arguments:
        script: The name of a file in ``benchmarks/contenders``, without its suffix.
        environment: The packages that it needs.
        words: The arguments of its command line.
    """
    python = environments.make(environment, str(torch.__version__))
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    one = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    found: Figures = process.run([str(python), str(CONTENDERS / f"{script}.py"), *words], one)[
        "result"
    ]
    return found


def versions(*names: Environment) -> dict[str, str]:
    """Return the versions of the packages of environments, by name."""
    found: dict[str, str] = {}
    for environment in names:
        found |= environments.versions(environment, str(torch.__version__))
    return found


def of_scikit_learn() -> dict[str, str]:
    """Return the version of scikit-learn, which this environment has."""
    return {"scikit-learn": version("scikit-learn")}


def outlier_scores(
    train: NDArray[Any], test: NDArray[Any], seed: int
) -> tuple[NDArray[Any], Figures]:
    """Return the scores of test rows by PyOD's VAE, high for outliers, and its seconds.

    Arguments:
        train: The rows of the fit, as they are: PyOD standardizes them.
        test: The rows that are scored.
        seed: The seed.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.savez(folder / "rows.npz", train=train, test=test)
        words = [f"--rows={folder / 'rows.npz'}", f"--scores={folder / 'scores.npy'}"]
        found = run("pyod_scores", PYOD, [*words, f"--seed={seed}", "--threads=1"])
        return np.load(folder / "scores.npy", allow_pickle=False), found


def cell_codes(
    x: NDArray[Any], held: NDArray[Any], seed: int, stops_early: bool
) -> tuple[NDArray[Any], Figures]:
    """Return the codes of all cells by SCVI, and its figures on the held-out cells.

    Arguments:
        x: The counts of all cells.
        held: The numbers of the held-out cells.
        seed: The seed.
        stops_early: Whether it stops where the ELBO of the held-out cells no longer rises.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.savez(folder / "cells.npz", x=x, held=held)
        words = [f"--rows={folder / 'cells.npz'}", f"--codes={folder / 'codes.npy'}"]
        words += [f"--early-stopping={int(stops_early)}", f"--seed={seed}", "--threads=1"]
        found = run("scvi_cells", SCVI, words)
        return np.load(folder / "codes.npy", allow_pickle=False), found
