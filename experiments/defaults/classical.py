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
    # The rows are in random order.
    few = np.arange(min(len(z), LEFT_OUT))
    squares = _squares(z[few], z)
    squares[few, few] = torch.inf
    scores = [float(_kernels(squares, h, z.shape[1]).mean()) for h in BANDWIDTHS]
    h = float(BANDWIDTHS[int(np.argmax(scores))])

    def log_density(x: Floats) -> Floats:
        parts = [_kernels(_squares(part, z), h, z.shape[1]) for part in np.array_split(x, 10)]
        return torch.cat(parts).numpy()

    return log_density, {"bandwidth": h}


def _squares(x: Floats, centers: Floats) -> torch.Tensor:
    """Return the squared distances of rows from centers, with shape (N, M)."""
    a, b = torch.from_numpy(x), torch.from_numpy(centers)
    return torch.addmm((a**2).sum(1)[:, None] + (b**2).sum(1), a, b.T, alpha=-2).clamp_(min=0)


def _kernels(squares: torch.Tensor, h: float, dim: int) -> torch.Tensor:
    """Return log p at rows with squared distances from all centers; an infinite one is left out."""
    n = squares.isfinite().sum(1)
    constant = 0.5 * dim * np.log(2 * np.pi * h**2)
    return torch.logsumexp(squares / (-2 * h**2), 1) - n.log() - constant


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
