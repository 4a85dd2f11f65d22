"""Runs that are served in these tests, and clients of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

import reparam as rp
from reparam.serving import application
from tests.support import quick_fit

HOST = "http://127.0.0.1"


def people(n: int = 120) -> pd.DataFrame:
    """Return a table with a number, a count, a class and a date, and missing values."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "height": rng.normal(1.7, 0.1, n).round(2),
            "children": rng.poisson(2, n),
            "sex": rng.choice(["F", "M"], n),
            "born": pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 9999, n), "D"),
        }
    )
    rows.loc[::5, "height"] = np.nan
    rows.loc[::7, "sex"] = None
    return rows


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, rp.Run]:
    """Train a run on images, on a table, under a condition, and on text."""
    rng = np.random.default_rng(1)
    small: dict[str, Any] = {"latent_dim": 2, "hidden": [8]}
    digits = rp.data.load("digits")
    x = rng.normal(size=(100, 3)).astype("float32")
    given = rp.data.from_arrays(
        x,
        y=np.arange(100) % 2,
        covariates={"age": rng.normal(size=100), "sex": rng.choice(["F", "M"], 100)},
        condition="label+covariates",
    )
    given = replace(given, class_names=("cat", "dog"))
    place = tmp_path_factory.mktemp("text") / "letters.txt"
    place.write_text("".join(rng.choice([*"abcde"], 900)))
    text = rp.data.read(place, window=6)
    steps: dict[str, Any] = {"epochs": None, "steps": 20, "lr": 1e-3}
    return {
        "digits": quick_fit(rp.variants.vae(digits.spec, **small), digits, **steps),
        "people": quick_fit(rp.variants.vae, people(), latent_dim=2, **steps),
        "given": quick_fit(rp.variants.cvae(given.spec, **small), given, **steps),
        "text": quick_fit(rp.variants.text_vae(text.spec, latent_dim=2), text, **steps),
    }


@pytest.fixture
def client(runs: dict[str, rp.Run]) -> Iterator[TestClient]:
    """Serve the runs without a key."""
    with TestClient(application(runs), base_url=HOST) as found:
        yield found
