"""Rounded and contaminated Gaussians against scipy, and the change of units against torch."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import AffineTransform, Independent, Normal, TransformedDistribution

from reparam.distributions import ContaminatedNormal, RoundedNormal, Standardized

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


def test_a_continuous_entry_has_the_density_of_a_gaussian() -> None:
    loc, scale, x = torch.randn(3, 5, dtype=torch.float64)
    p = RoundedNormal(loc, scale.exp(), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(p.log_prob(x), Normal(loc, scale.exp()).log_prob(x))


@pytest.mark.parametrize("width", [0.02, 0.5, 4.0])
def test_the_masses_of_all_cells_sum_to_one(width: float) -> None:
    grid = torch.arange(-4000, 4000, dtype=torch.float64)[:, None] * width + 0.3
    loc, scale, logits, w = torch.tensor([1.0, 0.6, -1.5, width], dtype=torch.float64).split(1)
    for p in (RoundedNormal(loc, scale, w), ContaminatedNormal(loc, scale, logits, w)):
        assert float(p.log_prob(grid).exp().sum()) == pytest.approx(1, abs=1e-4)


def test_the_density_with_outliers_is_that_of_the_mixture() -> None:
    x = torch.linspace(-50, 50, 101, dtype=torch.float64)
    loc, scale, logits, width = torch.tensor([1.0, 0.2, -4.0, 0.0], dtype=torch.float64)
    share = float(logits.sigmoid())
    mixture = (1 - share) * stats.norm(1.0, 0.2).pdf(x) + share * stats.logistic.pdf(x)
    p = ContaminatedNormal(loc, scale, logits, width)
    np.testing.assert_allclose(p.log_prob(x), np.log(mixture), rtol=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1.0, 1e3, 1e5])
def test_gradients_are_finite_in_float32(distance: float) -> None:
    raw = torch.tensor([0.0, -9.0, -4.0], requires_grad=True)
    for width in (0.0, 1e-4, 1.0):
        w = torch.tensor(width)
        for p in (
            RoundedNormal(raw[0], raw[1].exp(), w),
            ContaminatedNormal(raw[0], raw[1].exp(), raw[2], w),
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
