"""A Gaussian prior for each class."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.errors import OptionError
from reparam.priors.prior import Prior, as_prior, diagonal_normal
from reparam.utils.arguments import numbers


@as_prior("class-conditional")
@numbers(latent_dim=1, context=1)
class ClassConditional(Prior):
    r"""One Gaussian for each class, whose mean is learned.

    .. math:: p(z \mid c) = \mathcal N(W c, I)

    Arguments:
        latent_dim: The number of dimensions of z.
        context: The size of c, which is the number of classes where c is a one-hot label.

    Raises:
        OptionError: A size below one.

    Example:
        >>> ClassConditional(2, context=10)(torch.eye(10)).mean.shape
        torch.Size([10, 2])
    """

    is_learned = True
    needs_condition = True

    def __init__(self, latent_dim: int, context: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.loc = nn.Linear(context, latent_dim, bias=False)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c) for c with shape (B, C).

        Raises:
            OptionError: No condition.
        """
        if c is None:
            raise OptionError("c=None: this prior is a Gaussian for each class; give c")
        loc = self.loc(c)
        return diagonal_normal(loc, torch.ones_like(loc))
