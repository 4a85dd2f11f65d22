"""The codes of all data beside the prior, against torch's KL of Gaussians."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from reparam.batch import Batch
from reparam.models.aggregate import cost_of_correlations, cost_of_moments, far_codes
from reparam.models.latent import LatentModel
from reparam.priors import Flow, StandardNormal
from tests.support import Function, normal


def test_the_cost_is_the_kl_of_a_gaussian_with_the_same_moments() -> None:
    z = 2.0 + 0.5 * torch.randn(1000, 3, dtype=torch.float64)
    expected = kl_divergence(Normal(z.mean(0), z.std(0)), Normal(0.0, 1.0)) - 1 / 1000
    torch.testing.assert_close(cost_of_moments(z), expected)


def test_draws_from_the_prior_cost_nothing_in_the_mean() -> None:
    torch.manual_seed(0)
    costs = torch.stack([cost_of_moments(torch.randn(200, 4)) for _ in range(400)]).flatten()
    assert float(costs.mean()) == pytest.approx(0, abs=4 * float(costs.std()) / 40)


def test_with_correlations_the_cost_is_the_kl_of_a_correlated_gaussian() -> None:
    torch.manual_seed(0)
    root = torch.tril(torch.randn(4, 4).double(), -1) + 2 * torch.eye(4).double()
    p = MultivariateNormal(torch.zeros(4).double(), scale_tril=root)
    z = p.sample((50_000,))
    expected = kl_divergence(p, MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double()))
    found = float(cost_of_moments(z).sum()) + cost_of_correlations(z)
    assert found == pytest.approx(float(expected), abs=0.1)


def test_correlations_by_chance_cost_nothing_in_the_mean() -> None:
    torch.manual_seed(0)
    costs = torch.tensor([cost_of_correlations(torch.randn(60, 20)) for _ in range(400)])
    assert float(costs.mean()) == pytest.approx(0, abs=4 * float(costs.std()) / 20)
    assert cost_of_correlations(torch.randn(20, 20)) == 0
    assert cost_of_correlations(torch.cat([torch.randn(60, 1), torch.ones(60, 1)], 1)) == 0


def test_far_codes_come_with_their_cost_and_kl() -> None:
    def model(shift: float, prior: torch.nn.Module | None = None) -> LatentModel:
        encoder = Function(lambda x: normal(x + shift, 0.5))
        decoder = Function(lambda z: normal(z, 0.5))
        return LatentModel(encoder, decoder, prior or StandardNormal(2))

    torch.manual_seed(0)
    # Mean 3 and variance 1 in both dimensions: 2 · ½ · 3² nats.
    x = Batch((1 - 0.5**2) ** 0.5 * torch.randn(5000, 2))
    found = far_codes(model(3.0), x)
    assert found is not None
    kl = kl_divergence(Normal(3.0 + x.x, 0.5), Normal(0.0, 1.0)).sum(1).mean()
    assert found == (pytest.approx(9.0, abs=0.3), pytest.approx(float(kl)))
    assert far_codes(model(0.0), x) is None
    assert far_codes(model(3.0, Flow(2)), x) is None
