"""Rows that TabularARGN draws after a fit with its defaults, in an environment that has it.

``python tabular_argn_rows.py --real TRAIN.csv --drawn DRAWN.csv --schema SCHEMA.json --seed 0``
prints one line of JSON: the seconds of the fit and of the draws. Rare values are kept
(``value_protection=False``), as the other contenders keep them.
"""

import argparse
import json
import tempfile
import time

import numpy as np
import pandas as pd
import torch
from mostlyai import engine


def main() -> None:
    """Fit, draw and print."""
    parser = argparse.ArgumentParser()
    for name in ("real", "drawn", "schema"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002 (the library draws from it)
    engine.set_random_state(options.seed)
    with open(options.schema, encoding="utf-8") as stream:
        classes = json.load(stream)["classes"]
    real = pd.read_csv(options.real, dtype=dict.fromkeys(classes, str), keep_default_na=False)
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        engine.split(tgt_data=real, workspace_dir=place, model_type="TABULAR")
        engine.analyze(value_protection=False, workspace_dir=place)
        engine.encode(workspace_dir=place)
        engine.train(workspace_dir=place, device="cpu")
        fitted = time.perf_counter()
        engine.generate(sample_size=len(real), workspace_dir=place, device="cpu")
        drawn = pd.read_parquet(f"{place}/SyntheticData")
        seconds = {"fit_s": fitted - began, "draw_s": time.perf_counter() - fitted}
    drawn[real.columns].to_csv(options.drawn, index=False)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
