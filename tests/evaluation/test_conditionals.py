"""Conditionals of a linear-Gaussian model against their closed forms."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

import reparam as rp
from reparam.evaluation.conditionals import impute, log_conditionals, weighted_draws
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from tests.support import quick_fit

LOADING = torch.tensor([[1.0, 0.5], [-0.7, 1.2], [0.3, 0.9]], dtype=torch.float64)
NOISE = torch.tensor([0.6, 0.5, 0.8], dtype=torch.float64)
COVARIANCE = LOADING @ LOADING.T + NOISE.square().diag()


class Decoder(nn.Module):
    """p(x | z) = N(W z, noise²)."""

    def forward(self, z: Tensor) -> Independent:
        return Independent(_Observed(z @ LOADING.T, NOISE), 1)


class _Observed(Normal):
    """Gaussians whose NaN are not observed."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(loc, scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        found = super().log_prob(value.nan_to_num())
        return torch.where(value.isnan(), 0.0, found)


class Encoder(nn.Module):
    """A posterior that is wrong: too wide, and the same for all x."""

    def forward(self, x: Tensor) -> Independent:
        return Independent(Normal(x.new_zeros(len(x), 2), 1.3), 1)


@pytest.fixture
def model() -> LatentModel:
    return LatentModel(Encoder(), Decoder(), StandardNormal(2)).double()


def conditional(x: Tensor, j: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance of x_j given the others of a row."""
    rest = [i for i in range(3) if i != j]
    inverse = torch.linalg.inv(COVARIANCE[rest][:, rest])
    weight = COVARIANCE[j, rest] @ inverse
    return weight @ x[rest], COVARIANCE[j, j] - weight @ COVARIANCE[rest, j]


def test_imputed_values_and_intervals_are_those_of_the_conditional(model: LatentModel) -> None:
    torch.manual_seed(0)
    x = torch.tensor([[0.4, -1.0, 0.8], [1.5, 0.3, -0.2]], dtype=torch.float64)
    for j in range(3):
        lacking = x.clone()
        lacking[:, j] = torch.nan
        found = impute(model, lacking, n_samples=20_000, n_draws=4000)
        for row in range(2):
            mean, variance = conditional(x[row], j)
            assert found.x[row, j].item() == pytest.approx(mean.item(), abs=0.05)
            half = 1.645 * variance.sqrt().item()
            assert found.low[row, j].item() == pytest.approx(mean.item() - half, abs=0.1)
            assert found.high[row, j].item() == pytest.approx(mean.item() + half, abs=0.1)
            draws = found.draws[:, row, j]
            assert draws.var().item() == pytest.approx(variance.item(), rel=0.1)
        rest = [i for i in range(3) if i != j]
        assert torch.equal(found.x[:, rest], x[:, rest])


def test_the_evidence_is_that_of_the_observed_entries(model: LatentModel) -> None:
    torch.manual_seed(0)
    x = torch.tensor([[0.4, torch.nan, 0.8]], dtype=torch.float64)
    found = weighted_draws(model, x, None, 40_000).log_evidence
    seen = [0, 2]
    p = MultivariateNormal(torch.zeros(2, dtype=torch.float64), COVARIANCE[seen][:, seen])
    assert found.item() == pytest.approx(p.log_prob(x[0, seen]).item(), abs=0.02)


class Precise(nn.Module):
    """p(x | z) = N(W z, noise²) with a small noise, so that few draws of a wide encoder fit x."""

    def forward(self, z: Tensor) -> Independent:
        return Independent(_Observed(z @ LOADING.T, 0.05 * NOISE), 1)


def test_many_draws_adapt_to_an_example_that_the_encoder_does_not_know() -> None:
    """Unbiased, and by far closer to log p(x) than as many draws that do not adapt."""
    model = LatentModel(Encoder(), Precise(), StandardNormal(2)).double()
    x = torch.tensor([[2.4, 0.3, 1.7], [-1.9, 2.0, 0.6], [1.0, torch.nan, 1.0]]).double()
    covariance = LOADING @ LOADING.T + (0.05 * NOISE).square().diag()
    expected = []
    for row in x:
        seen = (~row.isnan()).nonzero().flatten()
        p = MultivariateNormal(torch.zeros(len(seen)).double(), covariance[seen][:, seen])
        expected.append(p.log_prob(row[seen]))
    found, sizes = [], []
    for seed in range(20):
        torch.manual_seed(seed)
        draws = weighted_draws(model, x, None, 1000)
        found.append(draws.log_evidence)
        sizes.append(draws.effective_sample_size)
    size = torch.stack(sizes).mean(0)
    assert bool((size > 150).all())
    ratio = (torch.stack(found) - torch.stack(expected)).exp()
    assert ratio.mean(0).tolist() == pytest.approx([1, 1, 1], abs=0.1)
    torch.manual_seed(0)
    few = weighted_draws(model, x, None, 499)  # too few to adapt
    assert bool((few.effective_sample_size < 20).all())


def test_log_conditionals_are_those_of_the_joint_normal(model: LatentModel) -> None:
    torch.manual_seed(0)
    x = torch.tensor([[0.4, -1.0, 0.8], [2.5, 0.3, -0.2]], dtype=torch.float64)
    found = log_conditionals(model, x, n_samples=40_000)
    for row in range(2):
        for j in range(3):
            mean, variance = conditional(x[row], j)
            expected = Normal(mean, variance.sqrt()).log_prob(x[row, j])
            assert found[row, j].item() == pytest.approx(expected.item(), abs=0.05)


def test_the_effective_sample_size_of_an_exact_posterior_is_all_draws() -> None:
    class Exact(nn.Module):
        def forward(self, x: Tensor) -> MultivariateNormal:
            precision = torch.eye(2, dtype=torch.float64) + LOADING.T @ (
                LOADING / NOISE.square()[:, None]
            )
            mean = (x / NOISE.square()) @ LOADING @ torch.linalg.inv(precision)
            return MultivariateNormal(mean, precision_matrix=precision)

    model = LatentModel(Exact(), Decoder(), StandardNormal(2)).double()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3)))
    draws = weighted_draws(model, x, None, 100, from_prior=0.0)
    torch.testing.assert_close(draws.effective_sample_size, torch.full((3,), 100.0).double())


def test_log_conditionals_of_images_have_a_value_for_each_pixel() -> None:
    digits = rp.data.load("digits")
    run = quick_fit(lambda spec: rp.variants.vae(spec, latent_dim=2, hidden=(4,)), digits)
    x = run.examples().x[:5]
    found = log_conditionals(run.latent_model, x, n_samples=4)
    assert found.shape == (5, 64)
    assert bool(found.isfinite().all())
