"""Priors without parameters: standard normal, uniform on the sphere or over codes, and none."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam import distributions
from reparam.distributions import OneHotCodes
from reparam.distributions.codes import code_shape
from reparam.errors import SupportError
from reparam.priors.prior import Prior, Setting, as_prior, diagonal_normal
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
        return diagonal_normal(self.loc, self.scale)


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

    def forward(self, c: Tensor | None = None) -> distributions.HypersphericalUniform:
        """Return p(z); a condition is ignored."""
        return distributions.HypersphericalUniform(
            self.latent_dim, dtype=self.like.dtype, device=self.like.device
        )


@as_prior("uniform-codes")
@numbers(n_variables=1, n_classes=1)
class UniformCodes(Prior):
    r"""N one-hot codes of K classes each, all equally likely.

    .. math:: \log p(z) = -N \log K

    Arguments:
        n_variables: N.
        n_classes: K.

    Raises:
        OptionError: A size below one.

    Example:
        >>> round(UniformCodes(32, 10)().log_prob(torch.eye(10)[0].repeat(32)).item(), 2)
        -73.68
    """

    space = "discrete codes"

    def __init__(self, n_variables: int, n_classes: int) -> None:
        super().__init__()
        self.latent_dim = n_variables * n_classes
        self.logits: Tensor
        self.register_buffer("logits", torch.zeros(n_variables, n_classes), persistent=False)

    @classmethod
    def for_model(cls, setting: Setting, options: Mapping[str, Any]) -> Self:
        """Create the prior over codes that fill the latent dimensions of a model."""
        return cls(*code_shape(setting.latent_dim, options.get("n_classes")))

    def forward(self, c: Tensor | None = None) -> OneHotCodes:
        """Return p(z); a condition is ignored."""
        return OneHotCodes(self.logits)


class NoPrior(Prior):
    """The missing prior of an autoencoder, whose codes cannot be drawn.

    Example:
        >>> NoPrior()()
        Traceback (most recent call last):
        reparam.errors.SupportError: an autoencoder has no prior to draw codes from: train the ...
    """

    exists = False

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Refuse.

        Raises:
            SupportError: Always.
        """
        raise SupportError(
            "an autoencoder has no prior to draw codes from: train the variant wae or vae"
        )
