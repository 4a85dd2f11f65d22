"""Means over examples, with their standard errors."""

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor


def mean_and_stderr(values: Tensor) -> tuple[float, float | None]:
    r"""Return the mean of values with shape (N,), and its standard error.

    .. math:: \bar v = \frac1N \sum_n v_n, \qquad
              \sqrt{\frac{1}{N (N - 1)} \sum_n (v_n - \bar v)^2}

    The standard error is None for a single value.

    >>> import torch
    >>> mean_and_stderr(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    wide = values.detach().double()
    stderr = float(wide.std() / len(wide) ** 0.5) if len(wide) > 1 else None
    return float(wide.mean()), stderr


def finite_mean(parts: Sequence[Tensor]) -> tuple[float | None, float | None]:
    """Return the mean over all examples and its standard error, each None where it is no number.

    Arguments:
        parts: The values of blocks of examples, each with shape (B,); none at all is no number.

    >>> import torch
    >>> finite_mean([torch.tensor([1.0, 3.0]), torch.tensor([2.0])])[0], finite_mean([])
    (2.0, (None, None))
    """
    if not parts:
        return None, None
    mean, stderr = mean_and_stderr(torch.cat(list(parts)))
    return (mean, stderr) if isfinite(mean) else (None, None)


def column_stderr(values: Tensor) -> tuple[float, ...] | None:
    """Return the standard errors of the columns' means, for values with shape (N, D).

    They are None for a single row.

    >>> import torch
    >>> column_stderr(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    (1.0, 0.0)
    """
    if len(values) < 2:
        return None
    return tuple((values.std(0) / len(values) ** 0.5).tolist())
