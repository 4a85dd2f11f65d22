"""The closed forms that other tests compare with, by integration and by Bayes' rule."""

import numpy as np
import torch
from scipy import integrate, stats

from tests.support import SHIFTED, LinearGaussian

X = torch.tensor([[0.5, -1.0, 0.3], [1.5, 0.2, -0.8]])


def test_the_evidence_is_the_integral_over_z() -> None:
    model = LinearGaussian(
        torch.tensor([[0.8]]), 0.5, torch.tensor([0.3]), torch.tensor([-0.4]), torch.tensor([1.5])
    )
    x = torch.tensor([[-1.2], [2.0]])

    def joint(z: float, value: float) -> float:
        return stats.norm(-0.4, 1.5).pdf(z) * stats.norm(0.8 * z + 0.3, 0.5).pdf(value)

    exact = [np.log(integrate.quad(joint, -15, 15, args=(float(v),))[0]) for v in x]
    np.testing.assert_allclose(model.log_likelihood(x), exact, rtol=1e-6)


def test_bayes_rule_holds_at_any_z() -> None:
    """log p(x) = log p(z) + log p(x | z) - log p(z | x)."""
    model = LinearGaussian(
        SHIFTED.weight, 0.6, SHIFTED.bias, torch.tensor([0.5, -1.0]), torch.tensor([0.4, 2.0])
    )
    z = torch.randn(2, 2)
    prior = stats.norm([0.5, -1.0], [0.4, 2.0]).logpdf(z).sum(-1)
    evidence = prior + (model.likelihood(z).log_prob(X) - model.posterior(X).log_prob(z)).numpy()
    np.testing.assert_allclose(model.log_likelihood(X), evidence, rtol=1e-4)


def test_the_elbo_of_the_posterior_is_the_evidence() -> None:
    q = SHIFTED.posterior(X)
    elbo = SHIFTED.elbo(X, q.mean.numpy(), q.covariance_matrix.numpy(), q.entropy().numpy())
    np.testing.assert_allclose(elbo, SHIFTED.log_likelihood(X), rtol=1e-5)
