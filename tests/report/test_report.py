"""Reports on runs of every kind: self-contained, escaped, and right in a browser."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

import reparam as rp
from reparam.errors import OptionError
from reparam.report import report
from reparam.report.decoder import PlainDecoder, plain_decoder
from reparam.report.rows import _correlation
from tests.support import reparam

QUICK = {"steps": 30, "early_stopping": 0, "progress": False, "lr": 0.003}
RNG = np.random.default_rng(0)

MB = 1e6


def fitted(kind: str) -> rp.Run:
    """Return a run of a kind, trained for a few steps."""
    variants, data = rp.variants, rp.data
    match kind:
        case "images":
            return rp.fit(variants.vae, data.load("digits"), **QUICK)
        case "grey":
            return rp.fit(variants.vae, data.load("digits", binarize="none"), **QUICK)
        case "two":
            return rp.fit(variants.vae, data.load("digits"), latent_dim=2, **QUICK)
        case "convolutions":
            digits = data.load("digits")
            return rp.fit(lambda spec: variants.conv_vae(spec, channels=(8, 8)), digits, **QUICK)
        case "condition":
            return rp.fit(variants.cvae, data.load("digits").conditioned("label"), **QUICK)
        case "codes":
            return rp.fit(lambda s: variants.vq_vae(s, n_codes=16), data.load("digits"), **QUICK)
        case "autoencoder":
            return rp.fit(variants.ae, data.load("digits"), **QUICK)
        case "numbers":
            return rp.fit(variants.vae, RNG.normal(size=(300, 4)), **QUICK)
        case "mixed":
            rows = pd.DataFrame({"age": RNG.integers(20, 60, 300), "pay": RNG.gamma(2, 9, 300)})
            rows["sex"] = np.where(RNG.random(300) < 0.5, "F", "M")
            rows.loc[::7, "pay"] = np.nan
            return rp.fit(variants.vae, rows, **QUICK)
        case "one whole column":
            rows = pd.DataFrame(RNG.normal(size=(200, 3)), columns=["a", "b", "c"])
            rows.loc[::5, "b"] = rows.loc[::3, "c"] = np.nan
            return rp.fit(variants.vae, rows, **QUICK)
        case "covariates":
            c = RNG.normal(size=(200, 2))
            rows = data.from_arrays(RNG.normal(size=(200, 3)), covariates=c)
            return rp.fit(variants.cvae, rows.conditioned("covariates"), **QUICK)
        case "counts":
            x = RNG.poisson(3.0, (200, 6))
            return rp.fit(variants.vae, data.from_arrays(x, support="counts"), **QUICK)
        case _:
            raise AssertionError(kind)


EXPECTED = {
    "images": {"samples", "reconstructions", "map", "interpolations", "traversals", "memory"},
    "grey": {"samples", "reconstructions", "map", "interpolations", "traversals", "memory"},
    "two": {"samples", "map", "dimensions"},
    "convolutions": {"samples", "map", "traversals"},
    "condition": {"samples", "reconstructions", "map"},
    "codes": {"samples"},
    "autoencoder": {"reconstructions", "map"},
    "numbers": {"columns", "correlations", "map"},
    "mixed": {"columns", "correlations", "map"},
    "one whole column": {"columns", "correlations", "map"},
    "covariates": {"columns", "correlations", "map"},
    "counts": {"counts", "map"},
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_page_needs_nothing_else_and_has_its_parts(kind: str) -> None:
    page = report(fitted(kind), n_samples=5).html
    assert len(page) < 6 * MB
    found = set(re.findall(r'<section id="([a-z]+)-1"', page))
    assert found >= EXPECTED[kind] | {"overview", "figures", "curves", "doctor"}
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith(("data:", "#"))
    assert not re.search(r"url\(\s*['\"]?http|@import|fetch\(|XMLHttpRequest", page)
    assert "could not be made" not in page


def test_correlations_are_those_of_scipy_over_rows_with_both_values() -> None:
    x = RNG.normal(size=(50, 3))
    x[:, 1] += x[:, 0]
    x[::4, 1], x[:, 2] = np.nan, 1.0
    found = _correlation(x)
    there = ~np.isnan(x[:, 1])
    assert found[0, 1] == pytest.approx(spearmanr(x[there, 0], x[there, 1]).statistic)
    assert np.isnan(found[2]).all()
    assert found[0, 0] == pytest.approx(1)


def test_names_are_escaped() -> None:
    name = "<script>alert(1)</script>"
    rows = pd.DataFrame({name: RNG.normal(size=100), "b": RNG.normal(size=100)})
    data = rp.data.from_arrays(rows, name=name)
    page = report(rp.fit(rp.variants.vae, data, **QUICK), n_samples=2).html
    assert "<script>alert" not in page


def test_several_runs_are_compared() -> None:
    found = report(fitted("images"), fitted("two"), n_samples=3)
    assert found.title == "2 runs"
    assert "All runs" in found.html
    assert 'id="samples-2"' in found.html
    assert found._repr_html_().startswith("<iframe srcdoc=")


def test_no_run_is_refused() -> None:
    with pytest.raises(OptionError, match="give one run or more"):
        report()


def test_the_command_line_writes_it_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rp.fit(rp.variants.vae, rp.data.load("digits"), out=folder, **QUICK)
    said = reparam("report", folder, "--n-samples 2").err
    assert f"wrote {folder / 'report.html'}" in said
    assert "<!doctype html>" in (folder / "report.html").read_text(encoding="utf-8")


def numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float16).astype(np.float64)


@pytest.mark.parametrize("kind", ["images", "grey", "two", "convolutions"])
def test_only_small_perceptrons_travel(kind: str) -> None:
    found = plain_decoder(fitted(kind).latent_model)
    assert (found is None) == (kind == "convolutions")


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def in_browser(page: Path) -> str:
    """Return the text of a page after its script ran in a browser."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    folder = f"--user-data-dir={page.parent / 'profile'}"
    found = subprocess.run(
        [str(BROWSER), *options, folder, "--dump-dom", page.as_uri()],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return found.stdout.decode()


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize("kind", ["images", "grey", "skip"])
def test_the_pixels_of_the_script_are_those_of_torch(kind: str, tmp_path: Path) -> None:
    if kind == "skip":
        data = rp.data.load("digits", binarize="none", dequantize=True)
        options = {"activation": "silu", "skip": True, "hidden": (32, 16)}
        run = rp.fit(lambda spec: rp.variants.vae(spec, **options), data, **QUICK)
    else:
        run = fitted(kind)
    found = plain_decoder(run.latent_model)
    assert isinstance(found, PlainDecoder)
    n_latents = len(found.layers[0][0][0])
    z = torch.randn(5, n_latents, generator=torch.Generator().manual_seed(0))
    expected = run.decode(z).flatten(1).clamp(0, 1)
    script = Path(rp.report.__file__).parent / "static" / "script.js"
    given = json.dumps({"decoder": found.to_dict(), "z": z.tolist()})
    page = tmp_path / "page.html"
    page.write_text(
        f"<pre id='out'></pre><script>{script.read_text(encoding='utf-8')}\n"
        f"const given = {given}; const decode = makeDecoder(given.decoder);\n"
        "document.getElementById('out').textContent = "
        "JSON.stringify(given.z.map((z) => Array.from(decode(z))));</script>",
        encoding="utf-8",
    )
    text = re.search(r"<pre id=.out.>(.*?)</pre>", in_browser(page), re.DOTALL)
    assert text is not None
    values: Any = json.loads(text[1])
    assert np.abs(np.array(values) - expected.double().numpy()).max() < 0.01


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_the_map_decodes_in_a_browser(tmp_path: Path) -> None:
    page = report(fitted("images"), n_samples=2).save(tmp_path / "page.html")
    assert "the nearest example of class" in in_browser(page)
