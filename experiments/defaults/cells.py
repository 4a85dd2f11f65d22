r"""Scores of rows whose numbers are rounded: the probability of cells.

A density over values that repeat can be made as large as one likes. So a column with the resolution
w > 0 is scored by the probability of the cell of width w around the value, and a continuous one
(w = 0) by the density. With u uniform on the box of the widths,

.. math:: \log \int_{x - w/2}^{x + w/2} p(x')\, dx'
          \approx \log \frac{1}{K} \sum_{k=1}^{K} p(x + u_k) + \sum_{j:\, w_j > 0} \log w_j

in nats per row and in the units of x. For K = 1, or for a model whose log p is itself an average,
the expectation of the estimate is below the score.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from reparam.data.columns import columns

Floats = NDArray[np.float64]
N_DRAWN_ROWS = 200_000
"""The number of rows with noise that are scored, where there are not many rows."""

LogDensity = Callable[[Floats], Floats]
"""From rows with shape (N, D) to log p(x) in nats, with shape (N,)."""


def widths(x: Floats) -> Floats:
    """Return the resolution of each column of the training rows, 0 for a continuous one.

    It is that of the library, so that all contenders are scored by the same cells.

    Arguments:
        x: The training rows, with shape (N, D); no column is constant.
    """
    return columns(torch.from_numpy(x).float()).width.double().numpy()


def dequantized(x: Floats, w: Floats, random: np.random.Generator) -> Floats:
    """Return rows with uniform noise of the widths w, centered at 0."""
    return x + w * (random.random(x.shape) - 0.5)


def cell_log_prob(
    log_density: LogDensity, x: Floats, w: Floats, *, n_draws: int | None = None, seed: int = 0
) -> Floats:
    """Return the score of rows x with shape (N, D), in nats with shape (N,).

    Arguments:
        log_density: The log density of a model, in the units of x.
        x: The rows.
        w: The resolutions of the columns, with shape (D,).
        n_draws: The number of draws of noise; None for more of them, the fewer rows there are, at
            least 64. Without rounded columns there is none.
        seed: The seed of the noise.
    """
    if not w.any():
        return log_density(x)
    n_draws = n_draws or min(1024, max(64, N_DRAWN_ROWS // len(x)))
    random = np.random.default_rng([seed, 1])
    draws = np.stack([log_density(dequantized(x, w, random)) for _ in range(n_draws)])
    return logsumexp(draws, axis=0) - np.log(n_draws) + np.log(w[w > 0]).sum()


def in_units(log_density: LogDensity, mean: Floats, scale: Floats) -> LogDensity:
    """Return the log density of x = mean + scale · z, given that of z."""
    return lambda x: log_density((x - mean) / scale) - np.log(scale).sum()
