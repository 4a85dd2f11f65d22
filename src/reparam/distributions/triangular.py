r"""A triangular linear map between vectors.

.. math:: z = m + L u, \qquad \log |\det L| = \sum_j \log L_{jj}
"""

import torch
from torch import Tensor
from torch.distributions import Transform, constraints

from reparam.utils.autocast import without_autocast


class TriangularTransform(Transform):
    r"""A triangular linear map and a shift, :math:`z = m + L u`.

    Arguments:
        loc: m, with shape (D,).
        scale_tril: L, a lower triangular matrix with a positive diagonal, with shape (D, D).

    Example:
        >>> map = TriangularTransform(torch.ones(2), torch.tensor([[2.0, 0.0], [1.0, 3.0]]))
        >>> map(torch.ones(2)), map.inv(torch.tensor([3.0, 5.0]))
        (tensor([3., 5.]), tensor([1., 1.]))
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        super().__init__()
        self.loc, self.scale_tril = loc, scale_tril

    def _call(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, self.loc.dtype)
        with without_autocast(x.device):
            return self.loc + x.to(dtype) @ self.scale_tril.T.to(dtype)

    def _inverse(self, y: Tensor) -> Tensor:
        rows = (y - self.loc).reshape(-1, y.shape[-1])
        with without_autocast(y.device):
            scale = self.scale_tril.to(rows.dtype)
            found = torch.linalg.solve_triangular(scale, rows.T, upper=False).T
        return found.reshape(y.shape)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |det L|, with shape (*,)."""
        return self.scale_tril.diagonal().log().sum().expand(x.shape[:-1])
