"""Rows that TVAE draws after a fit with its defaults, in an environment that has ctgan.

``python tvae_rows.py --real TRAIN.csv --drawn DRAWN.csv --schema SCHEMA.json --seed 0`` prints one
line of JSON: the seconds of the fit and of the draws.
"""

import argparse
import json
import time

import numpy as np
import pandas as pd
import torch
from ctgan import TVAE


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
    with open(options.schema, encoding="utf-8") as stream:
        classes = json.load(stream)["classes"]
    real = pd.read_csv(options.real, dtype=dict.fromkeys(classes, str), keep_default_na=False)
    began = time.perf_counter()
    model = TVAE(enable_gpu=False)
    model.fit(real, classes)
    fitted = time.perf_counter()
    model.sample(len(real)).to_csv(options.drawn, index=False)
    seconds = {"fit_s": fitted - began, "draw_s": time.perf_counter() - fitted}
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
