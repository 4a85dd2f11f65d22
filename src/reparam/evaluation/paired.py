"""Means and differences over the same test points and over seeds, with both standard errors."""

from math import hypot, isfinite
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
    """

    value: float
    stderr: float | None
    stderr_seeds: float | None = None

    @property
    def stderr_both(self) -> float | None:
        """The root of the sum of both squares, of those that there are."""
        known = [error for error in (self.stderr, self.stderr_seeds) if error is not None]
        return hypot(*known) if known else None

    @property
    def is_clear(self) -> bool:
        """Whether the value is more than two standard errors from zero.

        >>> Estimate(3.0, 1.0).is_clear, Estimate(3.0, 1.0, 2.0).is_clear
        (True, False)
        """
        error = self.stderr_both
        return error is not None and abs(self.value) > 2 * error


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
        >>> mean_over_seeds(torch.tensor([[1.0, 3.0]]))
        Estimate(value=2.0, stderr=1.0, stderr_seeds=None)
    """
    wide = values.double()
    value, stderr = mean_and_stderr(wide.mean(0))
    _, stderr_seeds = mean_and_stderr(wide.mean(1))
    return Estimate(value, stderr, stderr_seeds) if isfinite(value) else None


def paired_difference(values: Tensor, reference: Tensor) -> Estimate | None:
    r"""Return how much higher figures are than a reference's on the same test points.

    .. math:: d_n = \bar v_{\cdot n} - \bar r_{\cdot n}, \quad
              e_\text{points} = \frac{\operatorname{sd}_n(d_n)}{\sqrt N}, \quad
              e_\text{seeds}^2 = \frac{\operatorname{var}_s(\bar v_{s \cdot})}{S}
                               + \frac{\operatorname{var}_s(\bar r_{s \cdot})}{R}

    What makes a test point hard makes it hard for both, and falls out of :math:`d_n`. Seeds are
    no pairs: two models start from other numbers, whatever their seed is called.

    Arguments:
        values: Figures of S seeds on N points, with shape (S, N).
        reference: Those of R seeds of the reference, with shape (R, N).

    Returns:
        The mean difference and both errors; None where it is not finite.

    Raises:
        ShapeError: Other numbers of points.

    References:
        Welch, Biometrika 1947 (the error of a difference of two means).

    Example:
        >>> import torch
        >>> paired_difference(torch.tensor([[2.0, 6.0]]), torch.tensor([[1.0, 3.0]]))
        Estimate(value=2.0, stderr=1.0, stderr_seeds=None)
    """
    if values.shape[1:] != reference.shape[1:]:
        raise ShapeError(
            f"figures of {values.shape[-1]} and of {reference.shape[-1]} test points: pairs need "
            "the same points, so evaluate both on the same examples"
        )
    v, r = values.double(), reference.double()
    value, stderr = mean_and_stderr(v.mean(0) - r.mean(0))
    _, error_v = mean_and_stderr(v.mean(1))
    _, error_r = mean_and_stderr(r.mean(1))
    seeds = None if error_v is None or error_r is None else hypot(error_v, error_r)
    return Estimate(value, stderr, seeds) if isfinite(value) else None
