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

BEFORE = """
import sys
sys.modules["torch"] = sys.modules["reparam"] = None  # importing either is an error
"""
AFTER = """
np.savez("found.npz", x=x, codes=codes, z=z, mean=p["mean"], images=images)
"""


@pytest.mark.slow
def test_its_code_encodes_and_samples_as_the_run_does(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python no-run\n(.*?)```", PAGE, re.DOTALL)
    digits = rp.data.load("digits")
    run = rp.fit(rp.variants.vae, digits, latent_dim=4, steps=60, progress=False, early_stopping=0)
    run = run.with_prior("mixture", n_components=3, steps=5)
    run.export(tmp_path / "model")
    (tmp_path / "use.py").write_text(BEFORE + code + AFTER, encoding="utf-8")
    subprocess.run([sys.executable, "use.py"], cwd=tmp_path, check=True, timeout=120)
    found = np.load(tmp_path / "found.npz")
    assert np.allclose(found["codes"], run.encode(found["x"]).numpy(), atol=1e-4)
    assert np.allclose(found["mean"], run.decode(found["z"]).numpy(), atol=1e-4)
    # Draws are on the levels, and their mean over codes is that of p(x | z) over the same codes.
    levels = found["images"] * 16
    assert np.array_equal(levels, levels.round())
    assert np.abs(found["images"].mean(0) - found["mean"].mean(0)).max() < 0.25
    assert np.abs(found["images"].mean() - found["mean"].mean()) < 0.02


def test_every_variant_that_it_names_exists() -> None:
    rows = re.findall(r"^\| (.*?) \|", PAGE.partition("## Other models")[2], re.MULTILINE)
    said = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert said <= set(names())
