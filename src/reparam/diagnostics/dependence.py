"""How much the columns of rows tell of each other, by forests and the rows that they did not see.

Of columns that are independent a model without codes is the best: nothing is left for z to say.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from reparam.evaluation.figure import Figure
from reparam.spec import DataSpec

N_TREES, LEAF = 100, 5
"""The number of trees of a forest, and the least number of rows of a leaf."""

MOST_ROWS, MOST_COLUMNS = 300, 8
"""The largest number of rows, the first ones, and of columns that are predicted, at random."""


def share_explained(x: Tensor, spec: DataSpec, seed: int = 0) -> Figure:
    r"""Return the share of a column's variance that the other columns explain, over rows.

    .. math:: \frac 1 D \sum_j \frac{(t_{ij} - \bar t_j)^2 - (t_{ij} - \hat t_{ij})^2}
              {\mathrm{Var}\,t_j}

    where t are the indicators of classes, or the ranks of a quantity and their distances from the
    middle one, and the prediction is by the trees of a forest that did not see row i. Of
    independent columns it is about zero, or below.

    Arguments:
        x: The rows, with shape (N, D), NaN for missing values.
        spec: Their spec.
        seed: The seed of the forests.

    Example:
        >>> same = torch.randn(100, 1).expand(100, 3)
        >>> float(share_explained(same, DataSpec((3,), "real"))) > 0.8
        True

    References:
        Breiman, Random forests, Machine Learning 2001, section 3.1 (out-of-bag estimates).
    """
    values = x[:MOST_ROWS].double().cpu().numpy()
    chosen = np.random.default_rng(seed).permutation(values.shape[1])[:MOST_COLUMNS]
    gains = [_gains(values, j, spec, seed) for j in chosen.tolist()]
    if all(gain is None for gain in gains):
        return Figure(0.0)
    by_column = np.stack([gain for gain in gains if gain is not None])
    known = ~np.isnan(by_column)
    n_known = known.sum(0)
    by_row = np.where(known, by_column, 0.0).sum(0)[n_known > 0] / n_known[n_known > 0]
    return Figure.mean(torch.from_numpy(by_row))


def _gains(
    values: NDArray[np.float64], j: int, spec: DataSpec, seed: int
) -> NDArray[np.float64] | None:
    """Return the gain of each row by the other columns, NaN where the value is missing.

    None stands for a column that does not vary.
    """
    from sklearn.ensemble import RandomForestRegressor

    known = ~np.isnan(values[:, j])
    target = _target(values[known, j], spec, j)
    variance = target.var(0).sum()
    if not variance:
        return None
    others = np.delete(values, j, axis=1)[known]
    forest = RandomForestRegressor(
        N_TREES, min_samples_leaf=LEAF, max_features=1 / 3, oob_score=True, random_state=seed
    )
    predicted = forest.fit(others, target).oob_prediction_
    n = len(target)
    alone = (target - target.mean(0)) * n / (n - 1)  # against the mean of the other rows
    gains = np.full(len(values), np.nan)
    gains[known] = (alone**2 - (target - predicted) ** 2).sum(1) / variance
    return gains


def _target(values: NDArray[np.float64], spec: DataSpec, j: int) -> NDArray[np.float64]:
    """Return the indicators of the classes of a column, or what is predicted of a quantity."""
    if spec.schema is not None and spec.schema.features[j].is_class:
        return np.eye(spec.schema.features[j].n_values)[values.astype(int)]
    ranks = rankdata(values) - (len(values) + 1) / 2
    # On a circle a column tells how far the other is from its middle, and not on which side.
    both = np.stack([ranks, np.abs(ranks) - np.abs(ranks).mean()], axis=1)
    spread = both.std(0)
    return both / np.where(spread > 0, spread, 1.0)
