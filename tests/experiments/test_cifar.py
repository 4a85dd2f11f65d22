"""The ledger's entries on color images: the closed form beside them, and that they run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import Normal

import reparam as rp
from experiments import cifar10_ladder
from experiments.cifar10_ladder import LIKELIHOODS, RUNGS, linear_optimum
from experiments.ledger.options import Options
from experiments.ledger.registry import get
from experiments.ledger.run import reproduce
from reparam.data import Dataset, Pixels, Split
from reparam.errors import OptionError
from reparam.families import likelihood
from reparam.spec import DataSpec


def few_colors(n: int = 12) -> Dataset:
    """Return smooth images of noise in the shape of CIFAR-10."""
    rng = torch.Generator().manual_seed(0)
    small = torch.rand(n, 3, 4, 4, generator=rng)
    large = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear")
    split = Split((255 * large).to(torch.uint8), torch.arange(n) % 10)
    spec = DataSpec((3, 32, 32), "unit", n_classes=10, levels=256, name="cifar10")
    return Dataset("cifar10", spec, {"train": split, "test": split}, Pixels(256))


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def load(name: str, **options: object) -> Dataset:
        asked.append(options)
        assert name == "cifar10"
        # Of noise on the levels no mass could be told, and every training image counts.
        assert options["dequantize"] is False
        assert options["validation"] == 0
        return few_colors()

    monkeypatch.setattr(rp.data, "load", load)


def test_the_linear_optimum_is_a_gaussian_of_that_covariance() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5)) * np.array([3.0, 2.0, 0.5, 0.2, 0.1])
    x = rng.normal(size=(400, 5)) @ mixing.T + 1.0
    found, n_axes = linear_optimum(torch.from_numpy(x), torch.from_numpy(x[:20]), 0.5)
    spectrum, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    covariance = (axes * np.maximum(spectrum, 0.5)) @ axes.T
    expected = multivariate_normal(x.mean(0), covariance).logpdf(x[:20])
    np.testing.assert_allclose(found, expected)
    assert n_axes == (spectrum > 0.5).sum()


def test_no_linear_model_of_that_noise_does_better() -> None:
    """Other covariances W Wᵀ + ½ I score less on the examples that the optimum is made of."""
    torch.manual_seed(0)
    x = torch.randn(300, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64)
    best = float(linear_optimum(x, x)[0].mean())
    for _ in range(20):
        w = 2 * torch.randn(4, 3, dtype=torch.float64)
        covariance = w @ w.T + 0.5 * torch.eye(4, dtype=torch.float64)
        p = torch.distributions.MultivariateNormal(x.mean(0), covariance)
        assert float(p.log_prob(x).mean()) < best


def test_squared_error_is_the_documents_loss_less_a_constant() -> None:
    spec = DataSpec((3, 4, 4), "unit", levels=256)
    family = likelihood(spec, "squared-error")
    middle, x = torch.rand(5, 3, 4, 4), torch.rand(5, 3, 4, 4)
    p = family.distribution(middle.unsqueeze(1))
    expected = Normal(0.0, 1.0).log_prob(torch.tensor(0.0)) * 48 + 24 * np.log(2)
    squares = (x - middle).square().sum((1, 2, 3))
    torch.testing.assert_close(p.log_prob(x), expected - squares)


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize(
    "name", [pytest.param("cifar10-ladder", marks=pytest.mark.slow), "cifar10-mixture"]
)
def test_entry_runs_small(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A dense rung, a convolutional one and two likelihoods; the closed form takes seconds.
    rungs, likelihoods = RUNGS[::3], LIKELIHOODS[1:]
    monkeypatch.setattr(cifar10_ladder, "RUNGS", rungs)
    monkeypatch.setattr(cifar10_ladder, "LIKELIHOODS", likelihoods)
    monkeypatch.setattr(cifar10_ladder, "linear_optimum", lambda *_: (torch.zeros(9), 3))
    options = Options(epochs=1, n_samples=2, progress=False, device="cpu", runs=tmp_path / "runs")
    result = reproduce(name, options, out=tmp_path / "found.json")
    assert result.met is False  # one epoch on a few images of noise
    for file in result.figures:
        assert (tmp_path / file).stat().st_size > 1000
    by_bits = [row for row in result.rows if row.unit == "bits/dim" and row.stderr]
    assert by_bits
    assert all(row.ours is not None and 0 < row.ours < 30 for row in by_bits)
    if name == "cifar10-ladder":
        keys = {rung.key for rung in (*rungs, *likelihoods)}
        shown = {f"found-{key}-{kind}.png" for key in keys for kind in ("latents", "pictures")}
        assert set(result.figures) == shown | {"found-losses.png"}
        reloaded = rp.load(tmp_path / "runs" / "cifar10-ladder-conv")
        assert reloaded.config["norm"] == "batch"


def test_the_long_run_is_asked_for_where_there_is_one() -> None:
    assert get("cifar10-ladder").full_epochs > get("cifar10-ladder").epochs
    with pytest.raises(OptionError, match="'table-4-1' has no long run"):
        reproduce("table-4-1", Options(full=True, progress=False))
