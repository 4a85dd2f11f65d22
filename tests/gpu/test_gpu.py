"""Training on a GPU: the figures are those of the CPU, and whole steps are graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris

import reparam as rp
from reparam import estimators
from reparam.data import Batches, Dataset
from reparam.errors import SupportError
from reparam.estimators.base import Estimator
from reparam.training.capture import waits
from reparam.variants import names
from tests.training.test_capture import CASES, agrees_with_plain_steps

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU is shown to the tests: make test-gpu"
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return rp.data.load("digits")


@pytest.mark.parametrize("case", CASES)
def test_a_graph_is_the_plain_step(digits: Dataset, case: str) -> None:
    agrees_with_plain_steps(digits, case, "cuda")


@pytest.mark.parametrize("name", names())
def test_variants_have_the_figures_of_plain_steps(digits: Dataset, name: str) -> None:
    """The order of the sums of a GPU is not fixed, so that figures are compared, not weights."""

    def loss(capture: bool) -> float:
        rows: list[dict[str, Any]] = []
        rp.fit(
            rp.variants.get(name).builder,
            digits,
            epochs=3,
            batch_size=128,
            log_every=11,  # the steps of an epoch
            device="cuda",
            capture=capture,
            progress=False,
            callbacks=[lambda event: rows.append(dict(event.row))],
        )
        return float([row for row in rows if "loss" in row][-1]["loss"])

    try:
        plain = loss(False)
    except SupportError:
        pytest.skip(f"{name!r} takes no images")
    assert loss(True) == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize("prior", [None, "flow", "mixture", "diffusion"])
def test_a_run_has_the_same_figures_on_the_cpu(digits: Dataset, prior: Any, tmp_path: Path) -> None:
    run = rp.fit(
        rp.variants.vae, digits, latent_dim=2, steps=60, device="cuda", out=tmp_path / "run"
    )
    if prior is not None:
        run = run.with_prior(prior, steps=60, out=tmp_path / "prior")
    assert run.device.type == "cuda"
    assert run.folder is not None
    there, here = run.evaluate(n_samples=20), rp.load(run.folder.path).evaluate(n_samples=20)
    assert there.elbo == pytest.approx(here.elbo, abs=0.2)
    assert there.log_likelihood == pytest.approx(here.log_likelihood, abs=0.2)
    assert run.sample(3).device.type == run.encode().device.type == "cpu"


def test_a_run_goes_on_as_if_it_had_not_stopped(digits: Dataset, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: rp.training.Event) -> None:
        if event.kind == "epoch" and event.row["epoch"] == 1:
            raise Stop

    def fit(**options: Any) -> rp.Run:
        return rp.fit(
            rp.variants.vae, digits, epochs=4, checkpoint_every=0, device="cuda", **options
        )

    whole = fit()
    with pytest.raises(Stop):
        fit(out=tmp_path / "run", callbacks=[stop])
    again = fit(out=tmp_path / "run", resume=True)
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[key], value, msg=key)


def test_a_table_with_missing_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pd.DataFrame({"x": x, "y": 2 * x + rng.normal(size=400), "sign": np.sign(x) > 0})
    frame.loc[::7, "y"] = np.nan
    run = rp.fit(rp.variants.vae, frame, steps=100, device="cuda", out=tmp_path / "run")
    rows = run.sample(5)
    assert list(run.to_table(rows, like=frame)) == ["x", "y", "sign"]
    assert run.impute(frame).x.shape == (400, 3)
    assert bool((run.sample_given({"sign": True}, 9)[:, 2] == 1).all())


@pytest.mark.parametrize(
    "estimator",
    [
        estimators.VAE(steps=50),
        estimators.VAEOutlier(steps=50),
        estimators.VAECluster(3, steps=50),
        estimators.VAEClassifier(steps=50),
        estimators.VAEImputer(steps=50),
        estimators.VAESampler(steps=50),
    ],
    ids=lambda each: type(each).__name__,
)
def test_estimators_return_arrays(estimator: Estimator) -> None:
    x, y = load_iris(return_X_y=True)
    fitted = estimator.set_params(device="cuda", random_state=0).fit(x, y)
    asked = ("transform", "predict", "predict_proba", "score_samples", "decision_function")
    for name in asked:
        if hasattr(fitted, name):
            assert isinstance(getattr(fitted, name)(x), np.ndarray), name
    if hasattr(fitted, "sample"):
        assert isinstance(fitted.sample(3), np.ndarray)


def test_batches_do_not_wait_for_the_device(digits: Dataset) -> None:
    batches = Batches(digits.split("train"), digits.transform, 100, torch.device("cuda"))
    epoch = batches.epoch(0)
    next(epoch)
    with waits(torch.device("cuda")) as waited:
        assert all(batch.x.is_cuda for batch in epoch)
    assert waited == []
