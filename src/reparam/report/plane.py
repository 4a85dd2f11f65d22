"""The plane through the latent space on which codes are shown as points."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.errors import OptionError
from reparam.utils.equality import by_value


@by_value
@dataclass(frozen=True)
class Plane:
    r"""A plane in the latent space, with two orthonormal axes.

    .. math:: z = m + a\, e_1 + b\, e_2, \qquad (a, b) = (e_1^\top (z - m), e_2^\top (z - m))

    Arguments:
        origin: m, with shape (D,).
        axes: e_1 and e_2, with shape (2, D); the second is zero where D is 1.
        names: What the two axes are.
        share: The share of the variance of the codes that lies in the plane.

    Example:
        >>> plane = coordinate_plane(torch.tensor([[0.0, 5.0, 2.0], [2.0, 5.0, 4.0]]), 0, 2)
        >>> plane.names, plane.project(torch.tensor([2.0, 9.0, 3.0]))
        (('z0', 'z2'), tensor([1., 0.]))
        >>> plane.at(torch.tensor([1.0, 0.0]), through=torch.tensor([0.0, 9.0, 0.0]))
        tensor([2., 9., 3.])
    """

    origin: Tensor
    axes: Tensor
    names: tuple[str, str]
    share: float

    def project(self, z: Tensor) -> Tensor:
        r"""Return the points (a, b) of codes with shape (\*, D), with shape (\*, 2)."""
        return (z - self.origin) @ self.axes.T

    def at(self, points: Tensor, through: Tensor | None = None) -> Tensor:
        r"""Return the codes of points with shape (\*, 2), with shape (\*, D).

        Arguments:
            points: The points (a, b).
            through: A code with shape (D,) that the slice passes through, parallel to the plane;
                None for the plane itself.
        """
        base = self.origin if through is None else through
        return base + (points - self.project(base)) @ self.axes


def principal_plane(codes: Tensor) -> Plane:
    """Return the plane of the first two principal components of codes.

    With one or two dimensions it is that of the dimensions themselves.

    Arguments:
        codes: The codes, with shape (N, D).

    Example:
        >>> plane = principal_plane(torch.tensor([[0.0, 0, 0], [3.0, 0, 3.0], [0.0, 0, 6.0]]))
        >>> plane.names, round(plane.share, 4)
        (('component 1', 'component 2'), 1.0)
    """
    dim = codes.shape[1]
    if dim <= 2:
        return coordinate_plane(codes, 0, dim - 1)
    mean = codes.mean(0)
    _, scales, directions = torch.linalg.svd(codes - mean, full_matrices=False)
    variance = scales.square()
    share = float(variance[:2].sum() / variance.sum())
    return Plane(mean, directions[:2], ("component 1", "component 2"), share)


def coordinate_plane(codes: Tensor, first: int, second: int) -> Plane:
    """Return the plane of two latent dimensions, through the mean of codes.

    Arguments:
        codes: The codes, with shape (N, D).
        first: The dimension to the right.
        second: The dimension upwards; with one dimension alone the same as ``first``.

    Raises:
        OptionError: The same dimension twice, where there are others.
    """
    dim = codes.shape[1]
    if first == second and dim > 1:
        raise OptionError(f"second={second}: the first axis is the same dimension; give another")
    axes = torch.zeros(2, dim).to(codes)
    axes[0, first] = 1
    if second != first:
        axes[1, second] = 1
    variance = codes.var(0)
    whole = float(variance.sum())
    share = float(variance[list({first, second})].sum()) / whole if whole > 0 else 1.0
    names = (f"z{first}", "" if first == second else f"z{second}")
    return Plane(codes.mean(0), axes, names, share)
