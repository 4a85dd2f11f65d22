"""Draw as many rows as a training table has, and print the seconds of the fit and of the draws.

A script of one library calls ``main`` in the environment of that library:
``python SCRIPT.py --real TRAIN.csv --drawn DRAWN.csv --schema SCHEMA.json --seed 0``.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

Draw = Callable[[], pd.DataFrame]


def main(fit: Callable[[pd.DataFrame, list[str], int], Draw]) -> None:
    """Fit, draw, write the rows and print one line of JSON.

    Arguments:
        fit: A function of the training rows, the names of their columns of classes and a seed,
            which returns a function that draws as many rows.
    """
    parser = argparse.ArgumentParser()
    for name in ("real", "drawn", "schema"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002 (the libraries draw from it)
    with open(options.schema, encoding="utf-8") as stream:
        classes = json.load(stream)["classes"]
    real = pd.read_csv(options.real, dtype=dict.fromkeys(classes, str), keep_default_na=False)
    began = time.perf_counter()
    draw = fit(real, classes, options.seed)
    fitted = time.perf_counter()
    drawn = draw()
    seconds = {"fit_s": fitted - began, "draw_s": time.perf_counter() - fitted}
    drawn[real.columns].to_csv(options.drawn, index=False)
    print(json.dumps(seconds))
