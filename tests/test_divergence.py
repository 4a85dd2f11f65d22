"""The KL three ways: closed form, Monte Carlo and a numeric grid; infinite cases are refused."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import (
    Beta,
    Distribution,
    Exponential,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
)
from torch.distributions import Categorical as TorchCategorical

from reparam import families
from reparam.distributions import ContinuousBernoulli
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, kl
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.priors import StandardNormal


def box(low: float, high: float, n: int = 1) -> Distribution:
    """Return the uniform distribution over a box of n dimensions, in float64."""
    ends = torch.full((2, n), low, dtype=torch.float64)
    ends[1] = high
    return Independent(Uniform(ends[0], ends[1], validate_args=False), 1, validate_args=False)


def normal(loc: float, scale: float, n: int = 1) -> Distribution:
    """Return a Gaussian of n dimensions, in float64."""
    at = torch.full((n,), loc, dtype=torch.float64)
    return Independent(Normal(at, torch.full_like(at, scale)), 1)


def full(loc: float, scale: float) -> Distribution:
    """Return a Gaussian of one dimension that is parametrized by its full covariance."""
    raw = torch.tensor([loc, 2 * np.log(scale)], dtype=torch.float64)
    return families.FullCovarianceGaussian(1).distribution(raw)


ONE_DIMENSIONAL = {
    "normal to standard": (normal(0.7, 0.4), normal(0, 1), (-12, 12)),
    "wide normal to normal": (normal(-2, 3), normal(1, 2), (-40, 40)),
    "narrow normal": (normal(0.1, 0.01), normal(0, 1), (-0.1, 0.3)),
    "equal normals": (normal(0.5, 2), normal(0.5, 2), (-24, 24)),
    "full covariance to standard": (full(-0.8, 1.7), normal(0, 1), (-22, 22)),
    "full covariance to normal": (full(2, 0.3), normal(-1, 2), (-3, 7)),
    "uniform to standard": (box(-1, 2), normal(0, 1), (-1, 2)),
    "narrow uniform to normal": (box(0.5, 0.6), normal(1, 3), (0.5, 0.6)),
    "nested uniforms": (box(-1, 2), box(-3, 2), (-1, 2)),
    "equal uniforms": (box(-1, 2), box(-1, 2), (-1, 2)),
}


@pytest.mark.parametrize(("q", "p", "limits"), ONE_DIMENSIONAL.values(), ids=list(ONE_DIMENSIONAL))
def test_closed_form_is_numeric_grid_is_monte_carlo(
    q: Distribution, p: Distribution, limits: tuple[float, float]
) -> None:
    closed = kl(q, p)
    assert closed.method == CLOSED_FORM
    nodes, weights = np.polynomial.legendre.leggauss(400)
    half = (limits[1] - limits[0]) / 2
    x = torch.as_tensor(limits[0] + half * (nodes + 1))[:, None]
    log_q = q.log_prob(x)
    integrand = (log_q.exp() * (log_q - p.log_prob(x))).numpy()
    assert float(closed.value) == pytest.approx(half * weights @ integrand, abs=1e-8)

    z = q.sample(torch.Size([50_000]))
    estimate = kl(q, p, z, method=MONTE_CARLO)
    assert estimate.method == MONTE_CARLO
    error = (q.log_prob(z) - p.log_prob(z)).std() / len(z) ** 0.5
    assert abs(float(estimate.value - closed.value)) <= 4 * float(error) + 1e-12


def gaussian_kl(
    mean: np.ndarray, covariance: np.ndarray, to_mean: np.ndarray, to_covariance: np.ndarray
) -> float:
    """Return KL of any two Gaussians, by the general formula."""
    precision = np.linalg.inv(to_covariance)
    away = to_mean - mean
    log_det = np.linalg.slogdet(to_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(precision @ covariance) + away @ precision @ away - len(mean) + log_det)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_full_covariance_agrees_with_the_general_formula(n: int) -> None:
    raw = torch.randn(5, n + n * (n + 1) // 2, dtype=torch.float64)
    q = families.FullCovarianceGaussian(n).distribution(raw)
    standard, other = (
        StandardNormal(n).double()(),
        Independent(
            Normal(torch.randn(n, dtype=torch.float64), torch.rand(n, dtype=torch.float64) + 0.1), 1
        ),
    )
    for p in (standard, other):
        found = kl(q, p)
        assert found.method == CLOSED_FORM
        expected = [
            gaussian_kl(m, c, p.mean.numpy(), np.diag(p.variance.numpy()))
            for m, c in zip(q.mean.numpy(), q.covariance_matrix.numpy(), strict=True)
        ]
        np.testing.assert_allclose(found.value.numpy(), expected, rtol=1e-9)


def test_full_covariance_agrees_with_monte_carlo() -> None:
    q = families.FullCovarianceGaussian(3).distribution(torch.randn(2, 9, dtype=torch.float64))
    p = StandardNormal(3).double()()
    z = q.sample(torch.Size([40_000]))
    error = (q.log_prob(z) - p.log_prob(z)).std(0) / 200
    assert ((kl(q, p, z, method=MONTE_CARLO).value - kl(q, p).value).abs() < 4 * error).all()


def test_diagonal_gaussian_is_kingma_and_wellings_formula() -> None:
    raw = torch.randn(5, 2, 3, dtype=torch.float64)
    q = families.Gaussian(3).distribution(raw)
    loc, log_variance = raw.unbind(1)
    expected = -0.5 * (1 + log_variance - loc**2 - log_variance.exp())
    found = kl(q, StandardNormal(3).double()())
    assert found.per_dimension is not None
    torch.testing.assert_close(found.per_dimension, expected)
    torch.testing.assert_close(found.value, expected.sum(-1))


@pytest.mark.parametrize("family", [families.Gaussian, families.Uniform])
def test_dimensions_sum_to_the_value(family: type[families.Family]) -> None:
    found = kl(family(4).distribution(torch.randn(5, 2, 4)), StandardNormal(4)())
    assert found.per_dimension is not None
    assert found.per_dimension.shape == (5, 4)
    torch.testing.assert_close(found.per_dimension.sum(-1), found.value)


def test_a_posterior_that_does_not_factorize_has_no_dimensions() -> None:
    q = families.FullCovarianceGaussian(2).distribution(torch.randn(5, 5))
    assert kl(q, StandardNormal(2)()).per_dimension is None


def test_equal_distributions_are_at_distance_zero() -> None:
    raw = torch.zeros(3, 5, dtype=torch.float64)
    q = families.FullCovarianceGaussian(2).distribution(raw)
    torch.testing.assert_close(
        kl(q, StandardNormal(2).double()()).value, torch.zeros(3, dtype=torch.float64)
    )


INFINITE = {
    "normal to uniform": (normal(0, 1), box(-9, 9)),
    "full covariance to uniform": (full(0, 1), box(-9, 9)),
    "uniform beyond on the right": (box(-1, 2), box(-1, 1.9)),
    "uniform beyond on the left": (box(-1, 2), box(0, 5)),
    "disjoint uniforms": (box(0, 1), box(2, 3)),
    "one dimension beyond": (
        Independent(Uniform(torch.zeros(2), torch.tensor([1.0, 3.0])), 1),
        Independent(Uniform(torch.zeros(2), torch.tensor([2.0, 2.0])), 1),
    ),
    "one example beyond": (
        Independent(Uniform(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])), 1),
        box(0, 2),
    ),
    "normal to beta": (normal(0, 1), Independent(Beta(torch.ones(1), torch.ones(1)), 1)),
    "normal to exponential": (normal(0, 1), Independent(Exponential(torch.ones(1)), 1)),
    "uniform to exponential": (box(-1, 1, 2), Independent(Exponential(torch.ones(2)), 1)),
    "normal to continuous Bernoulli": (
        normal(0, 1),
        Independent(ContinuousBernoulli(torch.zeros(1), validate_args=False), 1),
    ),
}


@pytest.mark.parametrize(("q", "p"), INFINITE.values(), ids=list(INFINITE))
@pytest.mark.parametrize("method", [None, CLOSED_FORM, MONTE_CARLO])
def test_infinite_divergence_is_refused_in_words(
    q: Distribution, p: Distribution, method: str | None
) -> None:
    with pytest.raises(SupportError, match=r"is infinite: q has mass where p has none; q must"):
        kl(q, p, method=method)


def test_refusal_names_both_distributions() -> None:
    with pytest.raises(SupportError, match="Normal‖Uniform"):
        kl(normal(0, 1), box(-1, 1))


def test_uniform_posterior_works_where_the_prior_is_positive() -> None:
    q = families.Uniform(3).distribution(torch.randn(50, 2, 3) * 4)
    found = kl(q, StandardNormal(3)())
    assert found.method == CLOSED_FORM
    assert torch.isfinite(found.value).all()
    assert (found.value > 0).all()


def test_continuous_bernoulli_inside_the_unit_box_is_finite() -> None:
    q = Independent(ContinuousBernoulli(torch.full((1,), 2.0, dtype=torch.float64)), 1)
    z = q.sample(torch.Size([50_000]))
    found = kl(q, box(0, 1), z)
    assert found.method == MONTE_CARLO
    negative_entropy, _ = integrate.quad(
        lambda x: float(q.log_prob(torch.tensor([x])).exp() * q.log_prob(torch.tensor([x]))),
        0,
        1,
    )
    error = float(q.log_prob(z).std()) / len(z) ** 0.5
    assert abs(float(found.value) - negative_entropy) < 4 * error


def mixture() -> Distribution:
    parts = Independent(Normal(torch.tensor([[-1.0], [2.0]]).double(), 1.0), 1)
    return MixtureSameFamily(TorchCategorical(torch.ones(2)), parts)


WITHOUT_CLOSED_FORM = {
    "normal to mixture": (normal(0.3, 0.7), mixture()),
    "normal to Student": (
        normal(0.3, 0.7),
        Independent(StudentT(torch.full((1,), 3.0, dtype=torch.float64)), 1),
    ),
}


@pytest.mark.parametrize(("q", "p"), WITHOUT_CLOSED_FORM.values(), ids=list(WITHOUT_CLOSED_FORM))
def test_falls_back_on_monte_carlo_and_says_so(q: Distribution, p: Distribution) -> None:
    z = q.sample(torch.Size([50_000]))
    found = kl(q, p, z)
    assert found.method == MONTE_CARLO
    assert found.per_dimension is None
    x = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    log_ratio = q.log_prob(x) - p.log_prob(x)
    expected = np.trapezoid((q.log_prob(x).exp() * log_ratio).numpy(), x[:, 0].numpy())
    error = float((q.log_prob(z) - p.log_prob(z)).std()) / len(z) ** 0.5
    assert abs(float(found.value) - expected) < 4 * error


def test_missing_draws_are_drawn() -> None:
    q, p = normal(0, 1), mixture()
    torch.manual_seed(0)
    found = kl(q, p)
    torch.manual_seed(0)
    z = q.rsample(torch.Size([1]))
    assert found.method == MONTE_CARLO
    torch.testing.assert_close(found.value, (q.log_prob(z) - p.log_prob(z)).mean(0))


@pytest.mark.parametrize("draws", [1, 7])
def test_monte_carlo_is_the_mean_log_ratio_of_each_example(draws: int) -> None:
    q = families.Gaussian(3).distribution(torch.randn(5, 2, 3))
    z = q.sample(torch.Size([draws]))
    found = kl(q, StandardNormal(3)(), z, method=MONTE_CARLO).value
    log_ratio = q.log_prob(z).numpy() - stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(found, log_ratio.mean(0), rtol=1e-4, atol=1e-5)


def test_insisting_on_a_missing_closed_form_is_refused() -> None:
    with pytest.raises(SupportError, match="no closed form"):
        kl(normal(0, 1), mixture(), method=CLOSED_FORM)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(OptionError, match="method='exact'"):
        kl(normal(0, 1), normal(0, 1), method="exact")


@pytest.mark.parametrize("method", [None, CLOSED_FORM, MONTE_CARLO])
@pytest.mark.parametrize(("n", "m"), [(2, 1), (1, 2), (2, 3)])
def test_events_of_different_shapes_are_refused(n: int, m: int, method: str | None) -> None:
    with pytest.raises(ShapeError, match=rf"shape \({n},\) and a prior over \({m},\)"):
        kl(normal(0, 1, n), normal(0, 1, m), method=method)


def test_torch_and_ours_agree_on_a_diagonal_full_covariance() -> None:
    loc, scale = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64) + 0.1
    q = MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))
    p = StandardNormal(3).double()()
    diagonal = Independent(Normal(loc, scale), 1)
    torch.testing.assert_close(kl(q, p).value, kl(diagonal, p).value)


def test_full_covariance_to_another_product_is_not_mistaken_for_a_normal() -> None:
    p = Independent(Laplace(torch.zeros(1).double(), torch.ones(1).double()), 1)
    assert kl(full(0, 1), p).method == MONTE_CARLO


def naive_penalty(loc: Tensor, log_variance: Tensor) -> Tensor:
    return loc.square().sum(-1) + log_variance.square().sum(-1)


def test_naive_penalty_shares_only_the_minimum_with_the_kl() -> None:
    raw = torch.zeros(2, 2, 1, dtype=torch.float64)
    raw[0, 1], raw[1, 1] = 2.0, -2.0
    wide, narrow = kl(families.Gaussian(1).distribution(raw), StandardNormal(1).double()()).value
    # The penalty finds a variance of e² as bad as one of e⁻²; the KL does not.
    assert naive_penalty(raw[0, 0], raw[0, 1]) == naive_penalty(raw[1, 0], raw[1, 1])
    assert float(wide) == pytest.approx(0.5 * (np.e**2 - 1 - 2))
    assert float(narrow) == pytest.approx(0.5 * (np.e**-2 - 1 + 2))
