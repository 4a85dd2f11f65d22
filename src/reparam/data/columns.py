r"""The columns of a table: location, scale, and the resolution that values are rounded to.

A column is *rounded* if its values lie on a grid of some step w, as whole numbers and prices do, or
if many of them repeat. A value x of such a column stands for the cell [x - w/2, x + w/2], whose
probability is at most one; the density of a value that repeats has no such limit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

N_ROWS = 50_000
"""The largest number of rows that are looked at."""

ON_GRID = 0.05
"""The largest distance to a grid, in steps, of values that lie on it."""

MANY_REPEATED = 0.1
"""The share of repeated values that make a column rounded that lies on no grid."""

COARSE = 1e-3
"""A grid whose step is at least this part of the standard deviation needs no repeated values."""

_FLOAT32 = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Columns:
    """The location, scale and resolution of every column, each with shape (D,).

    Arguments:
        loc: The mean.
        scale: The standard deviation; for a constant column a hundredth of its magnitude, or of 1.
        width: The width of a cell; 0 for continuous columns.
        origin: The least value of rounded columns; 0 for continuous ones.
        is_constant: Whether all values are equal, up to the rounding of float32.
    """

    loc: Tensor
    scale: Tensor
    width: Tensor
    origin: Tensor
    is_constant: Tensor


def columns(x: Tensor) -> Columns:
    """Return the location, scale and resolution of the columns of a table.

    Arguments:
        x: The rows, with shape (N, D).

    Example:
        >>> found = columns(torch.tensor([[1.0, 0.1234], [2.0, 7.1], [2.0, 0.7071], [4.0, 3.1]]))
        >>> found.width, found.origin
        (tensor([1., 0.]), tensor([1., 0.]))
    """
    rows = x[:N_ROWS].detach().cpu().double().numpy()
    loc, spread = rows.mean(0), np.ptp(rows, 0)
    largest = np.abs(rows).max(0)
    is_constant = spread <= 8 * _FLOAT32 * largest
    grids = [resolution(column) for column in rows.T]
    width, origin = (np.array(values) for values in zip(*grids, strict=True))
    magnitude = np.where(largest > 0, largest, 1.0)
    width = np.where(is_constant, magnitude, width)
    # Noise within a cell adds the variance of a uniform distribution.
    # In its own scale the cell of a constant column holds every draw.
    scale = np.where(is_constant, magnitude / 100, np.sqrt(rows.var(0) + width**2 / 12))
    origin = np.where(is_constant, rows[0], origin)
    found = [torch.from_numpy(each).float() for each in (loc, scale, width, origin)]
    return Columns(found[0], found[1], found[2], found[3], torch.from_numpy(is_constant))


def resolution(values: NDArray[Any]) -> tuple[float, float]:
    """Return the width of the cells of a column, and the middle of one cell.

    The width is the step of the grid that all values lie on, if there is one and values repeat or
    the step is coarse; else the smallest difference of two values, if many repeat; else 0.

    Arguments:
        values: The values of the column in the precision of float32, with shape (N,).

    Example:
        >>> resolution(np.array([0.5, 1.5, 1.5, 4.0])), resolution(np.array([0.3, 1.7, 2.04321]))
        ((0.5, 0.5), (0.0, 0.0))
    """
    distinct = np.unique(values)
    n_repeated = len(values) - len(distinct)
    error = 4 * _FLOAT32 * float(np.abs(distinct).max())
    distinct = distinct[np.diff(distinct, prepend=-np.inf) > error]
    if len(distinct) < 2:
        return 0.0, 0.0
    step = grid_step(distinct, error)
    if step > 0 and (n_repeated or step > COARSE * float(values.std())):
        return step, float(distinct[0])
    if n_repeated > MANY_REPEATED * len(values):
        return float(np.diff(distinct).min()), float(distinct[0])
    return 0.0, 0.0


def grid_step(distinct: NDArray[Any], error: float) -> float:
    """Return the largest step of which all differences are multiples; 0 if there is none.

    Euclid's algorithm on the differences: a remainder that is not zero is the next step.

    Arguments:
        distinct: Different values, in ascending order.
        error: The rounding error of a difference.

    Example:
        >>> round(grid_step(np.array([0.1, 0.3, 0.6]), 1e-15), 9)
        0.1
    """
    differences = np.diff(distinct)
    step, slack = differences.min(), error
    while slack < ON_GRID * step:
        counts = np.round(differences / step)
        rest = np.abs(differences - counts * step)
        # The error of the step adds up in a difference of many steps.
        far = np.flatnonzero(rest > ON_GRID * step + counts * slack)
        if not len(far):
            # The whole span, which is many steps, gives the step with the least error.
            step = (distinct[-1] - distinct[0]) / counts.sum()
            grid = distinct[0] + step * np.append(0, counts.cumsum())
            return float(step) if (np.abs(distinct - grid) <= ON_GRID * step).all() else 0.0
        least = far[differences[far].argmin()]
        step, slack = rest[least], (1 + counts[least]) * slack
    return 0.0
