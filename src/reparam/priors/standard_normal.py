"""The standard normal prior."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from reparam.priors.prior import Prior, as_prior
from reparam.utils.arguments import numbers


@as_prior("standard-normal")
@numbers(latent_dim=1)
class StandardNormal(Prior):
    r"""The standard normal prior, :math:`p(z) = \mathcal N(0, I)`.

    Arguments:
        latent_dim: The number of dimensions of z.

    Raises:
        OptionError: Fewer than one dimension.

    Example:
        >>> StandardNormal(20)().sample((5,)).shape
        torch.Size([5, 20])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.loc: Tensor
        self.scale: Tensor
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z); a condition is ignored."""
        return Independent(
            Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False
        )
