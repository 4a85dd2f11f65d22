"""The Gaussian with a full covariance matrix."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import TriangularNormal
from reparam.families.family import Family, Shape, as_posterior, one_axis


@as_posterior("full-covariance")
class FullCovarianceGaussian(Family):
    r"""The Gaussian with a full covariance matrix, given by its lower-triangular factor L.

    .. math:: z = \mu + L \varepsilon, \qquad
              \log q(z) = \log \mathcal N(L^{-1}(z - \mu); 0, I) - \sum_j \log L_{jj}

    Arguments:
        event_shape: The number of dimensions n; the head makes n + n(n + 1)/2 numbers.

    Raises:
        ShapeError: An event with more than one axis.

    References:
        Kingma & Welling, An introduction to variational autoencoders, 2019, section 2.5.1.

    Example:
        >>> q = FullCovarianceGaussian(3).attach((8,))(torch.zeros(5, 8))
        >>> q.scale_tril.shape
        torch.Size([5, 3, 3])
    """

    supports = ("real",)
    factorizes = False

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)
        n = one_axis(self)
        self.raw_shape = torch.Size([n + n * (n + 1) // 2])
        self._rows_columns: Tensor
        self.register_buffer("_rows_columns", torch.tril_indices(n, n, -1), persistent=False)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return N(μ, L Lᵀ)."""
        n = self.event_shape[0]
        loc, log_variance, below = raw.split([n, n, n * (n - 1) // 2], dim=-1)
        scale_tril = torch.diag_embed((0.5 * log_variance).exp())
        rows, columns = self._rows_columns
        scale_tril[..., rows, columns] = below
        return TriangularNormal(loc, scale_tril)
