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

from reparam.distributions import RoundedNormal, Standardized
from reparam.distributions.rounded import compressed

N_ROWS, N_ENTRIES, FEWEST_ROWS = 50_000, 5_000_000, 1_000
"""The largest number of rows and entries of a table that are looked at, and the least number of
rows of a wide one."""

ON_GRID = 0.05
"""The largest distance to a grid, in steps, of values that lie on it."""

MULTIPLES = 50
"""The largest number of steps that the smallest difference of two values may have."""

SIGNIFICANCE = 1e-6
"""The probability below which continuous values do not lie on a grid by chance."""

MANY_REPEATED = 0.1
"""The share of repeated values that make a column rounded that lies on no grid."""

COARSE = 1e-3
"""A grid whose step is at least this part of the standard deviation needs no repeated values."""

N_FOR_TRANSFORM = 2_000
"""The number of rows that a transform is chosen on."""

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
"""The quantiles of the distances to the origin that are tried as the linear width."""

GAIN = 0.05
"""The least gain of a transform, in nats for each value."""

MOST_LOST = 1.0
"""What a transform may cost the likelihood of a Gaussian of all columns, in nats for each value.
Transforming a column that is a total of others costs more. In breast-cancer a transform that costs
0.04 gains the VAE 1.5 nats."""

COLLINEAR = 100.0
"""The variance inflation from which a column is nearly a linear function of others."""

MOST_JOINT = 256
"""The largest number of columns that are looked at together."""

SPAN = 1e6
"""The factor between the magnitudes of a column that is called heavy-tailed."""

SMALLEST = 0.01
"""The share of the magnitudes that are smaller than the one that a span begins at."""

FEW_VALUES, ROWS_PER_CLASS, MANY = 10, 10, 20
"""The largest number of categories, the least number of rows for each, and that of identifiers."""

SPIKE, SPIKE_RATIO = 0.2, 3.0
"""The least share of a spike in all values, and how many times as frequent as any other value it
has to be to get a probability of its own."""

FEW_ATOMS, ROWS_PER_ATOM = 32, 100
"""The largest number of distinct values that are all atoms where they are frequent, and the least
number of rows for each of them."""

MOST_ATOMS = 128
"""The largest number of atoms of a column."""

ATOM, ATOM_ROWS = 5e-4, 10
"""The least share of an atom in all values, and the least number of its rows."""

ATOM_RATIO, ATOM_ERRORS = 2.0, 5.0
"""How many times as frequent as expected from the values beside it an atom is, and by how many
standard errors more."""

ATOM_WINDOW = 4
"""The number of distinct values on each side that tell how frequent a value is expected to be."""

_FLOAT32 = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Columns:
    """The location, scale and resolution of every column, each with shape (D,).

    Arguments:
        loc: The mean, of the transformed values where there is a transform.
        scale: The standard deviation; for a constant column its magnitude, or 1 if it is 0.
        width: The width of a cell; 0 for continuous columns.
        origin: The middle of a cell of a rounded column, and the origin of a transform; else 0.
        linear_width: The linear width of the transform; 0 for none.
        is_constant: Whether all values are equal: see ``constant_columns``.
        spike: The number that many values are: see ``spike_of``; 0 without one.
        spike_share: Their share; 0 without one.
    """

    loc: Tensor
    scale: Tensor
    width: Tensor
    origin: Tensor
    linear_width: Tensor
    is_constant: Tensor
    spike: Tensor
    spike_share: Tensor


def columns(x: Tensor, transform: bool = False) -> Columns:
    """Return the location, scale and resolution of the columns of a table.

    Arguments:
        x: The rows, with shape (N, D), NaN for missing values, which are left out.
        transform: Whether heavy-tailed columns get a transform: see ``transform_of``. A column
            that is a linear function of others only without it gets none.

    Example:
        >>> found = columns(torch.tensor([[1.0, 0.1234], [2.0, 7.1], [2.0, 0.7071], [4.0, 3.1]]))
        >>> found.width, found.origin
        (tensor([1., 0.]), tensor([1., 0.]))
    """
    seen = seen_of(x)
    missing = np.isnan(seen)
    observed = [column[there] for column, there in zip(seen.T, ~missing.T, strict=True)]
    observed = [values if len(values) else np.zeros(1) for values in observed]
    middle = [np.quantile(values, 0.5, method="lower") for values in observed]
    rows = np.where(missing, middle, seen)  # such a value changes neither range nor grid
    is_constant, largest = constant_columns(rows), np.abs(rows).max(0)
    grids = [resolution(values) for values in observed]
    width, origin = (np.array(values) for values in zip(*grids, strict=True))
    linear_width = np.zeros_like(width)
    if transform:
        found, gain = origin.copy(), np.zeros_like(width)
        for i in np.flatnonzero(~is_constant):
            found[i], linear_width[i], gain[i] = transform_of(observed[i], width[i], origin[i])
        is_kept = gain + joint_gain(rows, found, linear_width) > -MOST_LOST
        origin = np.where(is_kept, found, origin)
        linear_width = np.where(is_kept, linear_width, 0.0)
    seen = compressed(*(torch.from_numpy(each) for each in (rows, origin, linear_width))).numpy()
    of_observed = np.ma.array(seen, mask=missing)
    mean, variance = (np.ma.filled(v, 0.0) for v in (of_observed.mean(0), of_observed.var(0)))
    magnitude = np.where(largest > 0, largest, 1.0)
    width = np.where(is_constant, magnitude, width)
    # Noise within a cell adds the variance of a uniform distribution. Another value in a constant
    # column is about one scale away.
    noise = np.where(linear_width > 0, 0, width**2 / 12)
    scale = np.where(is_constant, magnitude, np.sqrt(variance + noise))
    origin = np.where(is_constant, rows[0], origin)
    spike, share = np.zeros_like(width), np.zeros_like(width)
    for i in np.flatnonzero((width > 0) & ~is_constant):
        spike[i], share[i] = spike_of(observed[i])
    parts = (mean, scale, width, origin, linear_width, spike, share)
    a, b, c, d, e, f, g = (torch.from_numpy(each).float() for each in parts)
    return Columns(a, b, c, d, e, torch.from_numpy(is_constant), f, g)


def rows_seen(n_columns: int) -> int:
    """Return the largest number of rows that are looked at, of a table with so many columns.

    >>> rows_seen(10), rows_seen(1000), rows_seen(100_000)
    (50000, 5000, 1000)
    """
    return max(FEWEST_ROWS, min(N_ROWS, N_ENTRIES // n_columns))


def seen_of(x: Tensor) -> NDArray[Any]:
    """Return the rows of a table that are looked at, in float64, with shape (at most N, D).

    Arguments:
        x: The rows, with shape (N, D).
    """
    rows: NDArray[Any] = x[: rows_seen(x[0].numel())].detach().cpu().double().numpy()
    return rows


def constant_columns(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether all values of each column are equal, up to the rounding of float32.

    Whole numbers have no rounding errors.

    Arguments:
        rows: The rows, with shape (N, D).

    Example:
        >>> constant_columns(np.array([[1.0, 1e7, 0.1], [1.0, 1e7 + 1, 0.1 + 1e-9]]))
        array([ True, False,  True])
    """
    spread, largest = np.ptp(rows, 0), np.abs(rows).max(0)
    is_whole = (rows == rows.round()).all(0)
    found: NDArray[np.bool_] = spread <= np.where(is_whole, 0, 8 * _FLOAT32 * largest)
    return found


def variance_inflation(y: Tensor) -> Tensor:
    r"""Return the factor by which each column varies more than given all others, with shape (D,).

    .. math:: \mathrm{VIF}_j = \frac{1}{1 - R_j^2} = (R^{-1})_{jj}

    with the correlations R, corrected for the number of columns. It is about 1 for independent
    columns, large for one that is a linear function of others, as a total is, and at most 1e8. It
    is 1 for a constant column, and for all columns where there are no more rows than columns.

    Arguments:
        y: The rows, with shape (N, D).

    References:
        Marquardt, Generalized inverses, ridge regression, Technometrics 1970.

    Example:
        >>> y = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> variance_inflation(torch.cat([y, y.sum(1, keepdim=True)], 1)).min() > 1e6
        tensor(True)
    """
    y = y.cpu().double()  # other devices lack float64
    y = y - y.mean(0)
    scale = y.square().mean(0).sqrt()
    y = y / torch.where(scale > 0, scale, 1.0)
    correlation = y.T @ y / len(y) + torch.where(scale > 0, 1e-8, 1.0).to(y).diag()
    share = max(0, len(y) - y.shape[1]) / max(1, len(y) - 1)
    return (share * torch.linalg.inv(correlation).diagonal()).clamp(min=1.0)


def collinear_columns(y: Tensor) -> list[int]:
    """Return the columns that are nearly linear functions of others.

    Arguments:
        y: The rows, with shape (N, D).

    Example:
        >>> y = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        >>> collinear_columns(y), collinear_columns(torch.cat([y, 3 - y[:, 1:]], 1))
        ([], [1, 2])
    """
    found: list[int] = torch.where(variance_inflation(y) >= COLLINEAR)[0].tolist()
    return found


def joint_gain(
    rows: NDArray[Any], origin: NDArray[Any], linear_width: NDArray[Any]
) -> NDArray[Any]:
    """Return what transforms add to the likelihood of a Gaussian of all columns, with shape (D,).

    It is in nats for each value, beside the gain of the column alone, and negative where a column
    is a linear function of others only without the transforms. Of many columns it is 0.

    Arguments:
        rows: The rows, with shape (N, D).
        origin: The origins of the transforms, with shape (D,).
        linear_width: Their linear widths, 0 for none, with the same shape.
    """
    if rows.shape[1] > MOST_JOINT or not (linear_width > 0).any():
        return np.zeros_like(linear_width)
    x, o, a = (torch.from_numpy(each) for each in (rows, origin, linear_width))
    before, after = variance_inflation(x), variance_inflation(compressed(x, o, a))
    return (0.5 * (after / before).log()).numpy()


def transform_of(values: NDArray[Any], width: float, origin: float) -> tuple[float, float, float]:
    r"""Return origin and linear width of the transform of a column, and its gain.

    The width is 0 for none, and the gain is in nats for each value. Of the transforms
    :math:`a \operatorname{asinh}((x - o)/a)` it is the one after which a Gaussian has the highest
    likelihood, if it is much better than without. The origin is 0, the least value or the median,
    and a is a quantile of the distances to it.

    Arguments:
        values: The values of the column, float64 with shape (N,).
        width: The width of the cells; 0 for a continuous column.
        origin: The middle of a cell.

    References:
        Box & Cox, An analysis of transformations, Journal of the Royal Statistical Society B, 1964.

    Example:
        >>> normal = np.random.default_rng(0).standard_normal(1000)
        >>> transform_of(normal, 0.0, 0.0)
        (0.0, 0.0, 0.0)
        >>> transform_of(np.exp(3 * normal), 0.0, 0.0)[1] > 0
        True
    """
    # The least and the largest value are kept: a rare value may be the only other one.
    places = np.linspace(0, len(values) - 1, min(len(values), N_FOR_TRANSFORM)).round()
    x = np.sort(values)[places.astype(int)]
    tried = [(origin, 0.0)]
    # Of a rounded column the origin is the middle of a cell.
    middle = float(np.quantile(x, 0.5, method="lower"))
    for place in sorted({origin if width else 0.0, float(x[0]), middle}):
        distances = np.abs(x - place)
        distances = distances[distances > _FLOAT32 * np.abs(x)]
        tried += [(place, max(float(each), width)) for each in np.quantile(distances, QUANTILES)]
    o, a = torch.tensor(tried, dtype=torch.float64).unbind(1)
    rows, cell = torch.from_numpy(x)[:, None], torch.full_like(a, width)
    seen = compressed(rows, o, a)
    scale = (seen.var(0, correction=0) + torch.where(a > 0, 0, cell.square() / 12)).sqrt()
    normal = RoundedNormal(torch.zeros_like(a), torch.ones_like(a), cell / scale)
    score = Standardized(normal, seen.mean(0), scale, cell, o, a).log_prob(rows).mean(0)
    best = int(score.argmax())
    gain = float(score[best] - score[0])
    return (*tried[best], gain) if gain > GAIN else (origin, 0.0, 0.0)


def resolution(values: NDArray[Any]) -> tuple[float, float]:
    """Return the width of the cells of a column, and the middle of one cell.

    The width is the step of the grid that all values lie on, if there is one and values repeat, the
    step is coarse, or values do not lie on it by chance; else the smallest difference of two
    values, if many repeat; else 0.

    Arguments:
        values: The values of the column in the precision of float32, with shape (N,).

    Example:
        >>> resolution(np.array([0.5, 1.5, 1.5, 4.0])), resolution(np.array([0.3, 1.7, 2.04321]))
        ((0.5, 0.5), (0.0, 0.0))
    """
    distinct = np.unique(values)
    n_repeated = len(values) - len(distinct)
    # Of values that differ by rounding errors only, the first one is kept.
    distinct = distinct[np.diff(distinct, prepend=-np.inf) > rounding_error(distinct)]
    if len(distinct) < 2:
        return 0.0, 0.0
    error = rounding_error(distinct)
    step = grid_step(distinct, error)
    is_coarse = step > COARSE * float(values.std())
    if step > 0 and (n_repeated or is_coarse or is_significant(len(distinct), error, step)):
        return step, float(distinct[0])
    if n_repeated > MANY_REPEATED * len(values):
        return float(np.diff(distinct).min()), float(distinct[0])
    return 0.0, 0.0


def is_significant(n_distinct: int, error: NDArray[Any], step: float) -> bool:
    """Return whether continuous values would not lie on such a grid by chance.

    A continuous value is within the tolerance of a grid with a probability of twice the tolerance,
    in steps.

    Arguments:
        n_distinct: The number of different values, all on the grid.
        error: The error of the difference of each value to the one before, with shape (N,).
        step: The step of the grid.

    Example:
        >>> [is_significant(n, np.zeros(n), 0.01) for n in (5, 20)]
        [False, True]
    """
    tolerance = min(1.0, 2 * (ON_GRID + float(error.max()) / step))
    # Any two values lie on each of the grids that are tried.
    return bool(MULTIPLES * tolerance ** (n_distinct - 2) < SIGNIFICANCE)


def spike_of(values: NDArray[Any]) -> tuple[float, float]:
    """Return the value of a spike and its share; zeros without a spike.

    A spike is a fifth of all values or more, and three times as frequent as any other value.

    Arguments:
        values: The values of the column, with shape (N,).

    Example:
        >>> spike_of(np.array([0.0, 0.0, 0.0, 0.0, 1.3, 2.5])), spike_of(np.arange(4.0))
        ((0.0, 0.6666666666666666), (0.0, 0.0))
    """
    distinct, counts = np.unique(values, return_counts=True)
    first = int(counts.argmax())
    others = np.delete(counts, first)
    is_spike = counts[first] >= max(2, SPIKE * len(values)) and (
        not len(others) or counts[first] > SPIKE_RATIO * others.max()
    )
    return (float(distinct[first]), float(counts[first] / len(values))) if is_spike else (0.0, 0.0)


def atoms_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the places in a column of its atoms: one row of each value that is a heap.

    A heap is much more frequent than the values beside it are, for each cell of the column: 40
    hours beside 39 and 41, or a price that is asked for many times. Of a column of few values each
    is one: all of at most ten, and the frequent ones of at most 32. A continuous column has none.

    Arguments:
        values: The values of the column in the precision of float32, with shape (N,).

    References:
        Heitjan & Rubin, Journal of the American Statistical Association 1990 (heaping).

    Example:
        >>> hours = np.random.default_rng(0).binomial(80, 0.5, 1000)
        >>> hours[:300] = 45
        >>> hours[atoms_of(hours)]
        array([45])
    """
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    n, k = len(values), len(distinct)
    width = resolution(values)[0]
    if k < 2 or not width:
        return first[:0]
    if k <= FEW_VALUES and n >= ROWS_PER_CLASS * k:
        return first
    is_frequent = counts >= max(ATOM_ROWS, ATOM * n)
    if k > FEW_ATOMS or n < ROWS_PER_ATOM * k:
        expected = _beside(distinct / width, counts)
        excess = counts - expected
        is_frequent &= counts > ATOM_RATIO * expected
        is_frequent &= excess > ATOM_ERRORS * np.sqrt(expected)
    found = np.flatnonzero(is_frequent)
    found = np.sort(found[np.argsort(-counts[found], kind="stable")[:MOST_ATOMS]])
    return first[found]


def _beside(places: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
    """Return how many rows one cell is expected to have, from the values beside it.

    It is the median over these values of their rows for each cell, so that a heap among them does
    not count.

    Arguments:
        places: The distinct values in cells, in ascending order, with shape (K,).
        counts: Their numbers of rows, with the same shape.
    """
    distances = np.diff(places)
    n_cells = 0.5 * (np.append(distances[0], distances) + np.append(distances, distances[-1]))
    rates = np.pad(counts / n_cells.clip(1), ATOM_WINDOW, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(rates, 2 * ATOM_WINDOW + 1)
    beside: NDArray[Any] = np.nanmedian(np.delete(windows, ATOM_WINDOW, axis=1), axis=1)
    return beside


def rounding_error(distinct: NDArray[Any]) -> NDArray[Any]:
    """Return the error of the difference of each value to the one before, in float32.

    Arguments:
        distinct: Values in ascending order, with shape (N,).
    """
    magnitude = np.abs(distinct)
    magnitude[(distinct == distinct.round()) & (magnitude <= 2**24)] = 0  # these are exact
    return 4 * _FLOAT32 * np.maximum(magnitude, np.roll(magnitude, 1))


def grid_step(distinct: NDArray[Any], error: NDArray[Any]) -> float:
    """Return the largest step of which all differences are multiples; 0 if there is none.

    The smallest difference is a small multiple of the step. So the step is this difference, or a
    half, a third ... of it.

    Arguments:
        distinct: Different values in ascending order, with shape (N,).
        error: The error of the difference of each value to the one before, with shape (N,).

    Example:
        >>> round(grid_step(np.array([0.1, 0.3, 0.6]), np.full(3, 1e-15)), 9)
        0.1
    """
    differences = np.diff(distinct)
    order = differences.argsort()
    lengths, errors = differences[order], error[1:][order]
    for multiple in range(1, min(MULTIPLES, 2 * len(lengths)) + 1):
        step = _fitted_step(lengths, errors, lengths[0] / multiple, errors[0] / multiple)
        step = _of_whole_span(distinct, error, step) if step else 0.0
        if step:
            return step
    return 0.0


def _fitted_step(lengths: NDArray[Any], errors: NDArray[Any], step: float, slack: float) -> float:
    """Return a step with a smaller error; 0 if differences are no multiples of it.

    As many differences as the error of the step allows are counted in steps. Their sum over their
    number of steps is a step with a smaller error, so that longer ones can be counted. Differences
    with an error of the size of a step say nothing, and are left out.

    Arguments:
        lengths: The differences, in ascending order.
        errors: The error of each.
        step: A step.
        slack: Its error.
    """
    n_counted = 0
    while slack < ON_GRID * step:
        # A few at first: most steps are refuted by them.
        most = max(64, 8 * n_counted)
        reach = len(lengths)
        if slack > 0:
            reach = int(np.searchsorted(lengths, ON_GRID * step**2 / slack))
        reach = min(reach, most)
        used = np.flatnonzero(errors[:reach] < ON_GRID * step)
        if reach <= n_counted or not len(used):
            return step if n_counted else 0.0
        counts = np.round(lengths[used] / step)
        rest = np.abs(lengths[used] - counts * step)
        if (rest > ON_GRID * step + counts * slack + errors[used]).any():
            return 0.0
        step = float(lengths[used].sum() / counts.sum())
        slack = float(3 * np.sqrt(np.square(errors[used]).sum()) / counts.sum())
        n_counted = reach
        if reach == len(lengths):
            return step
    return 0.0


def _of_whole_span(distinct: NDArray[Any], error: NDArray[Any], step: float) -> float:
    """Return the step with the least error, by the whole span; 0 if values lie off its grid."""
    places = np.append(0, np.round(np.diff(distinct) / step).cumsum())
    inner = np.flatnonzero(error < ON_GRID * step)
    if len(inner) < 2:
        return 0.0
    first, last = inner[0], inner[-1]
    step = (distinct[last] - distinct[first]) / (places[last] - places[first])
    off = np.abs(distinct - distinct[first] - step * (places - places[first]))
    return float(step) if (off <= ON_GRID * step + error).all() else 0.0


def span_of(values: NDArray[Any]) -> float:
    """Return the factor between the magnitudes of a column: the largest over a small one.

    Of the magnitudes that are not 0, one of a hundred is smaller than the small one. The smallest
    of all is near 0 in any column with values of both signs.

    Example:
        >>> span_of(np.array([0.0, -2.0, 2000.0]))
        1000.0
    """
    magnitudes = np.abs(values[values != 0])
    if not len(magnitudes):
        return 1.0
    return float(magnitudes.max() / np.quantile(magnitudes, SMALLEST, method="lower"))


def wide_columns(x: Tensor) -> list[int]:
    """Return the columns that span more than six orders of magnitude: see ``span_of``.

    Arguments:
        x: The rows, with shape (N, D).
    """
    rows = seen_of(x)
    return [i for i, column in enumerate(rows.T) if span_of(column) > SPAN]


def kind_of(values: NDArray[Any]) -> str | None:
    """Return what a column is if it is no measured quantity; None for one.

    ``constant``; ``binary``, with two values; ``category``, with at most ten; ``identifier``, whole
    numbers in a sequence; ``count``, whole numbers from about 0 on with few gaps; ``spike``, with a
    value that at least 20 % of the rows have.

    Arguments:
        values: The values of the column, with shape (N,).

    Example:
        >>> kind_of(np.arange(100.0)), kind_of(np.arange(100.0) % 3), kind_of(np.arange(100.0) / 7)
        ('identifier', 'category', None)
    """
    distinct, counts = np.unique(values, return_counts=True)
    n, n_distinct = len(values), len(distinct)
    if n_distinct <= 2:
        return ("constant", "binary")[n_distinct - 1]
    if n_distinct <= min(FEW_VALUES, n // ROWS_PER_CLASS):
        return "category"
    is_whole = bool((distinct == distinct.round()).all())
    spread = distinct[-1] - distinct[0]
    if is_whole and n_distinct == n >= MANY and spread < 2 * n:
        return "identifier"
    median, most = np.quantile(values, (0.5, 0.9))
    is_from_0 = is_whole and 0 <= distinct[0] <= max(1, median / 4)
    # Most rows have half of the whole numbers of their range.
    n_places, n_found = most - distinct[0], int((distinct <= most).sum())
    if is_from_0 and 1 < n_places < 2 * n_found and n_distinct < n / 2:
        return "count"
    return "spike" if counts.max() > SPIKE * n else None
