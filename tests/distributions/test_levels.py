"""Discretized logistics and their mixtures, against brute force in float64 over all levels."""

from itertools import product
from math import log

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats
from torch import Tensor

from reparam import families
from reparam.distributions import (
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    is_normalized,
    mean_or_mode,
)
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.spec import DataSpec

Array = NDArray[np.float64]


def mixture(
    n_channels: int = 3,
    levels: int = 5,
    n_components: int = 2,
    log_scale: float = -1.5,
    image: tuple[int, int] = (1, 1),
    batch: tuple[int, ...] = (),
    linear: bool = True,
) -> DiscretizedLogisticMixture:
    """Return a mixture with random parameters in float64."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*batch, n_components, *shape, *image, dtype=torch.float64)

    n_pairs = n_channels * (n_channels - 1) // 2
    return DiscretizedLogisticMixture(
        draw(),
        0.5 + 0.5 * draw(n_channels),
        log_scale + 0.5 * draw(n_channels),
        draw(n_pairs) if linear else None,
        levels,
    )


def log_mass(level: int, levels: int, middle: float, scale: float) -> float:
    """Return the logarithm of a bin's mass, from the side on which both tails are small."""
    edges = [(level - 0.5) / (levels - 1), (level + 0.5) / (levels - 1)]
    low, high = (edges[0] - middle) / scale, (edges[1] - middle) / scale
    low = -np.inf if level == 0 else low
    high = np.inf if level == levels - 1 else high
    if low > 0:
        low, high = -high, -low
    return float(np.log(special.expit(high) - special.expit(low)))


def by_hand(p: DiscretizedLogisticMixture, k: tuple[int, ...], at: tuple[int, int]) -> float:
    """Return log P of one pixel with these levels, number by number."""
    row, column = at
    logits, loc, log_scale = (v[..., row, column].numpy() for v in (p.logits, p.loc, p.log_scale))
    terms = special.log_softmax(logits)
    x = np.array(k) / (p.levels - 1)
    for component in range(len(terms)):
        pair = 0
        for c in range(len(k)):
            middle = loc[component, c]
            for j in range(c):
                if p.coefficients is not None:
                    a = float(p.coefficients[component, pair, row, column])
                    middle += a * (x[j] - 0.5)
                pair += 1
            terms[component] += log_mass(k[c], p.levels, middle, np.exp(log_scale[component, c]))
    return float(special.logsumexp(terms))


def pixels(levels: int, n_channels: int) -> Tensor:
    """Return all the images of one pixel, with shape (levels^C, C, 1, 1)."""
    grid = list(product(range(levels), repeat=n_channels))
    return torch.tensor(grid, dtype=torch.float64)[..., None, None] / (levels - 1)


@pytest.mark.parametrize("n_channels", [1, 2, 3])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("log_scale", [-8.0, -1.5, 3.0])
def test_masses_sum_to_one(n_channels: int, linear: bool, log_scale: float) -> None:
    p = mixture(n_channels, log_scale=log_scale, linear=linear)
    masses = p.log_prob(pixels(5, n_channels)).exp()
    assert masses.shape == (5**n_channels,)
    assert float(masses.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n_channels", [1, 2, 3])
@pytest.mark.parametrize("linear", [True, False])
def test_masses_are_those_of_brute_force(n_channels: int, linear: bool) -> None:
    p = mixture(n_channels, linear=linear)
    x = pixels(5, n_channels)
    for value, found in zip(x, p.log_prob(x).tolist(), strict=True):
        k = tuple(round(4 * float(v)) for v in value.flatten())
        assert found == pytest.approx(by_hand(p, k, (0, 0)), abs=1e-10)


def test_images_are_sums_over_pixels() -> None:
    p = mixture(levels=256, log_scale=-3, image=(2, 3))
    k = torch.randint(256, (3, 2, 3))
    found = p.log_prob(k.double() / 255)
    at = product(range(2), range(3))
    expected = sum(by_hand(p, tuple(k[:, i, j].tolist()), (i, j)) for i, j in at)
    assert float(found) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
@pytest.mark.parametrize("middle", [-3.0, 0.4, 20.0])
@pytest.mark.parametrize("log_scale", [-7.0, -2.0, 6.0])
def test_single_precision_keeps_tiny_masses(level: int, middle: float, log_scale: float) -> None:
    loc = torch.full((1, 1, 1, 1), middle, requires_grad=True)
    log_s = torch.full((1, 1, 1, 1), log_scale, requires_grad=True)
    p = DiscretizedLogisticMixture(torch.zeros(1, 1, 1), loc, log_s)
    found = p.log_prob(torch.full((1, 1, 1), level / 255))
    scale = np.exp(log_scale)
    outermost = (level == 0 and middle < 0) or (level == 255 and middle > 1)
    if outermost and log_scale < -5:
        expected = 0.0
    elif abs(level / 255 - middle) / scale < 600:
        expected = log_mass(level, 256, middle, scale)
    else:
        # The logarithm of a tail that float64 cannot hold either: σ(u) is exp(u).
        edge = (level + 0.5) / 255 if middle > 1 else (level - 0.5) / 255
        expected = -abs(edge - middle) / scale
        if 0 < level < 255:
            expected += float(np.log(-np.expm1(-1 / 255 / scale)))
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    slopes = torch.autograd.grad(found, [loc, log_s])
    assert all(slope.isfinite().all() for slope in slopes)


def test_slopes_are_those_of_finite_differences() -> None:
    p = mixture(levels=256, log_scale=-3, image=(1, 2))
    x = torch.randint(256, (4, 3, 1, 2)).double() / 255
    assert p.coefficients is not None
    inputs = [t.clone().requires_grad_() for t in (p.logits, p.loc, p.log_scale, p.coefficients)]
    assert torch.autograd.gradcheck(lambda *t: DiscretizedLogisticMixture(*t).log_prob(x), inputs)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_draws_have_the_masses(n_channels: int) -> None:
    p = mixture(n_channels, levels=3)
    n = 20_000
    x = p.sample(torch.Size([n]))
    assert p.support.check(x).all()
    level = (2 * x).round().long().reshape(n, n_channels)
    code = (level * 3 ** torch.arange(n_channels - 1, -1, -1)).sum(-1)
    counts = torch.bincount(code, minlength=3**n_channels).numpy()
    expected = p.log_prob(pixels(3, n_channels)).exp().numpy() * n
    many = expected > 5
    observed = np.append(counts[many], counts[~many].sum())
    wanted = np.append(expected[many], expected[~many].sum())
    keep = wanted > 0
    assert stats.chisquare(observed[keep], wanted[keep]).pvalue > 1e-3


@pytest.mark.parametrize("log_scale", [-4.0, -2.0, 1.0])
def test_mean_is_that_of_the_levels(log_scale: float) -> None:
    p = mixture(2, levels=256, log_scale=log_scale, linear=False, n_components=3)
    x = torch.arange(256, dtype=torch.float64)[:, None, None, None].expand(-1, 1, 1, 1) / 255
    for c in range(2):
        one = DiscretizedLogisticMixture(p.logits, p.loc[:, c : c + 1], p.log_scale[:, c : c + 1])
        expected = (one.log_prob(x).exp() * x.flatten()).sum()
        assert float(p.mean[c]) == pytest.approx(float(expected), abs=1e-4)


def test_mean_with_coefficients_is_near_that_of_draws() -> None:
    # Means well inside, so that clipping plays no part and the sequential mean is exact.
    loc = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
    loc[0, 0] = 0.6
    coefficients = torch.tensor([0.5, -0.3, 0.8], dtype=torch.float64)[None, :, None, None]
    p = DiscretizedLogisticMixture(
        torch.zeros(1, 1, 1, dtype=torch.float64), loc, torch.full_like(loc, -4.0), coefficients
    )
    expected = [0.6, 0.5 + 0.5 * 0.1, 0.5 - 0.3 * 0.1 + 0.8 * 0.05]
    assert p.mean.flatten().tolist() == pytest.approx(expected, abs=1e-4)
    draws = p.sample(torch.Size([20_000])).flatten(1)
    error = draws.std(0) / 20_000**0.5
    assert ((draws.mean(0) - p.mean.flatten()).abs() < 4 * error + 1e-4).all()


def test_shapes_follow_batch_and_samples() -> None:
    p = mixture(levels=17, image=(4, 5), batch=(2,))
    assert (p.batch_shape, p.event_shape) == ((2,), (3, 4, 5))
    x = p.sample(torch.Size([6]))
    assert x.shape == (6, 2, 3, 4, 5)
    assert p.log_prob(x).shape == (6, 2)
    assert p.mean.shape == (2, 3, 4, 5)
    larger = p.expand(torch.Size([6, 2]))
    assert larger.sample().shape == x.shape
    torch.testing.assert_close(larger.log_prob(x), p.log_prob(x))
    torch.testing.assert_close(mean_or_mode(p), p.mean)


def test_it_is_discrete_and_normalized() -> None:
    p = mixture()
    assert p.support.is_discrete
    assert is_normalized(p)
    with pytest.raises(ValueError, match="support"):
        p.log_prob(torch.full((3, 1, 1), 0.1, dtype=torch.float64))


def test_shapes_that_do_not_fit_are_refused() -> None:
    loc = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ShapeError, match="logits with shape"):
        DiscretizedLogisticMixture(torch.zeros(3, 4, 4), loc, loc)
    with pytest.raises(ShapeError, match="coefficients with shape"):
        DiscretizedLogisticMixture(torch.zeros(2, 4, 4), loc, loc, loc[:, :2])
    with pytest.raises(ShapeError, match="components, channels, height, width"):
        DiscretizedLogisticMixture(torch.zeros(4, 4), loc[0], loc[0])
    with pytest.raises(OptionError, match="levels=1"):
        DiscretizedLogisticMixture(torch.zeros(2, 4, 4), loc, loc, levels=1)


@pytest.mark.parametrize("event", [(1, 4, 6), (2, 4, 6), (3, 4, 6)])
@pytest.mark.parametrize("features", [(7,), (7, 4, 6)])
def test_family_works_with_both_heads(event: tuple[int, ...], features: tuple[int, ...]) -> None:
    family = families.DiscretizedLogisticMixture(event, 17).attach(features)
    p = family(torch.randn(2, 3, *features))
    assert (p.batch_shape, p.event_shape) == ((2, 3), event)
    x = p.sample()
    loss = -p.log_prob(x).mean()
    slopes = torch.autograd.grad(loss, list(family.parameters()))
    assert all(slope.isfinite().all() for slope in slopes)


def test_family_at_zero_is_one_wide_logistic() -> None:
    family = families.DiscretizedLogisticMixture((3, 1, 1), 5)
    p = family.distribution(torch.zeros(family.raw_shape, dtype=torch.float64))
    x = pixels(5, 3)
    single = [log_mass(k, 5, 0.5, 0.5) for k in range(5)]
    expected = [sum(k) for k in product(single, repeat=3)]
    np.testing.assert_allclose(p.log_prob(x).numpy(), expected, rtol=1e-10)


def test_family_is_the_paper_on_pixels_from_minus_one_to_one() -> None:
    family = families.DiscretizedLogisticMixture((2, 1, 1), 5, n_components=1)
    # Of the only component: a logit, two means, two log-scales, one coefficient.
    numbers = torch.tensor([0.0, 0.3, -0.2, -1.0, -0.5, 0.7], dtype=torch.float64)
    p = family.distribution(numbers.reshape(family.raw_shape))
    for (red, green), found in zip(
        product(range(5), repeat=2), p.log_prob(pixels(5, 2)).tolist(), strict=True
    ):
        middle = -0.2 + np.tanh(0.7) * (2 * red / 4 - 1)
        # On [-1, 1] the logistics have twice the mean, less one, and twice the scale.
        expected = log_mass(red, 5, (1 + 0.3) / 2, np.exp(-1.0) / 2)
        expected += log_mass(green, 5, (1 + middle) / 2, np.exp(-0.5) / 2)
        assert found == pytest.approx(expected, abs=1e-10)


def test_family_learns_what_it_sees() -> None:
    """Two clusters of grey cost log 2 at least; one logistic over both would cost about 5."""
    family = families.DiscretizedLogisticMixture((1, 1, 1), 256, n_components=2)
    # Two logits, two means on either side of mid-grey, two log-scales.
    raw = torch.tensor([0.0, 0.0, -0.3, 0.3, -2.0, -2.0]).reshape(family.raw_shape)
    raw.requires_grad_()
    x = torch.tensor([50 / 255, 200 / 255]).repeat(20)[:, None, None, None]
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(200):
        loss = -family.distribution(raw).log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert log(2) < float(loss.detach()) < log(2) + 0.5
    draws = family.distribution(raw).sample(torch.Size([1000])).flatten()
    assert float(torch.isin((draws * 255).round(), torch.tensor([50, 200])).float().mean()) > 0.9


def test_family_refuses_what_it_cannot_describe() -> None:
    with pytest.raises(ShapeError, match="images"):
        families.DiscretizedLogisticMixture(64, 17)
    with pytest.raises(OptionError, match="levels=1"):
        families.DiscretizedLogisticMixture((1, 8, 8), 1)
    with pytest.raises(OptionError, match="n_components=0"):
        families.DiscretizedLogisticMixture((1, 8, 8), 17, 0)


def test_likelihood_by_name() -> None:
    grey = DataSpec((1, 8, 8), "unit", levels=17)
    family = families.likelihood(grey, "logistic-mixture")
    assert isinstance(family, families.DiscretizedLogisticMixture)
    assert family.levels == 17
    with pytest.raises(SupportError, match="needs discrete values, but 'data' is continuous"):
        families.likelihood(DataSpec((1, 8, 8), "unit"), "logistic-mixture")
    with pytest.raises(SupportError, match="is for grey"):
        families.likelihood(DataSpec((1, 8, 8), "binary"), "logistic-mixture")


# ---------------------------------------------------------------- one logistic

LOGISTICS = [(0.5, 0.1), (-0.3, 0.02), (1.4, 0.3), (0.2, 1e-4), (0.7, 30.0)]
"""Mean and scale of one logistic."""


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize(("loc", "scale"), LOGISTICS)
def test_masses_of_one_logistic_are_those_of_scipy(levels: int, loc: float, scale: float) -> None:
    grid = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    where = torch.tensor([loc], dtype=torch.float64), torch.tensor([scale], dtype=torch.float64)
    p = DiscretizedLogistic(*where, levels=levels)
    masses = p.log_prob(grid[:, None])[:, 0].exp()
    edges = (np.arange(levels + 1) - 0.5) / (levels - 1)
    edges[[0, -1]] = -np.inf, np.inf
    expected = np.diff(stats.logistic(loc, scale).cdf(edges))
    np.testing.assert_allclose(masses, expected, rtol=1e-6, atol=1e-14)
    assert float(masses.sum()) == pytest.approx(1, abs=1e-12)
    assert float(p.mean) == pytest.approx(float(masses @ grid), abs=0.5 / (levels - 1))
    assert is_normalized(p)
    assert p.support.is_discrete


def test_draws_of_one_logistic_have_the_masses() -> None:
    torch.manual_seed(0)
    p = DiscretizedLogistic(torch.tensor([0.3]), torch.tensor([0.2]), levels=5)
    draws = (p.sample((100_000,)) * 4).round().long().flatten()
    expected = p.log_prob(torch.arange(5.0)[:, None] / 4)[:, 0].exp()
    torch.testing.assert_close(draws.bincount(minlength=5) / 1e5, expected, atol=0.01, rtol=0)


def test_one_logistic_is_a_mixture_of_one() -> None:
    x = torch.randint(256, (7, 1, 3, 4)) / 255
    loc, log_scale = torch.rand(7, 1, 3, 4), torch.randn(7, 1, 3, 4) - 3
    one = DiscretizedLogistic(loc, log_scale.exp(), levels=256).log_prob(x).sum((1, 2, 3))
    whole = DiscretizedLogisticMixture(
        torch.zeros(7, 1, 3, 4), loc[:, None], log_scale[:, None], levels=256
    )
    torch.testing.assert_close(one, whole.log_prob(x))


def test_a_pixel_that_never_varies_costs_nothing() -> None:
    family = families.DiscretizedLogistic(1).attach((8,)).standardized(per_entry=False)
    family.standardize.set(torch.tensor([0.5]), torch.tensor([0.3]))
    raw = torch.tensor([[[200 / 255 / 0.3 - 0.5 / 0.3], [-100.0]]])
    assert float(family.distribution(raw).log_prob(torch.tensor([[200 / 255]]))) > -1e-3


def test_refused_logistics() -> None:
    with pytest.raises(OptionError, match="levels=1"):
        DiscretizedLogistic(torch.zeros(1), torch.ones(1), levels=1)
    with pytest.raises(SupportError, match="needs discrete values"):
        families.likelihood(DataSpec((2,), "unit"), "discretized-logistic")
