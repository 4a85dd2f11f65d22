"""The page on exports: its code runs without this library and without torch."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reparam as rp
from reparam.variants import names
from tests.support import ROOT

PAGE = (ROOT / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
IMAGES, TABLE = re.findall(r"```python no-run\n(.*?)```", PAGE, re.DOTALL)

BEFORE = """
import sys
sys.modules["torch"] = sys.modules["reparam"] = None  # importing either is an error
"""


def _use(folder: Path, code: str, *found: str) -> dict[str, np.ndarray]:
    """Run the code beside the exported model, and return its variables of these names."""
    after = f"\nnp.savez('found.npz', {', '.join(f'{name}={name}' for name in found)})\n"
    (folder / "use.py").write_text(BEFORE + code + after, encoding="utf-8")
    subprocess.run([sys.executable, "use.py"], cwd=folder, check=True, timeout=120)
    return dict(np.load(folder / "found.npz"))


@pytest.mark.slow
def test_its_code_encodes_and_samples_as_the_run_does(tmp_path: Path) -> None:
    digits = rp.data.load("digits")
    run = rp.fit(rp.variants.vae, digits, latent_dim=4, steps=60, progress=False, early_stopping=0)
    run = run.with_prior("mixture", n_components=3, steps=5)
    run.export(tmp_path / "model")
    found = _use(tmp_path, IMAGES + "\nmean = p['mean']", "x", "codes", "z", "mean", "images")
    assert np.allclose(found["codes"], run.encode(found["x"]).numpy(), atol=1e-4)
    assert np.allclose(found["mean"], run.decode(found["z"]).numpy(), atol=1e-4)
    # Draws are on the levels, and their mean over codes is that of p(x | z) over the same codes.
    levels = found["images"] * 16
    assert np.array_equal(levels, levels.round())
    assert np.abs(found["images"].mean(0) - found["mean"].mean(0)).max() < 0.25
    assert np.abs(found["images"].mean() - found["mean"].mean()) < 0.02


@pytest.mark.slow
def test_its_code_encodes_a_row_of_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, 200)
    people = zip(rng.integers(18, 80, 200), rng.choice(["F", "M"], 200), days, strict=True)
    rows = [f"{age},{sex},{day}" for age, sex, day in people]
    (tmp_path / "people.csv").write_text("\n".join(["age,sex,joined", *rows]), encoding="utf-8")
    data = rp.data.read(tmp_path / "people.csv")
    run = rp.fit(rp.variants.vae, data, latent_dim=2, steps=60, progress=False, early_stopping=0)
    run.export(tmp_path / "model")
    # Of the code for images, what comes before the images.
    found = _use(tmp_path, IMAGES.partition("levels =")[0] + TABLE, "codes")
    (tmp_path / "row.csv").write_text("age,sex,joined\n40,F,2021-05-03\n", encoding="utf-8")
    row = run.encode(tmp_path / "row.csv", split="all").numpy()
    assert np.allclose(found["codes"], row, atol=1e-4)


def test_every_variant_that_it_names_exists() -> None:
    rows = re.findall(r"^\| (.*?) \|", PAGE.partition("## Other models")[2], re.MULTILINE)
    said = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert said <= set(names())
