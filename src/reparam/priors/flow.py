"""A prior by a masked autoregressive flow."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import Flow as FlowDistribution
from reparam.nn.flows import masked_transforms
from reparam.priors.fixed import StandardNormal
from reparam.priors.prior import Prior, as_prior, diagonal_normal
from reparam.utils.arguments import numbers


@as_prior("flow")
@numbers(latent_dim=1, n_transforms=1, context=0, bins=0, passes=1)
class Flow(Prior):
    r"""A masked autoregressive flow, a learned density.

    .. math:: \log p(z \mid c) = \log \mathcal N(f_c(z); 0, I)
              + \log \Bigl|\det \frac{\partial f_c}{\partial z}\Bigr|

    Arguments:
        latent_dim: The number of dimensions of z.
        context: The size of a condition c; 0 without one.
        n_transforms: How many transforms are stacked.
        hidden: The sizes of the layers of each network.
        bins: The number of bins of the spline of each transform; 0 for affine transforms.
        passes: The number of passes that a draw takes: 2 for coupling layers, None for D.

    Raises:
        OptionError: A size below one.

    References:
        Papamakarios et al., NeurIPS 2017; Chen et al., Variational lossy autoencoder, ICLR 2017
        (as a prior); Durkan et al., Neural spline flows, NeurIPS 2019.

    Example:
        >>> Flow(20)().sample((5,)).shape
        torch.Size([5, 20])
    """

    is_learned = True

    def __init__(
        self,
        latent_dim: int,
        context: int = 0,
        n_transforms: int = 2,
        hidden: Sequence[int] = (256,),
        bins: int = 0,
        passes: int | None = None,
    ) -> None:
        super().__init__()
        self.noise = StandardNormal(latent_dim)
        self.latent_dim = latent_dim
        self.transforms = masked_transforms(latent_dim, context, n_transforms, hidden, passes, bins)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c) for c with shape (B, C)."""
        batch = (1,) if c is None else (c.shape[0], 1)
        loc = self.noise.loc.repeat(batch)
        noise = diagonal_normal(loc, torch.ones_like(loc))
        return FlowDistribution(noise, self.transforms(c), inverted=True)
