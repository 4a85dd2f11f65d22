"""Priors: modules from a condition c to a distribution p(z | c)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from reparam.errors import OptionError


class StandardNormal(nn.Module):
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
        if latent_dim < 1:
            raise OptionError(
                f"latent_dim={latent_dim}: a model needs at least one latent dimension"
            )
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
