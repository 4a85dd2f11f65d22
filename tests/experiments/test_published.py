"""The ledger's entries on public figures of small networks: that they run, and on what."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import reparam as rp
from experiments import jaanli, vampprior_mlp, zuko_vae
from experiments.ledger.options import Options
from experiments.ledger.protocol import Protocol
from experiments.ledger.registry import get
from experiments.ledger.run import _protocol, reproduce
from experiments.vampprior_mlp import MODELS, NETWORKS
from experiments.zuko_vae import last_epoch
from reparam.data import Dataset, Pixels, Split
from reparam.runs.run import Run
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import write_mnist

NAMES = ("vampprior-mlp", "jaanli", "zuko-vae")


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write the four files of MNIST with few images of noise, and hold few of them out."""
    write_mnist(tmp_path / "data" / "mnist", 96, 96, zipped=False)
    monkeypatch.setattr(vampprior_mlp, "HELD_OUT", 16)
    monkeypatch.setattr(jaanli, "HELD_OUT", 16)
    # What is measured here are not the networks.
    monkeypatch.setattr(jaanli, "PUBLISHED", {512: -96.72, 8: -100.31})
    monkeypatch.setattr(zuko_vae, "NETWORKS", {**zuko_vae.NETWORKS, "hidden": (8, 8)})
    return str(tmp_path / "data")


@pytest.mark.parametrize("name", NAMES)
def test_entry_runs_small(name: str, data_dir: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "found.json"
    options = Options(data_dir=data_dir, epochs=1, n_samples=2, device="cpu", progress=False)
    result = reproduce(name, options, out=out)
    stored = json.loads(out.read_text())
    assert stored["met"] is False  # one epoch on a few images of noise
    assert all((out.parent / figure).stat().st_size > 1000 for figure in stored["figures"])
    assert all(
        row.ours is not None and row.ours < 0 for row in result.rows if "less" not in row.what
    )
    digests = stored["details"]["data_sha256"]
    digests = list(digests.values()) if isinstance(digests, dict) else [digests]
    assert all(len(digest) == 64 for digest in digests)
    assert any(row["seconds"] for row in stored["rows"])


def test_the_long_run_of_the_vamp_prior_has_both_draws_and_keeps_to_the_paper(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    trained = Protocol.train_variant

    def watched(*args: object, **options: object) -> Run:
        asked.append(options)
        return trained(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Protocol, "train_variant", watched)
    options = Options(
        data_dir=data_dir, epochs=2, n_samples=2, full=True, device="cpu", progress=False
    )
    result = reproduce("vampprior-mlp", options)
    assert len(asked) == 4
    for options_of in asked:
        training = options_of["training"]
        assert training == {
            "batch_size": 100,
            "lr": 5e-4,
            "lr_warmup": 0.0,
            "early_stopping": 50,
            "kl_warmup": 1.0,
        }
    targets = {row.what: row.target for row in result.rows if row.target is not None}
    assert targets["dynamic, vamp prior: log-likelihood"] == -82.38
    assert targets["static, vamp prior: log-likelihood"] == -85.57
    # Only what was read is printed as published.
    assert [row.what for row in result.rows if row.published is not None] == [
        "static, vamp prior: log-likelihood"
    ]
    digests = result.findings.details["data_sha256"]
    assert digests["dynamic"] != digests["static"]


def test_the_long_run_may_have_draws_of_its_own() -> None:
    asked = [Options(), Options(full=True), Options(full=True, n_samples=7)]
    entry = get("vampprior-mlp")
    assert [_protocol(entry, each).n_samples for each in asked] == [1000, 5000, 7]
    assert _protocol(get("jaanli"), Options(full=True)).n_samples == 1000


def test_the_three_ways_of_binarizing_are_three_data_sets(data_dir: str) -> None:
    protocol = Protocol(Options(data_dir=data_dir), 1, 2)
    found = {
        how: protocol.dataset("mnist", binarize=how, validation=16)
        for how in ("dynamic", "static", "threshold")
    }
    grey = rp.data.load("mnist", data_dir=data_dir, binarize="none", validation=16)
    p = grey.examples("test").x
    for data in found.values():
        assert data.support == "binary"
        assert len(data.split("train")) == 80
    assert torch.equal(found["threshold"].examples("test").x, (p > 0.5).float())
    # A draw of each pixel: Σ (x - p)² has the mean Σ p (1 - p) and a variance that is known.
    for how in ("dynamic", "static"):
        x = found[how].examples("test").x
        sums = float((x - p).square().sum()), float((p * (1 - p)).sum())
        spread = float((p * (1 - p) * (1 - 2 * p).square()).sum()) ** 0.5
        assert abs(sums[0] - sums[1]) < 4 * spread
    # Drawn once, the training images stay; drawn anew, each seed has its own.
    first, second = (found["static"].examples("train", seed=seed).x for seed in (0, 1))
    assert torch.equal(first, second)
    first, second = (found["dynamic"].examples("train", seed=seed).x for seed in (0, 1))
    assert not torch.equal(first, second)


def test_the_networks_are_those_of_the_sources() -> None:
    spec = DataSpec((1, 28, 28), "binary")

    def weights(name: str, **options: object) -> list[tuple[int, ...]]:
        model = build(name, spec, **options).model
        return [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)]

    variant, options = MODELS["vamp prior"]
    # Of each gated layer both linear maps at once.
    gated = [(600, 784), (600, 300), (80, 300), (600, 40), (600, 300), (784, 300)]
    assert weights(variant, **NETWORKS, **options) == gated
    assert weights("vae", hidden=(512, 512), latent_dim=128) == [
        *[(512, 784), (512, 512), (256, 512), (512, 128), (512, 512), (784, 512)]
    ]
    found = weights("flow-prior-vae", **zuko_vae.NETWORKS)
    assert found[:6] == [
        *[(1024, 784), (1024, 1024), (32, 1024), (1024, 16), (1024, 1024), (784, 1024)]
    ]
    assert found[6:] == 3 * [(256, 16), (256, 256), (32, 256)]


def test_a_flow_of_depth_is_a_density() -> None:
    """Its mass over a grid of two dimensions is one."""
    torch.manual_seed(0)
    options = {"latent_dim": 2, "hidden": (4,), "flow_width": 8, "flow_depth": 2}
    prior = build("flow-prior-vae", DataSpec((4,), "binary"), **options).model.prior.double()
    for parameter in prior.parameters():
        parameter.data.mul_(1.5)
    axis = torch.linspace(-9, 9, 181, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        log_prob = prior().log_prob(z)
    assert float(log_prob.exp().sum()) * 0.1**2 == pytest.approx(1.0, abs=1e-3)
    normal = stats.multivariate_normal(np.zeros(2)).logpdf(z.numpy())
    assert np.abs(log_prob.numpy() - normal).max() > 0.1


def test_the_last_epoch_is_the_mean_of_its_rows() -> None:
    spec = DataSpec((4,), "binary")
    rows = [
        {"split": "train", "step": step, "elbo": float(-step)} for step in (50, 100, 150, 200, 250)
    ]
    rows.insert(2, {"split": "validation", "step": 125, "elbo": 7.0})
    run = Run(nn.Linear(1, 1), spec, {}, rows=rows)
    assert last_epoch(run, epochs=2) == -200.0
    assert last_epoch(run, epochs=1) == -150.0


def test_steps_are_those_of_the_sources() -> None:
    """Full batches and one of the rest, over 50,000 images."""
    split = Split(torch.zeros(50_000, 1, 1, 1, dtype=torch.uint8))
    data = Dataset("x", DataSpec((1, 1, 1), "binary"), {"train": split}, Pixels(2))
    steps = -(-len(data.split("train")) // jaanli.RECIPE["batch_size"])
    assert 29_500 < steps * get("jaanli").epochs <= 30_000
    assert 64_500 < steps * get("jaanli").full_epochs <= 65_000
