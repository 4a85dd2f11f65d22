"""Means and differences over the same test points and over seeds, with both standard errors."""

from math import hypot, inf, isfinite, sqrt
from typing import NamedTuple

from torch import Tensor

from reparam.errors import ShapeError
from reparam.evaluation.statistics import mean_and_stderr


class Estimate(NamedTuple):
    """A mean over test points and over seeds of training, with the error that each leaves.

    Arguments:
        value: The mean.
        stderr: Its standard error over test points, for just these trained models; None for a
            single point.
        stderr_seeds: Its standard error over seeds, on just these test points; None where there
            are fewer than two.
        df: The degrees of freedom of the error over test points.
        df_seeds: Those of the error over seeds.
    """

    value: float
    stderr: float | None
    stderr_seeds: float | None = None
    df: float = inf
    df_seeds: float = inf

    @property
    def margin(self) -> float | None:
        r"""Half the width of the 95 % interval of the value; None without an error.

        .. math:: m = \sqrt{\big(t_{\nu_\text{points}} e_\text{points}\big)^2
                          + \big(t_{\nu_\text{seeds}} e_\text{seeds}\big)^2}

        with the 97.5 % quantiles t of Student. Each error has its own, since a few seeds often
        look alike by chance: the Welch-Satterthwaite freedom of both errors together would then
        be that of the many test points, and two seeds against one clearly apart in 12 % of cases
        where nothing is.

        References:
            Banerjee, Sankhyā 1960 (each error with its own quantile covers in 95 % or more).
        """
        errors = ((self.stderr, self.df), (self.stderr_seeds, self.df_seeds))
        margins = [quantile(df) * error for error, df in errors if error is not None]
        return hypot(*margins) if margins else None

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside of the 95 % interval.

        >>> Estimate(3.0, 1.0).is_clear, Estimate(3.0, 1.0, 1.0, df_seeds=2).is_clear
        (True, False)
        """
        return self.margin is not None and abs(self.value) > self.margin

    def to_dict(self) -> dict[str, float | None]:
        """Return the value and its errors as JSON holds them."""
        return {"value": self.value, "stderr": self.stderr, "stderr_seeds": self.stderr_seeds}


def quantile(df: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution.

    Arguments:
        df: The degrees of freedom; infinite for the normal distribution.

    >>> round(quantile(1), 3), round(quantile(inf), 3)
    (12.706, 1.96)
    """
    # As long as torch itself takes to import, and for two numbers.
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))


def mean_over_seeds(values: Tensor) -> Estimate | None:
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
        >>> mean_over_seeds(torch.tensor([[1.0, 3.0]])).to_dict()
        {'value': 2.0, 'stderr': 1.0, 'stderr_seeds': None}
    """
    wide = values.double()
    n_seeds, n = wide.shape
    value, stderr = mean_and_stderr(wide.mean(0))
    _, stderr_seeds = mean_and_stderr(wide.mean(1))
    return Estimate(value, stderr, stderr_seeds, n - 1, n_seeds - 1) if isfinite(value) else None


def paired_difference(values: Tensor, reference: Tensor) -> Estimate | None:
    r"""Return how much higher figures are than a reference's on the same test points.

    .. math:: d_n = \bar v_{\cdot n} - \bar r_{\cdot n}, \quad
              e_\text{points} = \frac{\operatorname{sd}_n(d_n)}{\sqrt N}, \quad
              e_\text{seeds}^2 = \frac{\operatorname{var}_s(\bar v_{s \cdot})}{S}
                               + \frac{\operatorname{var}_s(\bar r_{s \cdot})}{R}

    What makes a test point hard makes it hard for both, and falls out of :math:`d_n`. Seeds are
    no pairs: two models start from other numbers, whatever their seed is called. Where one side has
    a single seed, it is taken to vary as the other does.

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
        >>> paired_difference(torch.tensor([[2.0, 6.0]]), torch.tensor([[1.0, 3.0]])).to_dict()
        {'value': 2.0, 'stderr': 1.0, 'stderr_seeds': None}
    """
    if values.shape[1:] != reference.shape[1:]:
        raise ShapeError(
            f"figures of {values.shape[-1]} and of {reference.shape[-1]} test points: pairs need "
            "the same points, so evaluate both on the same examples"
        )
    v, r = values.double(), reference.double()
    d = v.mean(0) - r.mean(0)
    value, stderr = mean_and_stderr(d)
    if not isfinite(value):
        return None
    stderr_seeds, df_seeds = _error_over_seeds(v.mean(1), r.mean(1))
    return Estimate(value, stderr, stderr_seeds, len(d) - 1, df_seeds)


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
