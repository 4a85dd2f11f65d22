"""Means over examples with their standard errors, and the quantile of their intervals."""

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


def quantile(df: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution.

    Arguments:
        df: The degrees of freedom; infinite for the normal distribution.

    >>> from math import inf
    >>> round(quantile(1), 3), round(quantile(inf), 3)
    (12.706, 1.96)
    """
    # SciPy takes as long to import as torch itself.
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))
