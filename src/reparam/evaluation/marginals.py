"""How far apart two tables are: the distributions of their columns, and their correlations."""

from itertools import combinations_with_replacement
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, rankdata

Values = NDArray[Any]

_USUAL = 0.05
"""The probability that a few hundred draws tell."""


def distance(real: Values, drawn: Values, n_classes: int = 0) -> float:
    """Return the distance of two distributions of one column, from 0 to 1.

    It is the largest difference of the distribution functions of quantities, and half the sum of
    the differences of the shares of classes.

    Arguments:
        real: The values of one table, without missing ones, with shape (N,).
        drawn: Those of the other, with shape (M,).
        n_classes: The number of classes; 0 for a quantity.

    Example:
        >>> distance(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 3.0]))
        0.5
        >>> distance(np.array([0, 0, 0, 1]), np.array([1, 0]), n_classes=2)
        0.25
    """
    if len(real) == 0 or len(drawn) == 0:
        return 0.0 if len(real) == len(drawn) else 1.0
    if n_classes:
        return float(0.5 * np.abs(shares(real, n_classes) - shares(drawn, n_classes)).sum())
    return float(ks_2samp(real, drawn, method="asymp").statistic)


def by_chance(real: Values, drawn: Values, n_classes: int = 0, level: float = 0.05) -> float:
    """Return the distance that two samples of one distribution exceed with some probability.

    Arguments:
        real: The values of one table, without missing ones, with shape (N,).
        drawn: Those of the other, with shape (M,).
        n_classes: The number of classes; 0 for a quantity.
        level: The probability.

    References:
        Smirnov, Annals of Mathematical Statistics 1948 (its asymptotic value, for quantities).

    Example:
        >>> round(by_chance(np.arange(100.0), np.arange(100.0)), 3)
        0.192
    """
    n, m = len(real), len(drawn)
    if n == 0 or m == 0:
        return 0.0
    usual, factor = (sqrt(-0.5 * log(0.5 * each)) for each in (_USUAL, level))
    if not n_classes:
        return min(1.0, factor * sqrt(1 / n + 1 / m))
    share = (n * shares(real, n_classes) + m * shares(drawn, n_classes)) / (n + m)
    rng = np.random.default_rng(0)
    apart = rng.multinomial(n, share, 400) / n - rng.multinomial(m, share, 400) / m
    return factor / usual * float(np.quantile(0.5 * np.abs(apart).sum(1), 1 - _USUAL))


def shares(values: Values, n_classes: int) -> Values:
    """Return the share of each class, with shape (K,).

    >>> shares(np.array([0.0, 2.0, 2.0, 2.0]), 3)
    array([0.25, 0.  , 0.75])
    """
    return np.bincount(values.astype(int), minlength=n_classes)[:n_classes] / max(1, len(values))


def rank_correlations(x: Values) -> Values:
    """Return the rank correlations of pairs of columns, over the rows that have both values.

    NaN stands for a pair with a column that is constant in these rows.

    Arguments:
        x: The rows, with shape (N, D), NaN for missing values.

    References:
        Spearman, The proof and measurement of association between two things, 1904.

    Example:
        >>> rank_correlations(np.array([[1.0, 9.0], [2.0, 4.0], [3.0, 1.0]])).round(6)
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    n = x.shape[1]
    found = np.full((n, n), np.nan)
    if not np.isnan(x).any() and len(x) > 1 and (np.ptp(x, 0) > 0).all():
        return np.atleast_2d(np.corrcoef(rankdata(x, axis=0).T))
    for i, j in combinations_with_replacement(range(n), 2):
        both = x[~np.isnan(x[:, [i, j]]).any(1)][:, [i, j]]
        if len(both) > 1 and (np.ptp(both, 0) > 0).all():
            found[i, j] = found[j, i] = np.corrcoef(rankdata(both, axis=0).T)[0, 1]
    return found
