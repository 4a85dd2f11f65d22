r"""Means and paired differences over the same test points and over seeds, with both errors.

.. math:: d_n = \bar v_{\cdot n} - \bar r_{\cdot n}, \qquad
          e_\text{points} = \frac{\operatorname{sd}_n(d_n)}{\sqrt N}, \qquad
          e_\text{seeds}^2 = \frac{\operatorname{var}_s(\bar v_{s \cdot})}{S}
                           + \frac{\operatorname{var}_s(\bar r_{s \cdot})}{R}
"""

from dataclasses import replace
from math import inf, sqrt

from torch import Tensor

from reparam.evaluation.figure import Figure


def mean_over_seeds(values: Tensor) -> Figure | None:
    r"""Return the mean of figures :math:`v_{sn}` of S seeds on N test points.

    .. math:: \bar v = \frac{1}{S N} \sum_{s, n} v_{sn}, \quad
              e_\text{points} = \frac{\operatorname{sd}_n(\bar v_{\cdot n})}{\sqrt N}, \quad
              e_\text{seeds} = \frac{\operatorname{sd}_s(\bar v_{s \cdot})}{\sqrt S}

    Arguments:
        values: Figures, with shape (S, N).

    Returns:
        The mean and both errors; None where the mean is not finite.

    Example:
        >>> import torch
        >>> found = mean_over_seeds(torch.tensor([[1.0, 3.0]]))
        >>> found.value, found.stderr, found.stderr_seeds
        (2.0, 1.0, None)
    """
    wide = values.double()
    mean, seeds = Figure.mean(wide.mean(0), "nats"), Figure.mean(wide.mean(1))
    if not mean.is_finite:
        return None
    return replace(mean, stderr_seeds=seeds.stderr, df_seeds=len(wide) - 1)


def paired_difference(values: Tensor, reference: Tensor) -> Figure | None:
    r"""Return figures less those of a reference on the same test points.

    Pairing removes the variance over test points that both share. Runs are not paired by seed: two
    models start from different numbers even if their seeds are equal. For a side with one seed, the
    variance of the other side is used.

    Arguments:
        values: Figures of S seeds on N points, with shape (S, N).
        reference: Those of R seeds of the reference, with shape (R, N).

    Returns:
        The mean difference and both errors; None where it is not finite.

    Raises:
        ShapeError: Other numbers of points.

    References:
        Welch, Biometrika 1947 (the error of a difference of two means, and its freedom).

    Example:
        >>> import torch
        >>> found = paired_difference(torch.tensor([[2.0, 6.0]]), torch.tensor([[1.0, 3.0]]))
        >>> found.value, found.stderr, found.stderr_seeds
        (2.0, 1.0, None)
    """
    v, r = values.double(), reference.double()
    found = Figure.mean(v.mean(0), "nats").paired_difference(Figure.mean(r.mean(0)))
    if not found.is_finite:
        return None
    stderr_seeds, df_seeds = _error_over_seeds(v.mean(1), r.mean(1))
    return replace(found, stderr_seeds=stderr_seeds, df_seeds=df_seeds)


def _error_over_seeds(v: Tensor, r: Tensor) -> tuple[float | None, float]:
    r"""Return the standard error of a difference of means over seeds, and its degrees of freedom.

    .. math:: \nu = \frac{(a + b)^2}{a^2 / (S - 1) + b^2 / (R - 1)}, \qquad
              a = \frac{\operatorname{var} v}{S}, \quad b = \frac{\operatorname{var} r}{R}

    Arguments:
        v: The means of S seeds, with shape (S,).
        r: Those of R seeds, with shape (R,).
    """
    n_v, n_r = len(v), len(r)
    if n_v == n_r == 1:
        return None, inf
    if min(n_v, n_r) == 1:
        variance = float((v if n_v > 1 else r).var())
        return sqrt(variance * (1 / n_v + 1 / n_r)), max(n_v, n_r) - 1
    a, b = float(v.var()) / n_v, float(r.var()) / n_r
    if a == b == 0.0:
        return 0.0, n_v + n_r - 2
    return sqrt(a + b), (a + b) ** 2 / (a**2 / (n_v - 1) + b**2 / (n_r - 1))
