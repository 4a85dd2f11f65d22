r"""Factor analysis, the latent-variable model that is linear and Gaussian.

.. math:: p(y \mid z) = \mathcal N(W z, \Psi), \quad p(z) = \mathcal N(0, I),
          \qquad p(y) = \mathcal N(0, W W^\top + \Psi), \quad \Psi = \mathrm{diag}(\psi)

References:
    Jöreskog, Some contributions to maximum likelihood factor analysis, Psychometrika 1967; Barber,
    Bayesian reasoning and machine learning, 2012, section 21.2.2; Lucas et al., Don't blame the
    ELBO!, NeurIPS 2019 (the linear VAE).
"""

from math import inf, log, pi
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_NOISE = 1e-6
"""The least variance of the noise by default, for columns whose variance is about one."""

STEPS, TOLERANCE = 100, 1e-4
"""The largest number of steps, and the gain in nats at which they end."""

FOLDS, SIZES = 5, (0, 1, 2, 3, 4, 6, 8, 12, 16)
"""The number of folds, and the numbers of factors that are tried beside the largest."""


class FactorAnalysis(NamedTuple):
    r"""The parameters of factor analysis, in float64.

    The columns of W are orthogonal in the metric :math:`\Psi^{-1}`, so that the posterior
    factorizes.

    Arguments:
        loading: W, with shape (D, K).
        noise: ψ, with shape (D,).
    """

    loading: Tensor
    noise: Tensor

    def log_likelihood(self, covariance: Tensor) -> float:
        """Return the mean of log p(y), in nats, over rows with mean zero and this covariance.

        Arguments:
            covariance: The second moments of the rows, with shape (D, D).
        """
        factor = torch.linalg.cholesky(self.loading @ self.loading.T + self.noise.diag())
        log_determinant = 2 * factor.diagonal().log().sum()
        trace = torch.cholesky_solve(covariance.double(), factor).diagonal().sum()
        return float(-0.5 * (len(factor) * log(2 * pi) + log_determinant + trace))

    def posterior(self) -> tuple[Tensor, Tensor]:
        r"""Return the posterior :math:`\mathcal N(A y, \mathrm{diag}(v))`: A (K, D) and v (K,).

        .. math:: v_k = 1 / (1 + w_k^\top \Psi^{-1} w_k), \qquad
                  A = \mathrm{diag}(v) W^\top \Psi^{-1}
        """
        scaled = self.loading / self.noise[:, None]
        variance = 1 / (1 + (self.loading * scaled).sum(0))
        return variance[:, None] * scaled.T, variance


def factor_analysis(
    covariance: Tensor, n_factors: int, least: Tensor | float = LEAST_NOISE
) -> FactorAnalysis:
    r"""Fit factor analysis to a covariance matrix S by maximum likelihood.

    A step takes the largest eigenvalues λ of the covariance in units of the noise, and their
    eigenvectors u,

    .. math:: w_k = \Psi^{1/2} u_k \sqrt{\max(\lambda_k - 1, 0)}, \qquad
              \psi = \mathrm{diag}(S - W W^\top)

    Arguments:
        covariance: S, with shape (D, D).
        n_factors: K, from 0 to D.
        least: The least variances of the noise, with shape (D,), or one for all columns.

    Example:
        >>> factor_analysis(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), 0).noise.tolist()
        [2.0, 2.0]
    """
    s = covariance.double()
    floor = torch.zeros_like(s.diagonal()) + least
    s = s + (floor - s.diagonal()).clamp(min=0).diag()  # a constant column
    variance = s.diagonal()
    best, found = -inf, FactorAnalysis(s.new_zeros(len(s), 0), variance)
    if not n_factors:
        return found
    given_others = 1 / torch.linalg.pinv(s, hermitian=True).diagonal()
    noise = given_others.clamp(floor, variance)
    for _ in range(STEPS):
        root = noise.sqrt()
        values, vectors = torch.linalg.eigh(s / root / root[:, None])
        excess = (values[-n_factors:] - 1).clamp(min=0)
        loading = root[:, None] * vectors[:, -n_factors:] * excess.sqrt()
        current = FactorAnalysis(loading, noise)
        value = current.log_likelihood(s)
        if value <= best + TOLERANCE:
            break
        best, found = value, current
        noise = (variance - loading.square().sum(1)).clamp(min=floor)
    return found


def cross_validated(y: Tensor, most: int, least: Tensor | float = LEAST_NOISE) -> FactorAnalysis:
    """Fit factor analysis with the number of factors that describes held-out rows best.

    Arguments:
        y: The rows, with mean zero, in random order, with shape (N, D).
        most: The largest number of factors.
        least: See ``factor_analysis``.
    """
    y, fold = y.double(), torch.arange(len(y)) % FOLDS

    def covariance(rows: Tensor) -> Tensor:
        return rows.T @ rows / max(1, len(rows))

    folds = [(covariance(y[fold != i]), covariance(y[fold == i])) for i in range(FOLDS)]

    def score(n_factors: int) -> float:
        fits = (factor_analysis(s, n_factors, least).log_likelihood(held) for s, held in folds)
        return sum(fits)

    best = max(sorted(k for k in {*SIZES, most} if k <= most), key=score)
    return factor_analysis(covariance(y), best, least)
