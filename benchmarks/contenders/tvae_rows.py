"""Rows that TVAE draws after a fit with its defaults, in an environment that has ctgan."""

import pandas as pd
from ctgan import TVAE
from drawn_rows import Draw, main


def fit(real: pd.DataFrame, classes: list[str], seed: int) -> Draw:
    """Fit TVAE, and return a function that draws rows."""
    model = TVAE(enable_gpu=False)
    model.fit(real, classes)
    return lambda: model.sample(len(real))


if __name__ == "__main__":
    main(fit)
