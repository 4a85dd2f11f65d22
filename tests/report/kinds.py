"""Runs of many kinds, trained for a few steps, with their pages, and a browser."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import reparam as rp
from reparam.report import Report, report

QUICK: dict[str, Any] = {"steps": 30, "early_stopping": 0, "progress": False, "lr": 0.003}

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs chromium")

variants, data = rp.variants, rp.data


def rng() -> np.random.Generator:
    """Return a generator, so that a kind does not depend on those before it."""
    return np.random.default_rng(0)


def mixed_rows(n: int = 300) -> pd.DataFrame:
    """Return rows of several kinds, with missing values, heavy tails, zeros and a date."""
    random = rng()
    rows = pd.DataFrame({"age": random.integers(20, 60, n), "pay": random.gamma(0.5, 9e4, n)})
    rows["sex"] = np.where(random.random(n) < 0.5, "F", "M")
    rows["gain"] = np.where(random.random(n) < 0.6, 0, random.integers(1, 5000, n))
    rows["born"] = pd.Timestamp("1990-01-01") + pd.to_timedelta(random.integers(0, 9000, n), "D")
    rows.loc[::7, "pay"] = np.nan
    return rows


def heaped_rows(n: int = 1000) -> pd.DataFrame:
    """Return rows with two columns of frequent values, and a smooth one."""
    random = rng()
    weight = random.normal(75, 12, n).round()
    hours = np.where(random.random(n) < 0.4, random.integers(1, 99, n), 40)
    rows = pd.DataFrame({"weight": weight, "sex": random.choice(["F", "M"], n), "hours": hours})
    rows["pay"] = np.where(random.random(n) < 0.5, random.choice([0, 950, 1200], n), 20 * weight)
    return rows


def images(side: int, channels: int = 1, n: int = 60) -> np.ndarray:
    """Return smooth images as bytes."""
    at = np.arange(side) / side
    phases = rng().random((n, channels, 2, 1))
    waves = np.sin(2 * np.pi * (at + phases[:, :, :1])) * np.cos(6 * (at + phases[:, :, 1:]))
    both = waves[..., None, :].repeat(side, -2) * at[:, None]
    return np.round(127 + 120 * both.reshape(n, channels, side, side)).astype(np.uint8)


def holed() -> pd.DataFrame:
    """Return numbers of which two columns lack values."""
    rows = pd.DataFrame(rng().normal(size=(200, 3)), columns=["a", "b", "c"])
    rows.loc[::5, "b"] = rows.loc[::3, "c"] = np.nan
    return rows


def digits(**options: Any) -> rp.data.Dataset:
    """Return 1,797 digits of 8 × 8 pixels."""
    return data.load("digits", **options)


def count_data() -> rp.data.Dataset:
    """Return counts of six entries, whose names are letters."""
    x = pd.DataFrame(rng().poisson(3.0, (200, 6)), columns=list("abcdef"))
    return data.from_arrays(x, support="counts")


def covariate_data() -> rp.data.Dataset:
    """Return numbers beside an age and a class."""
    random = rng()
    c = pd.DataFrame({"age": random.normal(50, 20, 200), "sex": random.choice(["F", "M"], 200)})
    rows = data.from_arrays(random.normal(size=(200, 3)), covariates=c)
    return rows.conditioned("covariates")


KINDS: dict[str, Callable[[], rp.Run]] = {
    "images": lambda: rp.fit(variants.vae, digits(), **QUICK),
    "grey": lambda: rp.fit(variants.vae, digits(binarize="none"), **QUICK),
    "two": lambda: rp.fit(variants.vae, digits(), latent_dim=2, **QUICK),
    "convolutions": lambda: rp.fit(
        lambda spec: variants.conv_vae(spec, channels=(8, 8)), digits(), **QUICK
    ),
    "condition": lambda: rp.fit(variants.cvae, digits().conditioned("label"), **QUICK),
    "codes": lambda: rp.fit(lambda s: variants.vq_vae(s, n_codes=16), digits(), **QUICK),
    "autoencoder": lambda: rp.fit(variants.ae, digits(), **QUICK),
    "hierarchy": lambda: rp.fit(variants.ladder_vae, digits(), **QUICK),
    "numbers": lambda: rp.fit(variants.vae, rng().normal(size=(300, 4)), **QUICK),
    "mixed": lambda: rp.fit(variants.vae, mixed_rows(), **QUICK),
    "one whole column": lambda: rp.fit(variants.vae, holed(), **QUICK),
    "covariates": lambda: rp.fit(variants.cvae, covariate_data(), **QUICK),
    "counts": lambda: rp.fit(variants.vae, count_data(), **QUICK),
}


@cache
def fitted(kind: str) -> rp.Run:
    """Return the run of a kind, which is trained once."""
    return KINDS[kind]()


@cache
def reported(kind: str) -> Report:
    """Return the report on the run of a kind, which is made once."""
    return report(fitted(kind), n_samples=5)


def browser() -> Any:
    """Return a headless browser whose console is kept."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for one in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    show_as(driver, 1280)
    return driver


def show_as(driver: Any, width: int, *, dark: bool = False) -> None:
    """Give the window of a browser a width, and a color scheme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def decoder_script() -> str:
    """Return the scripts that compute a decoder."""
    folder = Path(rp.report.__file__).parent / "static"
    names = ("decoder.js", "likelihoods.js")
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
