r"""A Gaussian with full covariance, whose density is exact where the covariance is ill-conditioned.

.. math:: z = \mu + L \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I)
"""

from math import log, pi

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.types import _size

from reparam.distributions.last_draw import LastDraw
from reparam.distributions.precision import upcast


class TriangularNormal(MultivariateNormal):
    r"""The Gaussian of z = μ + L ε with a lower-triangular L.

    .. math:: \log q(z) = -\tfrac12 \|\varepsilon\|^2 - \sum_j \log L_{jj} - \tfrac D2 \log 2\pi,
              \qquad \varepsilon = L^{-1} (z - \mu)

    Solving for ε multiplies the rounding error of z by up to the condition number of L. The density
    of the last draws is therefore computed from the ε that they were made of, and that of any
    other z by a solve in float64, where the device has it.

    Arguments:
        loc: μ, with shape (\*, D).
        scale_tril: L, with shape (\*, D, D) and a positive diagonal.

    Example:
        >>> q = TriangularNormal(torch.zeros(2), torch.tensor([[1.0, 0.0], [1e4, 1e-4]]))
        >>> z = q.sample((1000,))
        >>> bool(q.log_prob(z).max() < -log(2 * pi) - log(1e-4) + 1e-4)
        True
    """

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        self._last: LastDraw[Tensor] = LastDraw()
        super().__init__(loc, scale_tril=scale_tril, validate_args=False)

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> "TriangularNormal":
        """Return the distribution over a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        scale_tril = self.scale_tril.expand(*shape, shape[-1])
        return TriangularNormal(self.loc.expand(shape), scale_tril)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw z, with shape (*sample_shape, *, D)."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        z: Tensor = self.loc + (self.scale_tril @ noise[..., None])[..., 0]
        self._last.keep(z, self._density(noise))
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(z), in nats with shape (*,)."""
        last = self._last.result_of(value)
        if last is not None:
            return last
        loc, scale_tril = upcast(self.loc), upcast(self.scale_tril)
        wide = MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)
        with torch.autocast(value.device.type, enabled=False):
            return wide.log_prob(upcast(value)).to(value.dtype)

    def _density(self, noise: Tensor) -> Tensor:
        log_volume = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = 0.5 * noise.shape[-1] * log(2 * pi)
        return -0.5 * noise.square().sum(-1) - log_volume - constant
