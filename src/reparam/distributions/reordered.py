"""A distribution whose entries are in another order.

Two chains whose groups are in different orders are distributions of the same vector after one of
them is reordered, so that their densities can be compared.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from reparam.distributions.declared import DeclaredDistribution


class Reordered(DeclaredDistribution):
    r"""The distribution of :math:`(z_{i_1}, \dots, z_{i_D})` for z from another distribution.

    Arguments:
        base: The distribution of z, over events of shape (D,).
        index: The places i in z of the entries, a permutation of 0 … D - 1, with shape (D,).

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> base = Independent(Normal(torch.tensor([0.0, 5.0]), 1.0), 1)
        >>> Reordered(base, torch.tensor([1, 0])).mean
        tensor([5., 0.])
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, index: Tensor) -> None:
        self.base, self.index = base, index
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return the log-density of values with shape (\*, D), in nats."""
        return self.base.log_prob(value[..., self.index.argsort()])

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return draws with shape (*sample_shape, *batch, D)."""
        return self.base.rsample(torch.Size(sample_shape))[..., self.index]

    @property
    def mean(self) -> Tensor:
        """The mean, with shape (*, D)."""
        return self.base.mean[..., self.index]
