"""Gradients against finite differences, and the reparameterized gradient of the ELBO (M8c)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.distributions import Distribution, Independent, Uniform

from reparam import families
from reparam.batch import Batch
from reparam.distributions import (
    ContinuousBernoulli,
    CrossEntropy,
    OptimalNormal,
    QuantizedCategorical,
)
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, kl
from reparam.families import Family
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives import ELBO, IWAE
from reparam.priors import StandardNormal
from tests.support import LINEAR, normal, require_gradient

LATENT, DIM = 2, 3
N_DRAWS = 40_000
X = np.array([0.9, -1.3, 0.4])


class OneDrawEach(nn.Module):
    """An encoder with raw parameters of its own for every example, so for every draw."""

    def __init__(self, family: Family, raw: Tensor) -> None:
        super().__init__()
        self.family = family
        self.raw = nn.Parameter(raw.expand(N_DRAWS, *raw.shape).clone())

    def forward(self, x: Tensor) -> Distribution:
        return self.family.distribution(self.raw)


class Exchanged(OneDrawEach):
    """The same, with the gradient moved inside the expectation: no path through z."""

    def forward(self, x: Tensor) -> Distribution:
        q = super().forward(x)
        q.rsample = q.sample
        return q


def gradient_draws(encoder: nn.Module, kl_method: str | None) -> np.ndarray:
    """Return the gradient of each draw's ELBO with respect to that draw's raw parameters."""
    decoder = Conditional(MLP(LATENT), families.Gaussian(DIM, scale=LINEAR.sigma)).double()
    linear = next(m for m in decoder.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        linear.weight.copy_(LINEAR.weight)
        linear.bias.zero_()
    model = LatentModel(encoder, decoder, StandardNormal(LATENT).double())
    x = torch.as_tensor(X).expand(N_DRAWS, DIM)
    bound = ELBO(kl_method=kl_method)(model, Batch(x)).bound
    (gradient,) = torch.autograd.grad(bound.sum(), encoder.raw)
    return gradient.flatten(1).numpy()


def exact_elbo(mean: np.ndarray, covariance: np.ndarray, entropy: float) -> float:
    """Return the ELBO of a posterior with these moments and this entropy."""
    return float(LINEAR.elbo(torch.as_tensor(X), mean, covariance, entropy))


def diagonal(raw: np.ndarray) -> float:
    mean, log_variance = raw[:2], raw[2:]
    entropy = 0.5 * (log_variance + 1 + np.log(2 * np.pi)).sum()
    return exact_elbo(mean, np.diag(np.exp(log_variance)), entropy)


def full(raw: np.ndarray) -> float:
    factor = np.diag(np.exp(raw[2:4] / 2))
    factor[1, 0] = raw[4]
    entropy = 0.5 * (raw[2:4] + 1 + np.log(2 * np.pi)).sum()
    return exact_elbo(raw[:2], factor @ factor.T, entropy)


def box(raw: np.ndarray) -> float:
    return exact_elbo(raw[:2], np.diag(np.exp(2 * raw[2:]) / 12), raw[2:].sum())


POSTERIORS: dict[str, tuple[Family, list[Any], Callable[[np.ndarray], float]]] = {
    "diagonal": (families.Gaussian(2), [[0.3, -0.5], [-0.4, 0.2]], diagonal),
    "full": (families.FullCovarianceGaussian(2), [0.3, -0.5, -0.4, 0.2, 0.7], full),
    "uniform": (families.Uniform(2), [[0.3, -0.5], [0.5, -0.2]], box),
}


def finite_differences(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    steps = 1e-5 * np.eye(len(at))
    return np.array([(function(at + step) - function(at - step)) / 2e-5 for step in steps])


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("kl_method", [CLOSED_FORM, MONTE_CARLO])
def test_reparameterized_gradient_is_unbiased(posterior: str, kl_method: str) -> None:
    family, numbers, exact = POSTERIORS[posterior]
    raw = torch.tensor(numbers, dtype=torch.float64)
    draws = gradient_draws(OneDrawEach(family, raw), kl_method)
    expected = finite_differences(exact, raw.numpy().ravel())
    error = draws.std(0, ddof=1) / N_DRAWS**0.5
    assert (np.abs(draws.mean(0) - expected) <= 4 * error + 1e-8).all()


@pytest.mark.parametrize("kl_method", [CLOSED_FORM, MONTE_CARLO])
def test_exchanging_gradient_and_expectation_is_biased(kl_method: str) -> None:
    family, numbers, exact = POSTERIORS["diagonal"]
    raw = torch.tensor(numbers, dtype=torch.float64)
    draws = gradient_draws(Exchanged(family, raw), kl_method)
    expected = finite_differences(exact, raw.numpy().ravel())
    error = draws.std(0, ddof=1) / N_DRAWS**0.5
    assert (np.abs(draws.mean(0) - expected) > 50 * error).all()


def test_exchanged_gradient_of_the_whole_integrand_vanishes() -> None:
    # E_q[∇ log q] = 0: with no path through z nothing at all is learned.
    family, numbers, _ = POSTERIORS["diagonal"]
    draws = gradient_draws(
        Exchanged(family, torch.tensor(numbers, dtype=torch.float64)), MONTE_CARLO
    )
    assert (np.abs(draws.mean(0)) < 4 * draws.std(0, ddof=1) / N_DRAWS**0.5).all()


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("logit", [-40.0, -3.0, -0.11, -0.09, 0.0, 0.03, 0.2, 3.0, 40.0])
def test_continuous_bernoulli_gradients_are_finite_differences(logit: float) -> None:
    logits = torch.full((3,), logit, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.01, 0.4, 1.0], dtype=torch.float64)
    assert gradcheck(lambda raw: ContinuousBernoulli(raw).log_prob(x), logits)
    assert gradcheck(lambda raw: ContinuousBernoulli(raw).mean, logits)


@pytest.mark.parametrize("logit", [-20.0, -3.0, -0.05, 0.0, 0.03, 0.2, 3.0])
def test_path_of_continuous_bernoulli_is_finite_differences(logit: float) -> None:
    logits = torch.full((5,), logit, dtype=torch.float64, requires_grad=True)

    def draw(raw: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return ContinuousBernoulli(raw).rsample()

    assert gradcheck(draw, logits)


def test_cross_entropy_gradients_are_finite_differences() -> None:
    x = torch.rand(4, dtype=torch.float64)
    assert gradcheck(lambda raw: CrossEntropy(raw).log_prob(x), leaf(4))


def test_quantized_gradients_are_finite_differences() -> None:
    x = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    assert gradcheck(lambda raw: QuantizedCategorical(raw).log_prob(x), leaf(3, 5))
    assert gradcheck(lambda raw: QuantizedCategorical(raw).mean, leaf(3, 5))


def test_optimal_normal_needs_no_gradient_of_its_scale() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)

    def log_prob(loc: Tensor) -> Tensor:
        return OptimalNormal(loc, torch.ones(()), torch.zeros(())).log_prob(x).sum()

    assert gradcheck(log_prob, leaf(4, 3))


FAMILIES = [
    families.Gaussian(3),
    families.Gaussian(3, min_scale=0.1),
    families.FullCovarianceGaussian(3),
    families.Bernoulli(3),
    families.ContinuousBernoulli(3),
    families.CrossEntropy(3),
    families.QuantizedGray(4, 3),
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_log_prob_of_families_is_differentiated_right(family: Family) -> None:
    x = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    assert gradcheck(lambda raw: family.distribution(raw).log_prob(x), leaf(2, *family.raw_shape))


@pytest.mark.parametrize(
    "family",
    [families.Gaussian(3), families.FullCovarianceGaussian(3), families.Uniform(3)],
    ids=lambda family: type(family).__name__,
)
def test_closed_form_kl_is_differentiated_right(family: Family) -> None:
    def divergence(raw: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        p = normal(loc, log_scale.exp())
        return kl(family.distribution(raw), p, method=CLOSED_FORM).value

    assert gradcheck(divergence, (leaf(2, *family.raw_shape), leaf(3), leaf(3)))


def test_kl_of_nested_uniforms_is_differentiated_right() -> None:
    wide = Independent(
        Uniform(torch.full((3,), -50.0).double(), torch.full((3,), 50.0).double()), 1
    )
    q = families.Uniform(3)
    assert gradcheck(lambda raw: kl(q.distribution(raw), wide).value, leaf(2, 2, 3))


@pytest.mark.parametrize(
    "objective",
    [ELBO(), ELBO(beta=3.0, free_bits=0.2, n_samples=2), ELBO(kl_method=MONTE_CARLO), IWAE(3)],
)
def test_gradient_of_the_loss_is_finite_differences(objective: ELBO | IWAE) -> None:
    model = LatentModel(
        Conditional(MLP(DIM, 4, activation="tanh"), families.Gaussian(LATENT)),
        Conditional(MLP(LATENT, 4, activation="tanh"), families.Gaussian(DIM, scale="shared")),
        StandardNormal(LATENT),
    ).double()
    x = torch.randn(5, DIM, dtype=torch.float64)
    require_gradient(lambda: objective(model, Batch(x)).loss, model)
