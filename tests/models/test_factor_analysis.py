"""Factor analysis against scikit-learn, and its posterior against conditioning of Gaussians."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis as Reference

from reparam.models.factor_analysis import cross_validated, factor_analysis

RNG = np.random.default_rng(0)
LOADING = RNG.standard_normal((7, 2))
ROWS = RNG.standard_normal((400, 2)) @ LOADING.T + 0.5 * RNG.standard_normal((400, 7))
ROWS -= ROWS.mean(0)
COVARIANCE = torch.from_numpy(ROWS.T @ ROWS / len(ROWS))


@pytest.mark.parametrize("n_factors", [1, 2, 4])
def test_the_likelihood_is_that_of_scikit_learn(n_factors: int) -> None:
    found = factor_analysis(COVARIANCE, n_factors).log_likelihood(COVARIANCE)
    reference = Reference(n_factors, tol=1e-4, max_iter=5000).fit(ROWS).score(ROWS)
    assert found == pytest.approx(reference, abs=0.01)


def test_no_factors_are_independent_columns() -> None:
    found = factor_analysis(COVARIANCE, 0)
    normal = torch.distributions.Normal(0.0, COVARIANCE.diagonal().sqrt())
    expected = normal.log_prob(torch.from_numpy(ROWS)).sum(1).mean()
    assert found.log_likelihood(COVARIANCE) == pytest.approx(float(expected))


def test_the_posterior_factorizes_and_is_that_of_conditioning() -> None:
    found = factor_analysis(COVARIANCE, 3)
    mean, variance = found.posterior()
    w, noise = found.loading, found.noise
    gain = w.T @ torch.linalg.inv(w @ w.T + noise.diag())
    torch.testing.assert_close(mean, gain)
    torch.testing.assert_close(variance.diag(), torch.eye(3).double() - gain @ w)


def test_a_total_and_a_constant_column_have_finite_likelihoods() -> None:
    rows = np.column_stack([ROWS, ROWS[:, 0] + ROWS[:, 1], np.zeros(len(ROWS))])
    found = factor_analysis(torch.from_numpy(rows.T @ rows / len(rows)), 3)
    assert np.isfinite(found.log_likelihood(torch.from_numpy(rows.T @ rows / len(rows))))
    assert (found.noise > 0).all()


def test_the_number_of_factors_is_that_of_the_data() -> None:
    assert cross_validated(torch.from_numpy(ROWS), 7).loading.shape == (7, 2)
    noise = torch.from_numpy(RNG.standard_normal((400, 7)))
    assert cross_validated(noise, 7).loading.shape == (7, 0)


def test_the_noise_has_a_floor() -> None:
    least = torch.linspace(0.1, 0.9, 7, dtype=torch.float64)
    for found in (
        factor_analysis(COVARIANCE, 3, least),
        cross_validated(torch.from_numpy(ROWS), 3, least),
    ):
        assert (found.noise >= least).all()
