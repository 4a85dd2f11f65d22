"""A learned mixture of Gaussians."""

import time
import warnings
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reparam.distributions import GaussianMixture
from reparam.errors import OptionError
from reparam.priors.gate import Gate
from reparam.priors.prior import Prior, as_prior
from reparam.priors.standardized import Covariance, Standardized, covariances, gaussian_of
from reparam.utils.arguments import numbers

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as Fitted

MOST_WORSE = 2
"""The number of larger mixtures in a row that are worse after which none is tried."""

_N_FITS = 30
"""The number of fits, of which the likeliest is kept."""


@as_prior("mixture")
@numbers(latent_dim=1, n_components=1, weights_context=0)
class Mixture(Prior):
    r"""A mixture of Gaussians with learned weights, means and variances.

    .. math:: p(z \mid c) = \sum_k \pi_k(c)\, \mathcal N(z; \mu_k, \mathrm{diag}(\sigma_k^2))

    Arguments:
        latent_dim: The number of dimensions of z.
        n_components: The number of Gaussians K.
        weights_context: The size of a condition c that the weights depend on; 0 for weights that
            are the same under every condition.

    Raises:
        OptionError: A size below one.

    References:
        Dilokthanakul et al., Deep unsupervised clustering with Gaussian mixture VAEs, 2016.

    Example:
        >>> Mixture(20, n_components=10)().sample((5,)).shape
        torch.Size([5, 20])
    """

    is_learned = True
    options = ("n_components",)

    def __init__(self, latent_dim: int, n_components: int = 100, weights_context: int = 0) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.gate = Gate(weights_context, n_components) if weights_context else None
        self.loc = nn.Parameter(torch.randn(n_components, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(n_components, latent_dim))

    def forward(self, c: Tensor | None = None) -> GaussianMixture:
        """Return p(z | c); a condition is ignored without ``weights_context``."""
        logits = self.logits if self.gate is None else self.logits + self.gate(c)
        return GaussianMixture(logits, self.loc, self.log_scale.exp())

    def start_at(self, fitted: "Fitted") -> None:
        """Set the mixture to one that scikit-learn fitted, with diagonal covariances."""
        for parameter, value in (
            (self.logits, np.log(fitted.weights_)),
            (self.loc, fitted.means_),
            (self.log_scale, 0.5 * np.log(fitted.covariances_)),
        ):
            parameter.data.copy_(torch.from_numpy(value))

    def fit(self, codes: Tensor) -> None:
        """Set the mixture to the one that fits codes best, by expectation maximization.

        Of several fits the one with the best likelihood is kept. Their covariances are full,
        because an autoencoder's codes are defined up to a linear map only. The prior keeps the
        variances of each component.

        Arguments:
            codes: The codes, with shape (N, D).

        Raises:
            OptionError: Fewer codes than components.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Fit

        z, k = codes.double().cpu().numpy(), len(self.logits)
        if len(z) < k:
            raise OptionError(
                f"n_components={k}: must be at most {len(z)}, the number of training examples that "
                "the mixture is fitted to"
            )
        # A floor under the variances: a component of one example would have none.
        floor = float(1e-4 * z.var(0).mean() + 1e-6)
        kind = "full" if len(z) > 10 * k * z.shape[1] else "diag"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits = [
                Fit(k, covariance_type=kind, reg_covar=floor, random_state=start).fit(z)
                for start in range(_N_FITS)
            ]
        weights = max(fits, key=lambda fit: fit.lower_bound_).predict_proba(z)
        sizes = weights.sum(0)[:, None] + 1e-9
        loc = weights.T @ z / sizes
        variance = weights.T @ np.square(z) / sizes - np.square(loc) + floor
        for parameter, value in (
            (self.logits, np.log(sizes[:, 0])),
            (self.loc, loc),
            (self.log_scale, 0.5 * np.log(np.maximum(variance, floor))),
        ):
            parameter.data.copy_(torch.from_numpy(value))


def fitted_by_em(codes: NDArray[np.float64], size: int, seed: int = 0) -> "Fitted":
    """Return the mixture of Gaussians that expectation maximization fits to codes.

    It starts at the clusters of k-means.

    Arguments:
        codes: The codes, with shape (N, D).
        size: The number of components, at most N.
        seed: The seed of the clusters.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture as Fitted

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Fitted(
            size, covariance_type="diag", reg_covar=1e-4, max_iter=50, random_state=seed
        ).fit(codes)


def start_at_codes(prior: Standardized, codes: Tensor, seed: int = 0) -> None:
    """Set a mixture of standardized codes to the one that fits codes by expectation maximization.

    Another prior of standardized codes gets their mean and covariance alone.

    Arguments:
        prior: The prior, which changes.
        codes: The codes, with shape (N, D).
        seed: The seed of the clusters that the mixture starts at.
    """
    prior.set_moments(codes)
    if isinstance(prior.prior, Mixture):
        scaled = _array(prior.standardized(codes))
        prior.prior.start_at(fitted_by_em(scaled, len(prior.prior.logits), seed))


def _array(codes: Tensor) -> NDArray[np.float64]:
    """Return codes as an array in double precision."""
    return codes.double().cpu().numpy()


class BestMixture(NamedTuple):
    """The mixture that fits held-out codes best.

    Arguments:
        covariance: The covariance that codes are standardized by.
        size: The number of components.
        density: The mean log density of held-out codes, in nats.
    """

    covariance: Covariance
    size: int
    density: float


def best_mixture(
    pairs: Sequence[tuple[Tensor, Tensor]],
    sizes: Sequence[int],
    seed: int = 0,
    seconds: float = inf,
) -> BestMixture:
    """Return the mixture of standardized codes that fits held-out codes best.

    Standardized by their full covariance, components with diagonal covariances describe codes that
    are correlated. Larger mixtures are not tried after two in a row that are worse than a smaller
    one.

    Arguments:
        pairs: Codes to fit, with shape (N, D), and held-out ones, with shape (M, D); several pairs
            for cross-validation.
        sizes: The numbers of components, in increasing order; those above N are left out.
        seed: The seed of the fits.
        seconds: The time after which no larger mixture is tried.

    Raises:
        OptionError: Fewer codes than the least number of components.
    """
    kinds = covariances(pairs[0][0].shape[-1])
    found = []
    for kind in kinds:
        moments = [gaussian_of(seen, kind) for seen, _ in pairs]
        scaled = [
            (_array(gaussian.standardized(seen)), _array(gaussian.standardized(held)))
            for gaussian, (seen, held) in zip(moments, pairs, strict=True)
        ]
        size, density = _best_size(scaled, sizes, seed, seconds / len(kinds))
        volume = np.mean([float(gaussian.log_volume) for gaussian in moments])
        found.append(BestMixture(kind, size, density - float(volume)))
    return max(found, key=lambda one: one.density)


def _best_size(
    pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    sizes: Sequence[int],
    seed: int,
    seconds: float,
) -> tuple[int, float]:
    """Return the best size for standardized codes, and the mean log density of held-out ones."""
    n = min(len(codes) for codes, _ in pairs)
    if n < sizes[0]:
        raise OptionError(
            f"n_components={sizes[0]}: must be at most {n}, the number of codes that the mixture "
            "is fitted to"
        )
    best, most, n_worse, began = sizes[0], -np.inf, 0, time.perf_counter()
    for size in (size for size in sizes if size <= n):
        if size > sizes[0] and time.perf_counter() - began > seconds:
            break
        score = np.mean([fitted_by_em(codes, size, seed).score(held) for codes, held in pairs])
        n_worse = n_worse + 1 if score < most else 0
        if n_worse == MOST_WORSE:
            break
        if not n_worse:
            best, most = size, float(score)
    return best, most
