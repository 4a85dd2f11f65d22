r"""The rows that are possible by the training data: ranges of columns, and orders of columns.

.. math:: l \le x \le h, \qquad A x \le b
"""

from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 4 * torch.finfo(torch.float32).eps
"""The relative error of a sum of single precision."""


class Region(NamedTuple):
    r"""Rows in the range of the training rows, that obey linear inequalities.

    Arguments:
        low: The least values l of the training rows, with shape (D,), -inf for classes.
        high: The largest values h, inf for classes.
        factors: The matrix A of the inequalities, with shape (M, D).
        bounds: Their bounds b, with shape (M,).

    Example:
        >>> inf = torch.full((2,), torch.inf)
        >>> ascending = Region(-inf, inf, torch.tensor([[1.0, -1.0]]), torch.zeros(1))
        >>> ascending.outside(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
        tensor([[False, False],
                [ True,  True]])
    """

    low: Tensor
    high: Tensor
    factors: Tensor
    bounds: Tensor

    def outside(self, x: Tensor) -> Tensor:
        r"""Return which entries are out of their range, or in an inequality that does not hold.

        An inequality with a missing value holds.

        Arguments:
            x: The rows, with shape (\*, D), NaN for missing values.
        """
        found = (x < self.low) | (x > self.high)  # which NaN is not
        if not len(self.factors):
            return found
        factors = self.factors.to(x)
        is_part = (factors != 0).to(x)
        missing = x.isnan()
        filled = x.masked_fill(missing, 0.0)
        margin = ROUNDING * filled.abs() @ factors.abs().T
        fails = filled @ factors.T > self.bounds + margin + ROUNDING * self.bounds.abs()
        fails &= missing.to(x) @ is_part.T == 0
        return found | (fails.to(x) @ is_part > 0)
