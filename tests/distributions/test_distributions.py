"""Our own distributions, against quadrature, scipy and torch's distributions."""

from math import log

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli

from reparam.distributions import (
    ContinuousBernoulli,
    ContinuousFlow,
    CrossEntropy,
    Flow,
    NegativeBinomial,
    OptimalNormal,
    Parametric,
    Poisson,
    QuantizedCategorical,
    base_distribution,
    is_normalized,
)
from reparam.distributions.last_draw import LastDraw
from reparam.nn.flows import masked_transforms

LOGITS = [-40.0, -16.0, -3.0, -0.11, -0.1, -0.09, -1e-4, 0.0, 1e-9, 0.05, 0.1, 0.5, 7.0, 40.0]


def double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def kept(scale: float = 1.0, n_seen: int = 0) -> tuple[Tensor, Tensor]:
    """Return what an ``OptimalNormal`` keeps: the scale, and the number of batches in it."""
    return torch.tensor(scale), torch.tensor(float(n_seen))


def unnormalized_integral(logit: float, power: int = 0) -> float:
    """Return ∫ x^power σ(l)^x (1 - σ(l))^(1 - x) dx over [0, 1] by adaptive quadrature."""
    log_odds_off = -np.logaddexp(0, logit)
    value, _ = integrate.quad(
        lambda x: x**power * np.exp(logit * x + log_odds_off),
        0,
        1,
        epsabs=0,
        epsrel=1e-11,
        points=[0.05, 0.95],
    )
    return value


@pytest.mark.parametrize("logit", LOGITS)
def test_log_normalizer_is_that_of_quadrature(logit: float) -> None:
    found = ContinuousBernoulli(double(logit)).log_normalizer
    assert float(found) == pytest.approx(-log(unnormalized_integral(logit)), abs=2e-9)


@pytest.mark.parametrize("logit", LOGITS)
def test_mean_is_that_of_quadrature(logit: float) -> None:
    found = ContinuousBernoulli(double(logit)).mean
    expected = unnormalized_integral(logit, power=1) / unnormalized_integral(logit)
    assert float(found) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("logit", [-8.0, -1.0, -0.05, 0.0, 0.3, 2.0, 9.0])
def test_agrees_with_torch_where_torch_is_exact(logit: float) -> None:
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    ours = ContinuousBernoulli(double(logit))
    theirs = TorchContinuousBernoulli(logits=double(logit), lims=(0.4999, 0.5001))
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x), atol=1e-7, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-200.0, -40.0, -0.1, 0.0, 1e-20, 0.1, 40.0, 200.0])
def test_values_and_gradients_are_finite(logit: float, dtype: torch.dtype) -> None:
    logits = torch.full((7,), logit, dtype=dtype, requires_grad=True)
    p = ContinuousBernoulli(logits)
    x = torch.linspace(0, 1, 7, dtype=dtype)
    for value in (p.log_prob(x), p.mean, p.log_normalizer, p.rsample()):
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert torch.isfinite(value).all()
        assert torch.isfinite(gradient).all()
    # In an exponential family ∇ log p(x) = x - E x.
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), logits)
    torch.testing.assert_close(gradient, x - p.mean.detach())


def test_gradient_at_logit_zero_is_that_of_the_formula() -> None:
    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    p = ContinuousBernoulli(logit)
    # d/dl log p(x) = x - E[x], and dE[x]/dl = Var[x] = 1/12 for the uniform distribution.
    (slope,) = torch.autograd.grad(p.log_prob(double(0.8)), logit)
    assert float(slope) == pytest.approx(0.3)
    (slope,) = torch.autograd.grad(p.mean, logit)
    assert float(slope) == pytest.approx(1 / 12)


@pytest.mark.parametrize("logit", [-40.0, -2.0, -0.11, -0.09, 0.0, 0.05, 0.0999, 1.0, 40.0])
def test_draws_follow_the_distribution_function(logit: float) -> None:
    draws = ContinuousBernoulli(double(logit)).rsample(torch.Size([100_000]))

    def cdf(x: np.ndarray) -> np.ndarray:
        # Mirrored for positive logits, so that the powers stay finite.
        if logit == 0:
            return x
        size, at = -abs(logit), x if logit < 0 else 1 - x
        below = np.expm1(size * at) / np.expm1(size)
        return below if logit < 0 else 1 - below

    assert stats.kstest(draws.numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("logit", [-0.0999, -0.01, 1e-4, 0.05, 0.0999, 0.1001, 3.0])
def test_draws_invert_the_distribution_function(logit: float) -> None:
    torch.manual_seed(5)
    x = ContinuousBernoulli(double(logit)).rsample(torch.Size([1000])).numpy()
    torch.manual_seed(5)
    u = torch.rand(1000, dtype=torch.float64).numpy()
    np.testing.assert_allclose(x, np.log1p(u * np.expm1(logit)) / logit, rtol=0, atol=2e-7)


@pytest.mark.parametrize("logit", [-3.0, -0.05, 0.0, 0.0999, 0.1001, 5.0])
def test_reparameterized_draws_carry_the_gradient_of_the_mean(logit: float) -> None:
    logits = torch.full((100_000,), logit, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(ContinuousBernoulli(logits).rsample().sum(), logits)
    step = 1e-3
    means = [
        unnormalized_integral(at, power=1) / unnormalized_integral(at)
        for at in (logit - step, logit + step)
    ]
    error = slopes.std() / len(slopes) ** 0.5
    assert abs(float(slopes.mean()) - (means[1] - means[0]) / (2 * step)) < 4 * error + 1e-6


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_masses_over_the_grid_sum_to_one(levels: int) -> None:
    p = QuantizedCategorical(torch.randn(3, levels, dtype=torch.float64) * 5)
    grid = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    total = p.log_prob(grid[:, None]).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_mass_of_level_k_is_that_of_class_k(levels: int) -> None:
    logits = torch.randn(levels)
    k = torch.arange(levels)
    # A grey level is stored as a float32; it must find its own class again.
    found = QuantizedCategorical(logits).log_prob((k / (levels - 1)).float())
    torch.testing.assert_close(found, Categorical(logits=logits).log_prob(k))


def test_quantized_moments_are_those_of_its_masses() -> None:
    logits = torch.randn(9, dtype=torch.float64)
    p = QuantizedCategorical(logits)
    probs, grid = logits.softmax(0).numpy(), np.arange(9) / 8
    mean, variance = probs @ grid, probs @ grid**2 - (probs @ grid) ** 2
    assert float(p.mean) == pytest.approx(mean, abs=1e-12)
    draws = p.sample(torch.Size([20_000]))
    assert draws.dtype == torch.float64
    assert abs(float(draws.mean()) - mean) < 4 * (variance / 20_000) ** 0.5


def test_optimal_normal_is_the_profile_likelihood() -> None:
    loc, x = torch.randn(2, 40, 3, dtype=torch.float64)
    found = OptimalNormal(loc, *kept()).log_prob(x).sum()
    scales = np.geomspace(0.1, 10, 4001)
    residuals = (x - loc).numpy()
    best = max(stats.norm(0, s).logpdf(residuals).sum() for s in scales[1400:2800])
    assert float(found) == pytest.approx(best, abs=1e-3)
    assert float(found) >= best


def test_optimal_normal_has_the_closed_form_of_its_residual() -> None:
    loc, x = torch.randn(2, 40, 3, dtype=torch.float64)
    found = OptimalNormal(loc, *kept()).log_prob(x)
    variance = float((x - loc).square().mean())
    assert float(found.mean()) == pytest.approx(-0.5 * (log(2 * np.pi * variance) + 1))


def test_optimal_normal_keeps_the_mean_of_twenty_batches_then_a_moving_one() -> None:
    scale, n_seen = kept(50.0)
    x = torch.randn(30, 8, dtype=torch.float64) * torch.arange(1, 31)[:, None]
    variances = x.square().mean(1).tolist()
    for i, batch in enumerate(x):
        OptimalNormal(torch.zeros(8, dtype=torch.float64), scale, n_seen).log_prob(batch)
        if i < 20:  # nothing is left of the 50 that it began with
            expected = sum(variances[: i + 1]) / (i + 1)
        else:
            expected = 0.95 * expected + 0.05 * variances[i]
        assert float(scale) ** 2 == pytest.approx(expected, rel=1e-5)
        assert float(n_seen) == i + 1


def test_optimal_normal_takes_at_least_the_share_of_its_momentum() -> None:
    scale, n_seen = kept(2.0, n_seen=3)
    p = OptimalNormal(torch.zeros(4), scale, n_seen, momentum=0.5)
    p.log_prob(torch.full((4,), 6.0))  # a half, not the quarter of a fourth batch
    assert float(scale) ** 2 == pytest.approx(0.5 * 4 + 0.5 * 36, rel=1e-6)


def test_kept_variance_is_outside_the_graph() -> None:
    scale, n_seen = kept()
    OptimalNormal(torch.zeros(4, requires_grad=True), scale, n_seen).log_prob(torch.ones(4))
    assert not scale.requires_grad
    assert not n_seen.requires_grad


def test_optimal_normal_draws_at_the_kept_scale() -> None:
    p = OptimalNormal(torch.full((20_000,), 3.0), *kept(0.5))
    assert stats.kstest(p.rsample().numpy(), stats.norm(3, 0.5).cdf).pvalue > 1e-3


def test_a_perfect_fit_has_the_density_of_the_smallest_scale() -> None:
    x = torch.randn(5)
    found = OptimalNormal(x, *kept()).log_prob(x)
    np.testing.assert_allclose(found, stats.norm(0, 1e-3).logpdf(np.zeros(5)), rtol=1e-5)


@pytest.mark.parametrize("logit", [-3.0, 0.0, 0.5, 4.0])
def test_cross_entropy_does_not_integrate_to_one(logit: float) -> None:
    p = CrossEntropy(double(logit))
    total, _ = integrate.quad(lambda x: float(p.log_prob(double(x)).exp()), 0, 1)
    assert total == pytest.approx(unnormalized_integral(logit))
    assert total < 0.9


def test_cross_entropy_is_the_bernoulli_on_black_and_white() -> None:
    logits = torch.randn(50, dtype=torch.float64)
    p = CrossEntropy(logits)
    ones = torch.ones_like(logits)
    total = p.log_prob(0 * ones).exp() + p.log_prob(ones).exp()
    torch.testing.assert_close(total, ones)
    assert set(p.sample().tolist()) <= {0.0, 1.0}


def test_continuous_bernoulli_is_the_cross_entropy_and_its_normalizer() -> None:
    logits, x = torch.randn(50, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    p = ContinuousBernoulli(logits)
    expected = CrossEntropy(logits).log_prob(x) + p.log_normalizer
    torch.testing.assert_close(p.log_prob(x), expected)


def test_only_the_cross_entropy_says_that_it_is_not_normalized() -> None:
    zeros = torch.zeros(2, 3)
    assert not is_normalized(CrossEntropy(zeros))
    assert not is_normalized(Independent(Independent(CrossEntropy(zeros), 1), 1))
    for p in (ContinuousBernoulli(zeros), QuantizedCategorical(zeros), Normal(zeros, 1.0)):
        assert is_normalized(p)
        assert is_normalized(Independent(p, 1))


def test_base_is_below_every_independent() -> None:
    p = CrossEntropy(torch.zeros(2, 3))
    assert base_distribution(Independent(Independent(p, 1), 1)) is p


@pytest.mark.parametrize(
    "p",
    [
        ContinuousBernoulli(torch.zeros(3)),
        CrossEntropy(torch.zeros(3)),
        QuantizedCategorical(torch.zeros(3, 5)),
        OptimalNormal(torch.zeros(3), *kept()),
    ],
    ids=lambda p: type(p).__name__,
)
def test_expanding_adds_batch_dimensions(p: torch.distributions.Distribution) -> None:
    wide = p.expand(torch.Size([4, 3]))
    assert wide.batch_shape == (4, 3)
    assert wide.sample(torch.Size([2])).shape == (2, 4, 3)
    torch.testing.assert_close(wide.mean, p.mean.expand(4, 3))
    x = torch.full((3,), 0.5)
    torch.testing.assert_close(wide.log_prob(x.expand(4, 3))[0], p.log_prob(x))
    assert wide.log_prob(x.expand(4, 3)).shape == (4, 3)


@pytest.mark.parametrize(
    "p",
    [
        ContinuousBernoulli(torch.zeros(3), validate_args=True),
        CrossEntropy(torch.zeros(3), validate_args=True),
        QuantizedCategorical(torch.zeros(3, 5), validate_args=True),
    ],
    ids=lambda p: type(p).__name__,
)
def test_validation_refuses_values_outside_the_support(
    p: torch.distributions.Distribution,
) -> None:
    with pytest.raises(ValueError, match="within the support"):
        p.log_prob(torch.full((3,), 1.5))


class TestLastDraw:
    def test_a_gradient_that_a_draw_lacks_is_computed(self) -> None:
        last: LastDraw[str] = LastDraw()
        z = torch.zeros(3)
        last.keep(z, "density")
        z.requires_grad_()
        assert last.result_of(z) is None
        with torch.no_grad():
            assert last.result_of(z) == "density"

    def test_a_draw_with_gradients_keeps_its_result(self) -> None:
        last: LastDraw[str] = LastDraw()
        z = torch.ones(3, requires_grad=True) * 2
        last.keep(z, "density")
        assert last.result_of(z) == "density"

    def test_inference_tensors_are_not_kept(self) -> None:
        last: LastDraw[str] = LastDraw()
        with torch.inference_mode():
            z = torch.zeros(3)
            last.keep(z, "density")
            z.add_(1.0)
            assert last.result_of(z) is None

    def test_a_flow_forgets_a_draw_that_is_changed_in_place(self) -> None:
        normal = Independent(Normal(torch.zeros(2), 1.0), 1)
        q = Flow(normal, masked_transforms(2)())
        with torch.no_grad():
            z = q.rsample(torch.Size([4]))
            z.add_(1.0)
            torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))


@pytest.mark.parametrize(
    "p",
    [
        ContinuousBernoulli(torch.tensor([0.5, -2.0])),
        CrossEntropy(torch.tensor([0.5, -2.0])),
        NegativeBinomial(torch.tensor([0.5, 2.0]), torch.tensor(1.0)),
        Poisson(torch.tensor([0.5, 2.0])),
    ],
    ids=lambda p: type(p).__name__,
)
def test_a_larger_batch_has_the_densities_of_the_small_one(p: Parametric) -> None:
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    larger = p.expand(torch.Size([3, 2]))
    assert larger.batch_shape == (3, 2)
    assert torch.equal(larger.log_prob(x), torch.stack([p.log_prob(row) for row in x]))
    assert Independent(larger, 1).batch_shape == (3,)


class TestContinuousFlow:
    matrix = torch.tensor([[0.3, -0.9], [0.5, -0.4]], dtype=torch.float64)

    def linear(self, n_steps: int) -> ContinuousFlow:
        """Return the flow of dz/dt = A z."""
        trace = self.matrix.trace()
        like = torch.zeros(2, dtype=torch.float64)
        return ContinuousFlow(
            lambda z, t: (z @ self.matrix.T, trace.expand(z.shape[:-1])), like, n_steps
        )

    def test_of_a_linear_field_is_a_gaussian(self) -> None:
        moved = torch.linalg.matrix_exp(self.matrix)
        expected = MultivariateNormal(torch.zeros(2).double(), moved @ moved.T)
        z = 2 * torch.randn(3, 50, 2, dtype=torch.float64)
        found = self.linear(20).log_prob(z)
        torch.testing.assert_close(found, expected.log_prob(z), atol=1e-6, rtol=1e-6)

    def test_draws_have_the_covariance_of_the_gaussian(self) -> None:
        moved = torch.linalg.matrix_exp(self.matrix)
        torch.manual_seed(0)
        z = self.linear(5).sample((20_000,))
        torch.testing.assert_close(z.T.cov(), moved @ moved.T, atol=0.06, rtol=0)

    def test_the_error_is_of_the_fourth_order(self) -> None:
        z = torch.ones(2, dtype=torch.float64)
        exact = self.linear(200).log_prob(z)
        coarse, fine = (abs(float(self.linear(n).log_prob(z) - exact)) for n in (2, 4))
        assert coarse / fine == pytest.approx(16, rel=0.3)
