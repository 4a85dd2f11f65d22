"""The examples: they run, and the VAE in a single file is that of the library."""

import ast
import re
import runpy
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import reparam as rp
from tests.support import ROOT, quick_fit

FOLDER = ROOT / "examples"
SINGLE = FOLDER / "single_file_vae.py"


def load(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(FOLDER / f"{name}.py")))


def run(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *words: str,
) -> dict[str, float]:
    """Run an example as a command, and return the test figures that it prints, by their names."""
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    found = re.findall(r"^(.*\btest\b.*?):? (-?[\d.]+)(?: ± [\d.]+)? nats$", said, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_single_file_has_150_lines_and_imports_nothing_of_ours() -> None:
    text = SINGLE.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported - sys.stdlib_module_names == {"numpy", "sklearn", "torch"}


def test_single_file_reaches_the_elbo_of_the_library() -> None:
    """With the same digits, network and epochs: within what other seeds change."""
    single = load("single_file_vae")
    data = rp.data.load("digits", binarize="threshold", validation=0)
    x, test = (data.examples(split).x.flatten(1) for split in ("train", "test"))
    # The file has the same images, in the order of scikit-learn.
    pixels = torch.cat(single.load_digits())
    assert torch.equal(torch.cat([x, test]).sum(0), pixels.sum(0))
    elbos: dict[str, list[float]] = {"single": [], "library": []}
    for seed in range(3):
        torch.manual_seed(seed)
        model = single.VAE(64)
        single.train(model, x, epochs=10)
        elbos["single"].append(float(single.evaluate(model, test, n_samples=20)[0].mean()))
        torch.manual_seed(seed)
        recipe = rp.variants.vae(data.spec)
        trained = quick_fit(recipe, data, epochs=10, seed=seed)
        found = trained.evaluate(data.examples("test"), n_samples=20, device="cpu").to_dict()
        elbos["library"].append(found["elbo"])
    means, stds = zip(*((np.mean(v), np.std(v, ddof=1)) for v in elbos.values()), strict=True)
    # Four standard errors of a difference of two means over three seeds.
    assert abs(means[0] - means[1]) < 4 * max(0.05, float(np.hypot(*stds))) / 3**0.5


def test_single_file_computes_the_elbo_and_the_likelihood_of_the_library() -> None:
    """With the same weights, on the same images."""
    single = load("single_file_vae")
    torch.manual_seed(0)
    model = single.VAE(64, latent_dim=3, hidden=8)
    spec = rp.DataSpec((64,), "binary")
    ours = rp.variants.vae(spec, latent_dim=3, hidden=(8,)).model
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), model.parameters(), strict=True):
            mine.copy_(other)
    x = torch.rand(10, 64).round()
    n = 2000
    elbo, log_likelihood = single.evaluate(model, x, n_samples=n)
    found = rp.evaluation.evaluate(ours, rp.Batch(x), spec, n_samples=n).to_dict()
    assert float(elbo.mean()) == pytest.approx(found["elbo"], abs=0.05)
    assert float(log_likelihood.mean()) == pytest.approx(found["log_likelihood"], abs=0.05)


def test_single_file_runs_on_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        pixels = random.integers(0, 256, (40, 28, 28), dtype=np.uint8)
        header = struct.pack(">IIII", 0x803, 40, 28, 28)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
    words = ["--mnist", str(tmp_path), "--epochs", "1"]
    found = run("single_file_vae", monkeypatch, capsys, *words)
    assert found["test ELBO"] <= found["test log-likelihood"] < 0


def test_own_loops_train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("own_loop", monkeypatch, capsys, "--epochs", "10")
    # Independent pixels, the best model without latent variables, have 26 nats.
    assert found["plain loop: test ELBO"] > -24
    assert found["loop of steps: test ELBO"] > -24


def test_own_likelihood_trains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("own_likelihood", monkeypatch, capsys, "--epochs", "15")
    assert found["Student-t: test log-likelihood"] > found["Gaussian: test log-likelihood"]


def test_own_likelihood_is_a_density() -> None:
    """Its mass over a line is one, whatever the features are."""
    family = load("own_likelihood").StudentT(1).attach((3,))
    with torch.no_grad():
        p = family(torch.randn(4, 3))
        x = torch.linspace(-200, 200, 40_001)[:, None, None]
        mass = torch.trapezoid(p.log_prob(x).exp(), x[:, 0], dim=0)
    torch.testing.assert_close(mass, torch.ones(4), atol=1e-3, rtol=0)
