"""Runs on several processes: the same steps as on one, and nothing that is refused there."""

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import reparam as rp
from reparam.errors import LostError
from reparam.training import Callback, Event
from reparam.training.checkpoint import load_checkpoint
from reparam.utils.launch import is_first
from tests.support import Stop, in_processes, of_srun, reparam, weights

HERE = "tests.runs.test_several"
N = 67


def rows(n: int = N, n_columns: int = 4) -> Tensor:
    """Return rows whose first entry tells their number."""
    x = torch.randn(n, n_columns, generator=torch.Generator().manual_seed(0))
    x[:, 0] = torch.arange(n) / n
    return x


class Normed(nn.Module):
    """An autoencoder with batch normalization, and with weights that no loss uses."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.decoder = nn.Linear(3, 4)
        self.unused = nn.Linear(2, 2)


def squared_error(model: Any, batch: rp.Batch) -> rp.objectives.Terms:
    """Return minus the squared error of a reconstruction, to be maximized."""
    error = (model.decoder(model.encoder(batch.x)) - batch.x).square().sum(1)
    return rp.objectives.Terms(-error, -error)


def autoencoder(spec: rp.DataSpec) -> rp.Recipe:
    """Return an autoencoder that draws nothing, so that any number of processes trains it alike."""
    return rp.variants.ae(spec, latent_dim=2, hidden=[5], dropout=0.0)


def trained_alike(devices: int, **options: Any) -> dict[str, rp.Run]:
    """Return runs that draw nothing, by name, on a number of processes."""
    how = {"devices": devices, "device": "cpu", "precision": "float32", "progress": False}
    how |= {"lr": 0.01, "log_every": 3, "seed": 1, **options}
    fit: Callable[..., rp.Run] = partial(rp.fit, **how)
    loader = DataLoader(TensorDataset(rows()), batch_size=16, shuffle=True, collate_fn=stacked)
    return {
        # The last batch of 3 has a share of one example on 2 processes, and the batches of 13 have
        # shares of two sizes.
        "shares": fit(autoencoder, rows(), batch_size=13, steps=12),
        "average": fit(autoencoder, rows(), batch_size=16, steps=6, ema=0.9, optimizer="muon"),
        "loader": fit(autoencoder, loader, steps=9),
    }


def stacked(items: list[tuple[Tensor]]) -> Tensor:
    """Return the rows of a loader as one tensor."""
    return torch.stack([item[0] for item in items])


def write_trained(folder: Path) -> None:
    """Train on two processes, and write the weights and the last row of each run."""
    for name, run in trained_alike(2).items():
        last = torch.tensor([run.rows[-1]["loss"], run.rows[-1]["reconstruction"]])
        if run.is_main:
            torch.save((weights(run), last), folder / name)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    in_processes(2, f"{HERE}:write_trained", tmp_path)
    for name, run in trained_alike(1).items():
        found, last = torch.load(tmp_path / name)
        expected = weights(run)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=f"{name} {key}")
        assert last.tolist() == pytest.approx(
            [run.rows[-1]["loss"], run.rows[-1]["reconstruction"]], rel=1e-4
        )


# Each takes seconds on one process, and every one has another way to depend on all examples.
FEATURES: dict[str, dict[str, Any]] = {
    "players": {"model": rp.variants.factor_vae, "steps": 4},
    "player-and-prior": {"model": rp.variants.wae, "steps": 4},
    "milestone-of-a-prior": {"model": rp.variants.vamp_vae, "steps": 4},
    "milestone-within": {"model": rp.variants.cluster_vae, "steps": 4},
    "held-out": {"model": rp.variants.vae, "steps": 40, "early_stopping": "held-out"},
    "budget": {"model": rp.variants.vae, "budget": 0.5},
    "search": {"model": rp.variants.vae, "steps": 20, "latent_dim": "auto", "beta": "auto"},
    "range-test": {"model": rp.variants.vae, "steps": 2100, "hidden": [2], "epochs": None},
    "own-module": {"model": Normed(), "objective": squared_error, "steps": 4},
}


def write_features(folder: Path) -> None:
    """Train every feature on two processes, and write what each process has at the end."""
    for name, options in FEATURES.items():
        model = options.pop("model")
        if "hidden" in options:
            model = partial(model, hidden=options.pop("hidden"))
        out = folder / f"run-{name}"
        how: dict[str, Any] = {"devices": 2, "device": "cpu", "progress": False, "out": out}
        run = rp.fit(model, rows(n_columns=4), **how, **options)
        state = {key: value.double().sum().item() for key, value in weights(run).items()}
        steps = [row["step"] for row in run.rows]
        found: dict[str, Any] = {"weights": state, "steps": steps, "lr": run.config["lr"]}
        found |= {"latent_dim": run.config.get("latent_dim"), "is_main": run.is_main}
        (folder / f"{name}-{int(not is_first())}.json").write_text(json.dumps(found))


@pytest.mark.slow
def test_what_one_process_can_two_can(tmp_path: Path) -> None:
    in_processes(2, f"{HERE}:write_features", tmp_path)
    for name in FEATURES:
        one, two = (json.loads((tmp_path / f"{name}-{i}.json").read_text()) for i in (0, 1))
        assert (one.pop("is_main"), two.pop("is_main")) == (True, False)
        assert one == two, name
        config = yaml.safe_load((tmp_path / f"run-{name}" / "config.yaml").read_text())
        assert config["devices"] == 2


class Writes(Callback):
    """Write the first entries of the rows of every step, and interrupt the run after one of them.

    Arguments:
        folder: The folder of the files, one for each step and process.
        last: The step to interrupt the run after; None for none.
    """

    every_step = True

    def __init__(self, folder: Path, last: int | None) -> None:
        self.folder, self.last = folder, last

    def on_step(self, event: Event) -> None:
        """Write the rows."""
        assert event.batch is not None
        seen = event.batch.x[:, 0] if event.batch.weight else event.batch.x[:0, 0]
        np.save(self.path(event.step), seen.numpy())

    def on_log(self, event: Event) -> None:
        """Interrupt the run, whose last checkpoint is that of the step before."""
        if event.step == self.last:
            self.path(event.step).unlink()  # the step is taken again
            raise Stop

    def path(self, step: int) -> Path:
        """Return the file of a step of this process."""
        ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID"))
        return self.folder / f"{step:03d}-{next(filter(None, ranks), 0)}.npy"


def train_on(folder: Path, devices: int, last: int | None) -> rp.Run | None:
    """Train an autoencoder in a folder, or go on there, up to a step; the run if it is finished."""
    how: dict[str, Any] = {"epochs": 3, "batch_size": 13, "lr": 0.01, "log_every": 1}
    how |= {"device": "cpu", "precision": "float32", "progress": False, "checkpoint_every": 0}
    how |= {"devices": devices, "out": folder / "run", "resume": True}
    try:
        return rp.fit(autoencoder, rows(), callbacks=[Writes(folder, last)], **how)
    except Stop:
        return None


def begin_on_two(folder: Path) -> None:
    """Take 7 steps on two processes."""
    assert train_on(folder, 2, 7) is None


def end_on_three(folder: Path) -> None:
    """Take the last steps on three processes."""
    assert train_on(folder, 3, None) is not None


@pytest.mark.slow
def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    expected = train_on(tmp_path / "alone", 1, None)
    in_processes(2, f"{HERE}:begin_on_two", tmp_path)
    assert train_on(tmp_path, 1, 11) is None
    in_processes(3, f"{HERE}:end_on_three", tmp_path, variables=of_srun)
    # Five batches of 13 rows and one of 2, three times.
    for step in range(1, 19):
        one = np.load(tmp_path / "alone" / f"{step:03d}-0.npy")
        parts = [np.load(path) for path in sorted(tmp_path.glob(f"{step:03d}-*.npy"))]
        assert len(parts) == (2 if step < 7 else 1 if step < 11 else 3)
        assert sorted(np.concatenate(parts)) == sorted(one), step
    found = rp.load(tmp_path / "run")
    assert [row["step"] for row in found.rows if row["split"] == "train"] == [*range(1, 19)]
    for key, value in weights(expected).items():
        torch.testing.assert_close(weights(found)[key], value, rtol=1e-4, atol=1e-5)


def table(n: int) -> pd.DataFrame:
    """Return a table some of whose cells are missing."""
    x = rows(n)
    lacking = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.2
    return pd.DataFrame(x.masked_fill(lacking, torch.nan).numpy(), columns=list("abcd"))


def measured(run: rp.Run, devices: int) -> dict[str, Any]:
    """Return what a run says of rows, some of which lack values, on a number of processes."""
    # More rows than one chunk of each method.
    x = table(1300)
    imputation = run.impute(x[:200], n_draws=2, devices=devices)
    evaluation = run.evaluate(x[:300], n_samples=300, devices=devices)
    return {
        "codes": run.encode(x, devices=devices),
        "scores": run.log_likelihood(x, n_samples=5, devices=devices),
        "conditionals": run.log_conditionals(x, n_samples=5, devices=devices),
        **{k: v for k, v in vars(imputation).items() if isinstance(v, Tensor)},
        **{f"each {name}": value for name, value in evaluation.per_example.items()},
        "figures": evaluation.to_dict(),
    }


def write_measured(folder: Path) -> None:
    """Measure on two processes, from Python and from the command line."""
    run = rp.load(folder / "run")
    found = measured(run, 2)
    if run.is_main:
        torch.save(found, folder / "measured")
    said = reparam("encode", folder / "run", "--data", folder / "x.csv", "--devices 2")
    (folder / f"said-{int(not run.is_main)}").write_text(said.out + said.err)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = rp.fit(rp.variants.vae, table(N), steps=5, lr=0.01, progress=False, out=out)
    table(1300).to_csv(tmp_path / "x.csv", index=False)
    in_processes(2, f"{HERE}:write_measured", tmp_path)
    expected, found = measured(run, 1), torch.load(tmp_path / "measured")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name == "figures":
            assert found[name] == value
        else:
            torch.testing.assert_close(found[name], value, equal_nan=True, msg=name)
    codes = np.load(out / "codes.npy")
    assert codes == pytest.approx(expected["codes"].numpy(), abs=1e-6)
    # One process prints the name of the file.
    assert (tmp_path / "said-0").read_text().strip() == str(out / "codes.npy")
    assert (tmp_path / "said-1").read_text() == ""


def killed(folder: Path) -> None:
    """Train on two processes, one of which is killed after ten steps."""

    def kill(event: Event) -> None:
        if event.kind == "log" and event.step == 10 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)

    how: dict[str, Any] = {"lr": 0.01, "log_every": 1, "checkpoint_every": 0, "device": "cpu"}
    how |= {"devices": 2, "out": folder / "run", "progress": False, "callbacks": [kill]}
    try:
        rp.fit(rp.variants.vae, rows(), steps=100_000, early_stopping=0, **how)
    except LostError as error:
        (folder / "said").write_text(str(error))


@pytest.mark.slow
def test_a_killed_process_ends_the_others(tmp_path: Path) -> None:
    # Within the time of this call, of which a minute is the most that they wait.
    with pytest.raises(AssertionError):
        in_processes(2, f"{HERE}:killed", tmp_path, timeout=90)
    out = tmp_path / "run"
    advice = f"go on with fit(..., out='{out}', resume=True)"
    said = (tmp_path / "said").read_text()
    assert said == f"another process of this run has ended; {advice}"
    checkpoint = load_checkpoint(out / "checkpoints", print)
    assert checkpoint is not None
    assert checkpoint.step in (9, 10)
