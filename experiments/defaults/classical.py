"""Classical densities of scikit-learn, fitted to standardized and dequantized training rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score

from experiments.defaults.cells import Floats, LogDensity, dequantized, in_units

SIZES = (1, 2, 3, 5, 8, 12, 16, 24, 32)
"""The numbers of components of a mixture."""

FACTORS = (1, 2, 4, 8, 16)
"""The numbers of factors."""

REGULARIZATIONS = (1e-6, 1e-5, 1e-4, 1e-3)
"""Added to the variances of a mixture, in those of the columns."""

BANDWIDTHS = np.logspace(-2.5, 0.3, 25)
"""The bandwidths of the kernel density, in standard deviations of the columns."""

LEFT_OUT = 1000
"""The number of rows that are left out, one at a time, to choose the bandwidth."""

Fitted = tuple[LogDensity, dict[str, Any]]
"""The log density, and the settings that were chosen."""


def gaussian(z: Floats, seed: int) -> Fitted:
    """Fit one Gaussian with full covariance."""
    model = EmpiricalCovariance().fit(z)
    # Columns that depend on each other linearly have a covariance without an inverse.
    covariance = model.covariance_ + REGULARIZATIONS[0] * np.eye(z.shape[1])
    known = torch.distributions.MultivariateNormal(
        torch.from_numpy(model.location_), torch.from_numpy(covariance)
    )
    return lambda x: known.log_prob(torch.from_numpy(x)).numpy(), {}


def mixture(z: Floats, seed: int) -> Fitted:
    """Fit a Gaussian mixture: its size, covariance and regularization have the least BIC."""
    best: tuple[float, Any, dict[str, Any]] = (np.inf, None, {})
    for covariance in ("full", "diag"):
        for regularization in REGULARIZATIONS:
            worse, least = 0, np.inf
            for size in SIZES:
                # With fewer rows a component fits a few of them, at any likelihood.
                rows = size * (2 * z.shape[1] + 2 if covariance == "full" else 10)
                if (size > 1 and rows > len(z)) or worse == 2:
                    break
                model = GaussianMixture(
                    size,
                    covariance_type=covariance,
                    reg_covar=regularization,
                    random_state=seed,
                    max_iter=200,
                ).fit(z)
                bic = model.bic(z)
                worse = worse + 1 if bic > least else 0
                least = min(least, bic)
                chosen = {"size": size, "covariance": covariance, "reg_covar": regularization}
                best = min(best, (bic, model, chosen), key=lambda one: one[0])
    return best[1].score_samples, best[2]


def factor_analysis(z: Floats, seed: int) -> Fitted:
    """Fit factor analysis, whose number of factors is the best by 5-fold cross-validation."""
    sizes = [size for size in FACTORS if size < z.shape[1]]
    size = max(sizes, key=lambda n: cross_val_score(FactorAnalysis(n), z, cv=5).mean())
    return FactorAnalysis(size).fit(z).score_samples, {"factors": size}


def kernel_density(z: Floats, seed: int) -> Fitted:
    """Fit a Gaussian kernel density, whose bandwidth is the best by leaving out one row."""
    few = z[:LEFT_OUT]  # the rows are in random order
    scores = [_kernels(few, z, h, left_out=True).mean() for h in BANDWIDTHS]
    h = float(BANDWIDTHS[int(np.argmax(scores))])
    return lambda x: _kernels(x, z, h), {"bandwidth": h}


def _kernels(x: Floats, centers: Floats, h: float, left_out: bool = False) -> Floats:
    """Return the log density of kernels with the bandwidth h at rows x, in nats with shape (N,).

    Arguments:
        x: The rows, with shape (N, D).
        centers: The centers of the kernels, with shape (M, D).
        h: The bandwidth.
        left_out: Whether row i of x is center i, and is left out for itself.
    """
    a, b = (torch.from_numpy(v / (2**0.5 * h)) for v in (x, centers))
    squares = b.square().sum(1)
    found = []
    # Parts that fit in the cache of a core.
    for part in torch.arange(len(a)).split(max(1, 2**17 // len(b))):
        log_k = torch.addmm(squares, a[part], b.T, alpha=-2).add_(a[part].square().sum(1)[:, None])
        log_k.clamp_(min=0).neg_()
        if left_out:
            log_k[torch.arange(len(part)), part] = -torch.inf
        found.append(log_k.logsumexp(1))
    constant = 0.5 * x.shape[1] * np.log(2 * np.pi * h**2)
    return torch.cat(found).numpy() - np.log(len(b) - left_out) - constant


CLASSICAL: dict[str, Callable[[Floats, int], Fitted]] = {
    "gaussian": gaussian,
    "mixture": mixture,
    "factor-analysis": factor_analysis,
    "kernel-density": kernel_density,
}


def fitted(name: str, x: Floats, w: Floats, seed: int) -> Fitted:
    """Return a classical log density of training rows x, in their units.

    Arguments:
        name: The model.
        x: The training rows, with shape (N, D).
        w: The resolutions of the columns.
        seed: The seed of the noise, and of the model.
    """
    noisy = dequantized(x, w, np.random.default_rng([seed, 0]))
    mean, scale = noisy.mean(0), noisy.std(0)
    log_density, settings = CLASSICAL[name]((noisy - mean) / scale, seed)
    return in_units(log_density, mean, scale), settings
