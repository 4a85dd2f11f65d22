"""Sweeps: the trials are those of the space, the best is the best, and a killed sweep goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import reparam as rp
from reparam.errors import OptionError, RunError
from reparam.runs.sweep import sweep

SPACE: dict[str, Any] = {"latent_dim": [1, 2, 3]}
FIXED = {"steps": 30, "hidden": [8], "lr": 0.01}


def rows() -> Any:
    z = np.random.default_rng(0).normal(size=(300, 2))
    return z @ np.random.default_rng(1).normal(size=(2, 5)) + 0.1


def test_every_trial_is_a_run_and_the_best_is_first(tmp_path: Path) -> None:
    found = sweep(rows(), SPACE, out=tmp_path, n_trials=4, options=FIXED, prune=False)
    assert len(found) == 4
    scores = [trial.score for trial in found]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    for trial in found:
        run = rp.load(trial.folder)
        assert run.config["latent_dim"] == trial.values["latent_dim"]
        assert run.config["steps"] == 30


def test_a_sweep_goes_on_and_holds_its_space(tmp_path: Path) -> None:
    first = sweep(rows(), SPACE, out=tmp_path, n_trials=2, options=FIXED)
    again = sweep(rows(), SPACE, out=tmp_path, n_trials=3, options=FIXED)
    assert {t.number for t in first} < {t.number for t in again}
    assert len(again) == 3
    with pytest.raises(RunError, match="holds a sweep with another space"):
        sweep(rows(), {"latent_dim": [7]}, out=tmp_path, n_trials=4, options=FIXED)


def test_variants_ranges_and_sizes_are_searched(tmp_path: Path) -> None:
    space = {
        "variant": ["vae", "iwae"],
        "lr": {"low": 1e-3, "high": 1e-2, "log": True},
        "hidden": [[8], [8, 8]],
        "latent_dim": {"low": 1, "high": 3},
    }
    found = sweep(rows(), space, out=tmp_path, n_trials=3, options={"steps": 10}, prune=False)
    for trial in found:
        assert 1e-3 <= trial.values["lr"] <= 1e-2
        assert trial.values["latent_dim"] in (1, 2, 3)
        assert rp.load(trial.folder).config["variant"] == trial.values["variant"]


@pytest.mark.parametrize(
    ("space", "options", "said"),
    [
        ({"latnt_dim": [2]}, {}, "did you mean 'latent_dim'"),
        ({"latent_dim": 2}, {}, "give a list of values"),
        ({"latent_dim": ["x"]}, {}, "latent_dim"),
        ({"variant": ["vea"]}, {}, "did you mean 'vae'"),
        ({"lr": {"low": 1}}, {}, "needs numbers low and high"),
        ({"lr": {"low": 0, "high": 1, "log": True}}, {}, "above 0 for log"),
        ({"lr": {"low": 0, "high": 1, "logg": True}}, {}, "did you mean 'log'"),
        ({}, {}, "name one option or more"),
        ({"lr": [0.1]}, {"lr": 0.2}, "the space has it too"),
        ({"lr": [0.1]}, {"setps": 2}, "did you mean 'steps'"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(
    space: dict[str, Any], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=said):
        sweep(rows(), space, out=tmp_path, options=options)


SCRIPT = """
import sys
from tests.runs.test_sweep import SPACE, rows
from reparam.runs.sweep import sweep
sweep(rows(), SPACE, out=sys.argv[1], n_trials=2,
      options={"steps": 100_000, "hidden": [8], "lr": 0.01, "early_stopping": 0})
"""


def test_a_killed_trial_goes_on(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)])
    checkpoint = tmp_path / "trial-0" / "metrics.jsonl"
    for _ in range(600):
        if checkpoint.exists() and checkpoint.stat().st_size:
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    from reparam.runs import sweep as module

    study = optuna.load_study(
        study_name=module.STUDY, storage=f"sqlite:///{tmp_path / module.DATABASE}"
    )
    module._release(study)
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    assert states == ["FAIL", "WAITING"]
    assert study.get_trials()[1].user_attrs["folder"].endswith("trial-0")
