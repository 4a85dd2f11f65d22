r"""A prior over codes of any location and covariance, by one over standardized codes.

.. math:: p(z \mid c) = p_0\bigl(L^{-1} (z - m) \big| c\bigr) \det L^{-1}
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Transform,
    TransformedDistribution,
)

from reparam.distributions.triangular import TriangularTransform
from reparam.errors import SupportError, unknown
from reparam.priors.fixed import StandardNormal
from reparam.priors.prior import Prior
from reparam.utils.arguments import numbers

Covariance = Literal["diagonal", "full"]
"""The covariance that codes are standardized by."""

_LEAST_SCALE = 1e-4
"""The scale of a dimension in which all codes are equal."""

MOST_DIM = 512
"""The largest number of dimensions whose full covariance is tried."""


@numbers(latent_dim=1)
class Standardized(Prior):
    r"""A prior over standardized codes, and the mean and covariance of the codes.

    .. math:: z = m + L z_0, \qquad z_0 \sim p_0(z_0 \mid c)

    L is a diagonal matrix of standard deviations, or the Cholesky factor of a full covariance.

    Arguments:
        prior: p₀, whose codes have mean zero and variance one.
        latent_dim: The number of dimensions of z.
        covariance: ``diagonal``, or ``full``.

    Raises:
        OptionError: Another covariance.

    Example:
        >>> from reparam.priors import StandardNormal
        >>> prior = Standardized(StandardNormal(2), 2)
        >>> prior.set_moments(torch.tensor([[3.0, 0.0], [5.0, 2.0]]))
        >>> prior.loc, round(prior().log_prob(torch.tensor([4.0, 1.0])).item(), 3)
        (tensor([4., 1.]), -2.531)
    """

    is_learned = True

    def __init__(self, prior: Prior, latent_dim: int, covariance: Covariance = "diagonal") -> None:
        super().__init__()
        if covariance not in get_args(Covariance):
            raise unknown("covariance", str(covariance), get_args(Covariance))
        self.prior: Prior = prior
        self.latent_dim = latent_dim
        self.loc: Tensor
        self.register_buffer("loc", torch.zeros(latent_dim))
        self.scale: Tensor
        is_full = covariance == "full"
        self.register_buffer("scale", torch.eye(latent_dim) if is_full else torch.ones(latent_dim))

    def set_moments(self, codes: Tensor) -> None:
        """Set mean and covariance to those of codes, with shape (N, D).

        A dimension in which all codes are equal gets a small scale. A full covariance is shrunk as
        much as the number of codes demands.

        Raises:
            SupportError: Codes that are not finite.

        References:
            Ledoit & Wolf, A well-conditioned estimator for large-dimensional covariance matrices,
            Journal of Multivariate Analysis, 2004.
        """
        from sklearn.covariance import ledoit_wolf

        if not bool(codes.isfinite().all()):
            raise SupportError("some codes are not finite: no prior describes them; train again")
        mean, spread = codes.mean(0), codes.std(0)
        scale = spread.clamp(min=_LEAST_SCALE)
        self.loc.copy_(mean)
        if self.scale.dim() == 1:
            self.scale.copy_(scale)
            return
        correlations, _ = ledoit_wolf(((codes - mean) / scale).double().cpu().numpy())
        constant = (spread < _LEAST_SCALE).nonzero().flatten().cpu().numpy()
        correlations[constant, :] = correlations[:, constant] = 0.0
        correlations[constant, constant] = 1.0
        root = torch.from_numpy(np.linalg.cholesky(correlations)).to(codes)
        self.scale.copy_(scale[:, None] * root)

    @property
    def to_codes(self) -> Transform:
        """The map from standardized codes to codes."""
        if self.scale.dim() == 1:
            return AffineTransform(self.loc, self.scale, event_dim=1)
        return TriangularTransform(self.loc, self.scale)

    @property
    def log_volume(self) -> Tensor:
        """log det L, by which a density of codes is smaller than that of standardized ones."""
        return (self.scale if self.scale.dim() == 1 else self.scale.diagonal()).log().sum()

    def standardized(self, codes: Tensor) -> Tensor:
        """Return codes with mean zero and covariance one."""
        found: Tensor = self.to_codes.inv(codes)
        return found

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c) for c with shape (B, C)."""
        return TransformedDistribution(self.prior(c), self.to_codes, validate_args=False)


def gaussian_of(codes: Tensor, covariance: Covariance) -> Standardized:
    """Return the Gaussian with mean and covariance of codes, by which they can be standardized.

    Arguments:
        codes: The codes, with shape (N, D).
        covariance: ``diagonal``, or ``full``.

    Example:
        >>> z = torch.tensor([[0.0, 0.0], [2.0, 4.0], [4.0, 8.0]])
        >>> gaussian_of(z, "diagonal").standardized(z).tolist()
        [[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]
    """
    size = codes.shape[-1]
    found = Standardized(StandardNormal(size), size, covariance).to(codes)
    found.set_moments(codes)
    return found


def covariances(latent_dim: int) -> tuple[Covariance, ...]:
    """Return the covariances that are tried for codes of a number of dimensions.

    >>> covariances(20), covariances(5000)
    (('diagonal', 'full'), ('diagonal',))
    """
    return get_args(Covariance) if latent_dim <= MOST_DIM else ("diagonal",)


def best_covariance(pairs: Sequence[tuple[Tensor, Tensor]]) -> Covariance:
    """Return the covariance of the Gaussian that fits held-out codes best.

    Arguments:
        pairs: Codes to fit, with shape (N, D), and held-out ones, with shape (M, D).
    """
    return max(
        covariances(pairs[0][0].shape[-1]),
        key=lambda kind: sum(
            float(gaussian_of(seen, kind)().log_prob(held).mean()) for seen, held in pairs
        ),
    )
