"""Rows that TabularARGN draws after a fit with its defaults, in an environment that has it.

Rare values are kept (``value_protection=False``), as the other contenders keep them.
"""

import tempfile

import pandas as pd
from drawn_rows import Draw, main
from mostlyai import engine


def fit(real: pd.DataFrame, classes: list[str], seed: int, place: str) -> Draw:
    """Fit TabularARGN in a folder, and return a function that draws rows."""
    engine.set_random_state(seed)
    engine.split(tgt_data=real, workspace_dir=place, model_type="TABULAR")
    engine.analyze(value_protection=False, workspace_dir=place)
    engine.encode(workspace_dir=place)
    engine.train(workspace_dir=place, device="cpu")

    def draw() -> pd.DataFrame:
        engine.generate(sample_size=len(real), workspace_dir=place, device="cpu")
        return pd.read_parquet(f"{place}/SyntheticData")

    return draw


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(lambda real, classes, seed: fit(real, classes, seed, folder))
