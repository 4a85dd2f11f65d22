"""The uniform prior on the unit sphere."""

import torch
from torch import Tensor

from reparam.distributions import HypersphericalUniform as HypersphericalUniformDistribution
from reparam.priors.prior import Prior, as_prior
from reparam.utils.arguments import numbers


@as_prior("sphere")
@numbers(latent_dim=1)
class HypersphericalUniform(Prior):
    r"""The uniform distribution on the unit sphere, :math:`p(z) = 1 / |S^{D-1}|`.

    Arguments:
        latent_dim: The number of coordinates D.

    Example:
        >>> HypersphericalUniform(11)().sample((5,)).norm(dim=-1).allclose(torch.ones(5))
        True
    """

    space = "the unit sphere"

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.like: Tensor
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, c: Tensor | None = None) -> HypersphericalUniformDistribution:
        """Return p(z); a condition is ignored."""
        return HypersphericalUniformDistribution(
            self.latent_dim, dtype=self.like.dtype, device=self.like.device
        )
