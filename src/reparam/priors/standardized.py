r"""A prior over codes of any location and scale, by one over standardized codes.

.. math:: p(z \mid c) = p_0\Bigl(\frac{z - m}{s} \Big| c\Bigr) \prod_j \frac1{s_j}
"""

import torch
from torch import Tensor
from torch.distributions import AffineTransform, Distribution, TransformedDistribution

from reparam.priors.prior import Prior
from reparam.utils.arguments import numbers


@numbers(latent_dim=1)
class Standardized(Prior):
    r"""A prior over standardized codes, and the location and scale of the codes.

    .. math:: z = m + s \odot z_0, \qquad z_0 \sim p_0(z_0 \mid c)

    Arguments:
        prior: p₀, whose codes have mean zero and variance one.
        latent_dim: The number of dimensions of z.

    Example:
        >>> from reparam.priors import StandardNormal
        >>> prior = Standardized(StandardNormal(2), 2)
        >>> prior.set_moments(torch.tensor([[3.0, 0.0], [5.0, 2.0]]))
        >>> prior.loc, round(prior().log_prob(torch.tensor([4.0, 1.0])).item(), 3)
        (tensor([4., 1.]), -2.531)
    """

    is_learned = True

    def __init__(self, prior: Prior, latent_dim: int) -> None:
        super().__init__()
        self.prior: Prior = prior
        self.latent_dim = latent_dim
        self.loc: Tensor
        self.scale: Tensor
        self.register_buffer("loc", torch.zeros(latent_dim))
        self.register_buffer("scale", torch.ones(latent_dim))

    def set_moments(self, codes: Tensor) -> None:
        """Set location and scale to the mean and standard deviation of codes, with shape (N, D).

        A dimension in which all codes are equal gets a small scale.
        """
        self.loc.copy_(codes.mean(0))
        self.scale.copy_(codes.std(0).clamp(min=1e-4))

    def standardized(self, codes: Tensor) -> Tensor:
        """Return codes with mean zero and variance one."""
        return (codes - self.loc) / self.scale

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c) for c with shape (B, C)."""
        moved = AffineTransform(self.loc, self.scale, event_dim=1)
        return TransformedDistribution(self.prior(c), moved, validate_args=False)
