"""Make the stored runs of today's format: ``python tests/formats/make.py`` in a clone.

Run it once when the format changes, after ``FORMAT`` of ``reparam.training.checkpoint`` has its new
number. What is stored is never made again: it stands for the folders that people have.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import reparam as rp
from reparam.hub.folder import without_places
from reparam.runs.folder import RunFolder
from reparam.training.checkpoint import FORMAT

HERE = Path(__file__).parent
N_SAMPLES = 20


def people(n: int = 150) -> pd.DataFrame:
    """Return a table with a quantity that lacks values, a count and a category."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"age": rng.integers(18, 90, n), "sex": rng.choice(["F", "M"], n)})
    rows["height"] = (1.6 + 0.12 * (rows["sex"] == "M") + 0.07 * rng.normal(size=n)).round(2)
    rows.loc[::7, "height"] = np.nan
    return rows


def main() -> None:
    """Train both runs, and keep what a run folder needs."""
    place = HERE / str(FORMAT)
    if place.exists():
        sys.exit(f"{place} is stored already, and stays as it is")
    place.mkdir()
    people().to_csv(place / "people.csv", index=False)
    sets = {
        "digits-vae": rp.data.load("digits"),
        "people-vae": rp.data.load("table", path=place / "people.csv"),
    }
    for name, data in sets.items():
        run = rp.fit(
            lambda spec: rp.variants.vae(spec, latent_dim=2, hidden=[8]),
            data,
            out=place / name,
            steps=200,
            early_stopping=0,
            lr=0.005,
            pictures_every=0,
            log_every=100,
            device="cpu",
            progress=False,
        )
        run.evaluate(n_samples=N_SAMPLES, device="cpu")
        assert isinstance(run.folder, RunFolder)
        run.folder.write_config(without_places(run.config))
        shutil.rmtree(run.folder.events)
        newest = max(run.folder.checkpoints.iterdir()).stem
        for path in run.folder.checkpoints.iterdir():
            if path.stem != newest:
                path.unlink()
        run.folder.lock_file.unlink()


if __name__ == "__main__":
    main()
