"""Rounded and contaminated Gaussians against scipy, and the change of units against torch."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import AffineTransform, Independent, Normal, TransformedDistribution

from reparam.distributions import (
    ContaminatedNormal,
    RoundedMixture,
    RoundedNormal,
    Standardized,
)
from reparam.distributions.rounded import compressed, expanded

WIDTHS = [1e-3, 0.1, 1.0, 30.0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("x", [-40.0, -3.0, 0.0, 0.4, 5.0, 40.0])
def test_the_mass_of_a_cell_is_that_of_scipy(x: float, width: float) -> None:
    loc, scale = 0.2, 1.7
    p = RoundedNormal(*torch.tensor([loc, scale, width], dtype=torch.float64).split(1))
    # The interval is moved to the left tail, where scipy's logarithms are accurate.
    low, high = sorted((-abs(x - loc) - width / 2, -abs(x - loc) + width / 2))
    log_low, log_high = stats.norm(0, scale).logcdf([low, high])
    expected = log_high + np.log(-np.expm1(log_low - log_high))
    assert float(p.log_prob(torch.tensor([x]))) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def two_parts(width: torch.Tensor) -> RoundedMixture:
    """Return 0.3 N(-1, 0.2²) + 0.7 N(2, 0.6²) in cells."""
    loc, scale = torch.tensor([[[-1.0, 2.0]], [[0.2, 0.6]]], dtype=torch.float64)
    return RoundedMixture(loc, scale, torch.tensor([[0.3, 0.7]], dtype=torch.float64).log(), width)


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_a_mixture_has_the_density_the_masses_and_the_moments_of_scipy(width: float) -> None:
    parts = [(0.3, stats.norm(-1, 0.2)), (0.7, stats.norm(2, 0.6))]
    p, x = two_parts(torch.tensor([width], dtype=torch.float64)), torch.linspace(-2, 4, 13)[:, None]
    if width:
        expected = sum(w * (n.cdf(x + width / 2) - n.cdf(x - width / 2)) for w, n in parts)
    else:
        expected = sum(w * n.pdf(x) for w, n in parts)
    np.testing.assert_allclose(p.log_prob(x.double()).exp(), expected, rtol=1e-4, atol=1e-9)
    mean = sum(w * n.mean() for w, n in parts)
    variance = sum(w * (n.var() + (n.mean() - mean) ** 2) for w, n in parts) + width**2 / 12
    assert (float(p.mean), float(p.variance)) == pytest.approx((mean, variance))
    torch.manual_seed(0)
    draws = p.sample(torch.Size([50_000]))
    assert float(draws.mean()) == pytest.approx(mean, abs=0.02)
    assert float(draws.var()) == pytest.approx(variance, rel=0.02)
    if width:
        assert bool((draws / width == (draws / width).round()).all())


def test_a_continuous_entry_has_the_density_of_a_gaussian() -> None:
    loc, scale, x = torch.randn(3, 5, dtype=torch.float64)
    p = RoundedNormal(loc, scale.exp(), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(p.log_prob(x), Normal(loc, scale.exp()).log_prob(x))


@pytest.mark.parametrize("width", [0.02, 0.5, 4.0])
def test_the_masses_of_all_cells_sum_to_one(width: float) -> None:
    grid = torch.arange(-4000, 4000, dtype=torch.float64)[:, None] * width + 0.3
    loc, scale, logits, w = torch.tensor([1.0, 0.6, -1.5, width], dtype=torch.float64).split(1)
    normal = RoundedNormal(loc, scale, w)
    for p in (normal, ContaminatedNormal(normal, logits), two_parts(w)):
        assert float(p.log_prob(grid).exp().sum()) == pytest.approx(1, abs=1e-4)


def test_the_density_with_outliers_is_that_of_the_mixture() -> None:
    x = torch.linspace(-50, 50, 101, dtype=torch.float64)
    loc, scale, logits, width = torch.tensor([1.0, 0.2, -4.0, 0.0], dtype=torch.float64)
    share = float(logits.sigmoid())
    mixture = (1 - share) * stats.norm(1.0, 0.2).pdf(x) + share * stats.logistic.pdf(x)
    p = ContaminatedNormal(RoundedNormal(loc, scale, width), logits)
    np.testing.assert_allclose(p.log_prob(x), np.log(mixture), rtol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1.0, 1e3, 1e5])
def test_gradients_are_finite_in_float32(distance: float) -> None:
    raw = torch.tensor([0.0, -9.0, -4.0], requires_grad=True)
    for width in (0.0, 1e-4, 1.0):
        w = torch.tensor(width)
        for p in (
            RoundedNormal(raw[0], raw[1].exp(), w),
            ContaminatedNormal(RoundedNormal(raw[0], raw[1].exp(), w), raw[2]),
            RoundedMixture(torch.stack([raw[0], raw[2]]), raw[1].exp().expand(2), raw[:2], w),
        ):
            (gradient,) = torch.autograd.grad(p.log_prob(torch.tensor(distance)), raw)
            assert bool(gradient.isfinite().all())


def test_draws_lie_on_the_grid_and_have_the_moments_of_the_gaussian() -> None:
    torch.manual_seed(0)
    width, origin = torch.tensor([0.5, 0.0, 0.0]), torch.tensor([0.2, 0.0, 0.0])
    p = RoundedNormal(torch.tensor([1.0, 2.0, 3.0]), torch.ones(3), width, origin)
    draws = p.sample(torch.Size([100_000]))
    steps = (draws[:, 0] - 0.2) / 0.5
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert len(draws[:, 1].unique()) > 50_000
    torch.testing.assert_close(draws.mean(0), p.mean, atol=0.02, rtol=0)
    # The grid adds the variance w²/12 of a uniform distribution (Sheppard).
    assert float(draws[:, 0].var()) == pytest.approx(float(p.variance[0]), rel=0.02)


def test_other_units_are_those_of_an_affine_transform() -> None:
    loc, scale = torch.tensor([5.0, -3.0]), torch.tensor([2.0, 0.1])
    base = Independent(Normal(torch.randn(4, 2), 0.7), 1)
    x = torch.randn(4, 2)
    inner = Normal(base.mean, 0.7)
    ours = Independent(Standardized(inner, loc, scale), 1)
    known = TransformedDistribution(base, [AffineTransform(loc, scale, event_dim=1)])
    torch.testing.assert_close(ours.log_prob(x), known.log_prob(x))
    torch.testing.assert_close(ours.mean, loc + scale * base.mean)
    torch.testing.assert_close(ours.expand(torch.Size([3, 4])).log_prob(x)[0], known.log_prob(x))


def test_the_mass_of_a_rounded_entry_has_no_unit() -> None:
    scale, width = torch.tensor([1000.0, 1000.0]), torch.tensor([1.0, 0.0])
    base = RoundedNormal(torch.zeros(2), torch.ones(2), width / scale)
    mass, density = Standardized(base, torch.zeros(2), scale, width).log_prob(torch.zeros(2))
    assert float(mass) == pytest.approx(np.log(stats.norm.cdf(5e-4) - stats.norm.cdf(-5e-4)), 1e-4)
    assert float(density) == pytest.approx(stats.norm(0, 1000).logpdf(0), rel=1e-5)


def test_a_distribution_of_masses_alone_is_discrete() -> None:
    for width, is_discrete in (([1.0, 0.5], True), ([1.0, 0.0], False)):
        p = RoundedNormal(torch.zeros(2), torch.ones(2), torch.tensor(width))
        assert p.support.is_discrete is is_discrete


MEAN, SCALE, ORIGIN, LINEAR = 0.7, 1.8, -2.0, 0.5
"""T(x) = a asinh((x - o)/a) is Gaussian."""


def johnson(base: torch.distributions.Distribution, width: float | None = None) -> Standardized:
    """A distribution whose transformed values are those of the base, in float64."""
    m, s, o, a = torch.tensor([[MEAN], [SCALE], [ORIGIN], [LINEAR]], dtype=torch.float64)
    return Standardized(base, m, s, None if width is None else torch.full_like(m, width), o, a)


def standard(kind: str = "normal") -> torch.distributions.Distribution:
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    if kind == "normal":
        return RoundedNormal(zero, one, zero)
    return ContaminatedNormal(RoundedNormal(zero, one, zero), zero - 2)


def known() -> stats.rv_continuous:
    """The same as the S_U distribution of Johnson, asinh((x - loc)/scale) = (N - a)/b."""
    return stats.johnsonsu(a=-MEAN / SCALE, b=LINEAR / SCALE, loc=ORIGIN, scale=LINEAR)


def test_the_asinh_of_a_gaussian_has_the_density_of_johnson() -> None:
    x = np.array([-1e6, -40.0, -2.0, 0.0, 0.4, 7.0, 1e3, 1e9])
    found = johnson(standard()).log_prob(torch.from_numpy(x)[:, None])[:, 0]
    np.testing.assert_allclose(found, known().logpdf(x), rtol=1e-9)


def test_far_from_the_origin_it_is_lognormal() -> None:
    """a asinh(x/a) is a log(2x/a) for large x."""
    a, sigma, x = 1e-3, 0.8, np.array([0.1, 1.0, 30.0])
    place = [torch.tensor([value], dtype=torch.float64) for value in (0.0, a)]
    loc = torch.tensor([a * np.log(2 / a)], dtype=torch.float64)
    p = Standardized(standard(), loc, torch.tensor([a * sigma]), None, *place)
    found = p.log_prob(torch.from_numpy(x)[:, None])[:, 0]
    np.testing.assert_allclose(found, stats.lognorm(sigma).logpdf(x), atol=1e-4)


@pytest.mark.parametrize("width", [0.01, 0.5, 3.0])
def test_the_cells_of_transformed_values_have_the_masses_of_johnson(width: float) -> None:
    x = ORIGIN + width * torch.tensor([-1e5, -300, -1, 0, 1, 2, 40, 1e6], dtype=torch.float64)
    ends = known().cdf(x.numpy() + width / 2), known().cdf(x.numpy() - width / 2)
    found = johnson(standard(), width).log_prob(x[:, None])[:, 0].exp()
    np.testing.assert_allclose(found, ends[0] - ends[1], rtol=3e-4, atol=1e-12)


@pytest.mark.parametrize("kind", ["normal", "contaminated"])
def test_the_masses_of_transformed_values_sum_to_one(kind: str) -> None:
    x = ORIGIN + torch.arange(-200_000, 200_001, dtype=torch.float64)
    m, s, o, a = torch.tensor([[0.5], [0.6], [ORIGIN], [1.0]], dtype=torch.float64)
    p = Standardized(standard(kind), m, s, torch.ones_like(m), o, a)
    assert float(p.log_prob(x[:, None]).exp().sum()) == pytest.approx(1, abs=1e-3)
    exact = p.log_prob(x[:, None])
    single = Standardized(standard(kind), *(v.float() for v in (m, s, torch.ones_like(m), o, a)))
    torch.testing.assert_close(
        single.log_prob(x[:, None].float()).double(), exact, atol=2e-3, rtol=1e-3
    )


def test_draws_of_transformed_values_are_those_of_johnson() -> None:
    torch.manual_seed(0)
    draws = johnson(standard()).sample(torch.Size([20_000]))[:, 0].numpy()
    assert stats.kstest(draws, known().cdf).pvalue > 1e-3
    whole = johnson(standard(), 1.0).sample(torch.Size([1000]))
    assert torch.equal(whole, whole.round())
    p = johnson(standard())
    assert float(p.mean) == pytest.approx(known().median())


def test_entries_without_a_transform_stay_as_they_are() -> None:
    zero = torch.zeros(2)
    base = RoundedNormal(zero, zero + 1, torch.tensor([0.0, 0.5]))
    loc, scale, width = torch.tensor([[5.0, 1.0], [3.0, 2.0], [0.0, 1.0]])
    plain = Standardized(base, loc, scale, width, zero)
    beside = Standardized(base, loc, scale, width, zero, zero)
    x = torch.tensor([[4.0, 2.0], [9.0, -3.0]])
    torch.testing.assert_close(beside.log_prob(x), plain.log_prob(x))
    assert torch.equal(beside.mean, plain.mean)
    assert torch.equal(beside.variance, plain.variance)


def test_a_transform_is_undone() -> None:
    x = torch.tensor([-1e8, -3.0, 0.0, 1e-3, 50.0, 1e30])
    o, a = torch.tensor([0.5, 0.1])
    torch.testing.assert_close(expanded(compressed(x, o, a), o, a), x, rtol=1e-4, atol=1e-5)
    assert bool(expanded(torch.tensor([1e9]), o, a).isfinite())


@pytest.mark.parametrize("sigmas", [0.0, 3.0, 300.0, 3e4, 1e6])
@pytest.mark.parametrize("cell", [0.1, 30.0, 1e5])
def test_the_gradient_of_a_mass_is_that_of_its_nearer_end(sigmas: float, cell: float) -> None:
    """Far outside its cell the mass falls as the density at the end that is nearer to the mean."""
    loc = torch.tensor(0.0, requires_grad=True)
    distance = torch.tensor(sigmas + 0.5 * cell)
    p = RoundedNormal(loc, torch.tensor(1.0), torch.tensor(cell))
    (gradient,) = torch.autograd.grad(p.log_prob(distance), loc)
    exact = stats.norm.pdf(sigmas) - stats.norm.pdf(sigmas + cell)
    exact /= stats.norm.sf(sigmas) - stats.norm.sf(sigmas + cell) if sigmas < 30 else np.nan
    assert float(gradient) == pytest.approx(sigmas if sigmas > 30 else exact, rel=0.02, abs=1e-3)
