r"""The maximum mean discrepancy, a distance of two distributions that needs draws of them only.

.. math:: \mathrm{MMD}^2 = \mathbb E[k(a, a')] + \mathbb E[k(b, b')] - 2\, \mathbb E[k(a, b)]
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reparam.errors import ShapeError


def inverse_multiquadrics(a: Tensor, b: Tensor) -> Tensor:
    r"""Return the sum of seven inverse multiquadrics of all pairs, with shape (N, M).

    .. math:: k(a, b) = \sum_s \frac{s C}{s C + \|a - b\|^2}, \qquad C = 2 D, \quad
              s = 0.1, 0.2, 0.5, 1, 2, 5, 10

    Arguments:
        a: Points with shape (N, D).
        b: Points with shape (M, D).

    References:
        Tolstikhin et al., ICLR 2018, section 4.

    Example:
        >>> inverse_multiquadrics(torch.zeros(1, 2), torch.zeros(3, 2))
        tensor([[7., 7., 7.]])
    """
    distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    widths = [2 * a.shape[-1] * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return torch.stack([width / (width + distance) for width in widths]).sum(0)


Kernel = Callable[[Tensor, Tensor], Tensor]
"""A function from points with shapes (N, D) and (M, D) to values of all pairs, as (N, M)."""


def mmd(first: Tensor, second: Tensor, kernel: Kernel = inverse_multiquadrics) -> Tensor:
    r"""Return an unbiased estimate of the squared maximum mean discrepancy of two samples.

    .. math:: \mathrm{MMD}^2 = \mathbb E[k(a, a')] + \mathbb E[k(b, b')] - 2\, \mathbb E[k(a, b)]

    Because it is unbiased, the estimate may be negative.

    Arguments:
        first: Draws a, with shape (N, D).
        second: Draws b, with shape (M, D).
        kernel: The kernel k.

    Raises:
        ShapeError: A sample has fewer than two draws, or the draws have different sizes.

    References:
        Gretton et al., A kernel two-sample test, JMLR 2012, eq. 3.

    Example:
        >>> mmd(torch.zeros(5, 2), torch.zeros(6, 2)), mmd(torch.zeros(5, 2), torch.ones(6, 2)) > 1
        (tensor(0.), tensor(True))
    """
    sizes = (len(first), len(second))
    if min(sizes) < 2 or first.shape[1:] != second.shape[1:]:
        raise ShapeError(
            f"draws of shape {tuple(first.shape)} and {tuple(second.shape)}: each sample must have "
            "two draws or more, and both the same number of dimensions"
        )

    def within(a: Tensor) -> Tensor:
        # The pairs of a draw with itself would add a bias.
        pairs = kernel(a, a)
        return (pairs.sum() - pairs.diagonal().sum()) / (len(a) * (len(a) - 1))

    return within(first) + within(second) - 2 * kernel(first, second).mean()
