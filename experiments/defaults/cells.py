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
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
LogDensity = Callable[[Floats], Floats]
"""From rows with shape (N, D) to log p(x) in nats, with shape (N,)."""

TOLERANCE = 1e-3
"""The largest distance of a value from its grid, in steps of the grid."""

FINE = 1e-3
"""A grid without repeated values is a resolution if its step exceeds this share of a σ."""

MANY = 0.1
"""The share of repeated values above which a column without a grid is rounded, too."""


def widths(x: Floats) -> Floats:
    """Return the resolution of each column of the training rows, 0 for a continuous one.

    It is the step of the grid that all values lie on, if values repeat or the step is above 1e-3
    standard deviations; else, if more than 10 % of the values are repeats, the smallest difference
    of distinct values; else 0.

    Arguments:
        x: The training rows, with shape (N, D); no column is constant.

    Example:
        >>> random = np.random.default_rng(0).normal(size=100)
        >>> widths(np.stack([random, random.round(1), (10 * random).round() * 3], 1)).round(9)
        array([0. , 0.1, 3. ])
    """
    return np.array([_width(column) for column in x.T])


def _width(values: Floats) -> float:
    distinct = np.unique(values)
    error = _float_error(values)
    distinct = distinct[np.diff(distinct, prepend=-np.inf) > error]
    step = _grid_step(distinct, error)
    if step > 0 and (len(distinct) < len(values) or step > FINE * values.std()):
        return step
    if len(distinct) < (1 - MANY) * len(values):
        return float(np.diff(distinct).min())
    return 0.0


def _float_error(values: Floats) -> float:
    """Return how far stored values may lie from the numbers that they stand for."""
    if (values == values.round()).all():
        return 0.0
    is_single = (values == values.astype(np.float32)).all()
    return 4.0 * float(np.finfo(np.float32 if is_single else np.float64).eps * abs(values).max())


def _grid_step(distinct: Floats, error: float) -> float:
    """Return the largest step of which all differences are multiples, 0 if there is none.

    Arguments:
        distinct: Different values, in ascending order.
        error: The error of a difference.

    Example:
        >>> _grid_step(np.array([0.1, 0.3, 0.6]), 1e-15)
        0.1
    """
    differences = np.diff(distinct)
    step, slack = differences.min(), error
    while slack < TOLERANCE * step:
        counts = np.round(differences / step)
        off = abs(differences - counts * step)
        # The error of the step adds up in a difference of many steps.
        far = np.flatnonzero(off > TOLERANCE * step + counts * slack)
        if len(far) == 0:
            # From the whole span, which is many steps, the step follows most exactly.
            step = (distinct[-1] - distinct[0]) / counts.sum()
            grid = distinct[0] + step * np.append(0, counts.cumsum())
            return float(step) if (abs(distinct - grid) <= TOLERANCE * step).all() else 0.0
        least = far[differences[far].argmin()]  # Euclid's algorithm
        step, slack = off[least], (1 + counts[least]) * slack
    return 0.0


def dequantized(x: Floats, w: Floats, random: np.random.Generator) -> Floats:
    """Return rows with uniform noise of the widths w, centered at 0."""
    return x + w * (random.random(x.shape) - 0.5)


def cell_log_prob(
    log_density: LogDensity, x: Floats, w: Floats, *, n_draws: int = 64, seed: int = 0
) -> Floats:
    """Return the score of rows x with shape (N, D), in nats with shape (N,).

    Arguments:
        log_density: The log density of a model, in the units of x.
        x: The rows.
        w: The resolutions of the columns, with shape (D,).
        n_draws: The number of draws of noise; without rounded columns there is none.
        seed: The seed of the noise.
    """
    if not w.any():
        return log_density(x)
    random = np.random.default_rng([seed, 1])
    draws = np.stack([log_density(dequantized(x, w, random)) for _ in range(n_draws)])
    return logsumexp(draws, axis=0) - np.log(n_draws) + np.log(w[w > 0]).sum()


def in_units(log_density: LogDensity, mean: Floats, scale: Floats) -> LogDensity:
    """Return the log density of x = mean + scale · z, given that of z."""
    return lambda x: log_density((x - mean) / scale) - np.log(scale).sum()
