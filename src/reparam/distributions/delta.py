"""A point mass: the posterior of an autoencoder without noise."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions.declared import DeclaredDistribution
from reparam.errors import SupportError


class Delta(DeclaredDistribution):
    r"""A distribution with all its mass at one point, :math:`\delta(z - v)`.

    It has no density, so its KL to a continuous prior is infinite, and it has no ELBO.

    Arguments:
        value: The point v, with shape (\*, D).

    Example:
        >>> Delta(torch.ones(5, 2)).rsample((3,)).shape
        torch.Size([3, 5, 2])
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        r"""Return the point, with shape (\*sample_shape, \*, D)."""
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Refuse: a point mass has no density.

        Raises:
            SupportError: Always.
        """
        raise SupportError(
            "a deterministic code has no density, so its KL to a prior is infinite and it has no "
            "ELBO: use objective='reconstruction' or objective='mmd', or posterior='gaussian'"
        )

    @property
    def mean(self) -> Tensor:
        """The point."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.value)
