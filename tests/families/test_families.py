"""Families turn raw numbers into the distributions they promise; densities sum to one."""

from math import exp, log

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Normal

from reparam import families
from reparam.distributions import is_normalized
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.families import Family
from reparam.models.conditional import Conditional, Unconditional


def raw(*numbers: float) -> Tensor:
    """Return raw parameters, in float64, of an event with one entry."""
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def integral(family: Family, numbers: tuple[float, ...], low: float, high: float) -> float:
    """Return the integral of the density by Gauss-Legendre quadrature on 100 panels."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(low, high, 101)
    half = (edges[1:] - edges[:-1])[:, None] / 2
    x = torch.as_tensor((edges[:-1, None] + half * (nodes + 1)).ravel())
    density = family.distribution(raw(*numbers)).log_prob(x[:, None]).exp()
    assert density.dtype == torch.float64
    return float(density.detach().numpy() @ (half * weights).ravel())


def gaussian_range(loc: float, scale: float) -> tuple[float, float]:
    return loc - 12 * scale, loc + 12 * scale


@pytest.mark.parametrize("loc", [-30.0, 0.0, 2.5])
@pytest.mark.parametrize("log_variance", [-12.0, -1.0, 0.0, 8.0])
def test_gaussian_density_integrates_to_one(loc: float, log_variance: float) -> None:
    limits = gaussian_range(loc, exp(log_variance / 2))
    found = integral(families.Gaussian(1), (loc, log_variance), *limits)
    assert found == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("log_variance", [-12.0, 0.0, 8.0])
def test_floor_keeps_the_gaussian_normalized(log_variance: float) -> None:
    limits = gaussian_range(1.0, exp(log_variance / 2) + 0.1)
    family = families.Gaussian(1, min_scale=0.1)
    assert integral(family, (1.0, log_variance), *limits) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0, "shared", "optimal"])
def test_other_gaussian_scales_integrate_to_one(scale: float | str) -> None:
    family = families.Gaussian(1, scale=scale).eval()
    limits = gaussian_range(0.3, scale if isinstance(scale, float) else 1.0)
    assert integral(family, (0.3,), *limits) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("logit", [-40.0, -5.0, -0.1, -1e-3, 0.0, 0.05, 0.1, 3.0, 16.0, 40.0])
def test_continuous_bernoulli_density_integrates_to_one(logit: float) -> None:
    found = integral(families.ContinuousBernoulli(1), (logit,), 0, 1)
    assert found == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("middle", [-3.0, 0.0, 100.0])
@pytest.mark.parametrize("log_width", [-8.0, 0.0, 5.0])
def test_uniform_density_integrates_to_one(middle: float, log_width: float) -> None:
    half = exp(log_width) / 2
    family = families.Uniform(1)
    inside = integral(family, (middle, log_width), middle - half, middle + half)
    assert inside == pytest.approx(1, abs=1e-9)
    p = family.distribution(raw(middle, log_width))
    outside = torch.tensor([[middle - 1.01 * half], [middle + 1.01 * half]], dtype=torch.float64)
    assert (p.log_prob(outside) == -torch.inf).all()


@pytest.mark.parametrize("logit", [-40.0, -2.0, 0.0, 0.7, 40.0])
def test_bernoulli_masses_sum_to_one(logit: float) -> None:
    p = families.Bernoulli(1).distribution(raw(logit))
    masses = p.log_prob(torch.tensor([[0.0], [1.0]], dtype=torch.float64)).exp()
    assert float(masses.sum()) == pytest.approx(1, abs=1e-12)
    assert float(masses[1]) == pytest.approx(1 / (1 + exp(-logit)), rel=1e-9)


@pytest.mark.parametrize("spread", [0.0, 1.0, 40.0])
def test_categorical_masses_sum_to_one(spread: float) -> None:
    numbers = (spread * torch.randn(6)).tolist()
    labels = families.Categorical(6, 1).distribution(raw(*numbers))
    total = labels.log_prob(torch.arange(6)[:, None]).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-12)
    gray = families.QuantizedGray(6, 1).distribution(raw(*numbers))
    total = gray.log_prob(torch.arange(6, dtype=torch.float64)[:, None] / 5).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-12)


def full_gaussian(n: int, batch: int = 4) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Return raw parameters, and the means and factors L that they stand for."""
    numbers = torch.randn(batch, n + n * (n + 1) // 2, dtype=torch.float64)
    factors = np.zeros((batch, n, n))
    values = numbers.numpy()
    for b in range(batch):
        factors[b][np.diag_indices(n)] = np.exp(values[b, n : 2 * n] / 2)
        factors[b][np.tril_indices(n, -1)] = values[b, 2 * n :]
    return numbers, values[:, :n], factors


@pytest.mark.parametrize("n", [1, 2, 5])
def test_full_covariance_density_is_the_change_of_variables(n: int) -> None:
    numbers, means, factors = full_gaussian(n)
    z = torch.randn(4, n, dtype=torch.float64)
    found = families.FullCovarianceGaussian(n).distribution(numbers).log_prob(z)
    for b in range(4):
        noise = np.linalg.solve(factors[b], z[b].numpy() - means[b])
        by_hand = stats.norm.logpdf(noise).sum() - np.log(np.diag(factors[b])).sum()
        by_scipy = stats.multivariate_normal(means[b], factors[b] @ factors[b].T).logpdf(z[b])
        assert float(found[b]) == pytest.approx(by_hand, rel=1e-10)
        assert float(found[b]) == pytest.approx(by_scipy, rel=1e-8)


def test_full_covariance_draws_have_its_moments() -> None:
    numbers, means, factors = full_gaussian(3, batch=1)
    q = families.FullCovarianceGaussian(3).distribution(numbers[0])
    n_draws = 40_000
    noise = np.linalg.solve(factors[0], (q.rsample(torch.Size([n_draws])).numpy() - means[0]).T)
    assert np.abs(noise.mean(1)).max() < 4 / n_draws**0.5
    # The standard error of a variance of normal draws is √2/√n, of a covariance 1/√n.
    assert np.abs(noise @ noise.T / n_draws - np.eye(3)).max() < 4 * (2 / n_draws) ** 0.5


def test_gaussian_is_scipys_product_of_normals() -> None:
    numbers, x = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    found = families.Gaussian(3).distribution(numbers).log_prob(x)
    scale = np.exp(numbers[:, 1].numpy() / 2)
    expected = stats.norm(numbers[:, 0].numpy(), scale).logpdf(x.numpy()).sum(-1)
    np.testing.assert_allclose(found.numpy(), expected)


def test_learned_scale_has_a_floor() -> None:
    p = families.Gaussian(1, min_scale=0.25).distribution(raw(0.0, -1000.0))
    assert float(p.stddev) == 0.25


def test_shared_scale_is_one_learned_number() -> None:
    family = families.Gaussian((1, 4, 4), scale="shared")
    assert [name for name, _ in family.named_parameters()] == ["log_scale"]
    with torch.no_grad():
        family.log_scale.fill_(log(3.0))
    p = family.distribution(torch.zeros(2, 1, 1, 4, 4))
    torch.testing.assert_close(p.stddev, torch.full((2, 1, 4, 4), 3.0))
    (slope,) = torch.autograd.grad(p.log_prob(torch.ones(2, 1, 4, 4)).mean(), family.log_scale)
    # d/dlogσ Σ log N(x; 0, σ²) = Σ x²/σ² - 1 over 16 entries.
    assert float(slope) == pytest.approx(16 * (1 / 9 - 1), rel=1e-5)


def test_fixed_scale_has_no_parameter() -> None:
    family = families.Gaussian(3, scale=0.5)
    assert list(family.parameters()) == []
    assert (family.distribution(torch.zeros(1, 3)).stddev == 0.5).all()


def test_optimal_scale_is_kept_for_evaluation() -> None:
    family = families.Gaussian(3, scale="optimal")
    x = torch.full((200, 3), 2.0)
    for _ in range(300):
        family.distribution(torch.zeros(200, 1, 3)).log_prob(x)
    assert "kept_scale" in family.state_dict()
    p = family.eval().distribution(torch.zeros(200, 1, 3))
    assert isinstance(p.base_dist, Normal)
    assert float(p.stddev.mean()) == pytest.approx(2, rel=1e-4)
    np.testing.assert_allclose(p.log_prob(x).numpy(), stats.norm(0, 2).logpdf(2.0) * 3, rtol=1e-4)


def test_evaluation_leaves_the_kept_scale_alone() -> None:
    family = families.Gaussian(3, scale="optimal").eval()
    family.distribution(torch.zeros(4, 1, 3)).log_prob(torch.full((4, 3), 9.0))
    assert float(family.kept_scale) == 1.0


def test_uniform_draws_fill_its_box() -> None:
    p = families.Uniform(1).distribution(raw(2.0, log(4.0)))
    draws = p.rsample(torch.Size([20_000]))[:, 0].numpy()
    assert stats.kstest(draws, stats.uniform(0, 4).cdf).pvalue > 1e-3


def test_categorical_of_an_image_reads_classes_from_the_first_axis() -> None:
    numbers = torch.full((2, 3, 1, 2, 2), -50.0)
    numbers[:, 1] = 50.0
    p = families.Categorical(3, (1, 2, 2)).distribution(numbers)
    assert (p.sample() == 1).all()
    assert p.log_prob(torch.ones(2, 1, 2, 2)).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_only_the_cross_entropy_family_is_not_normalized() -> None:
    made = {
        name: getattr(families, name)(3)
        for name in (
            "Gaussian",
            "FullCovarianceGaussian",
            "Uniform",
            "Bernoulli",
            "ContinuousBernoulli",
            "CrossEntropy",
        )
    } | {"Categorical": families.Categorical(4, 3), "QuantizedGray": families.QuantizedGray(4, 3)}
    honest = {
        name: is_normalized(family.distribution(torch.zeros(2, *family.raw_shape)))
        for name, family in made.items()
    }
    assert [name for name, normalized in honest.items() if not normalized] == ["CrossEntropy"]


EVERY_FAMILY = [
    families.Gaussian,
    families.Uniform,
    families.Bernoulli,
    families.ContinuousBernoulli,
    families.CrossEntropy,
]


@pytest.mark.parametrize("make", EVERY_FAMILY)
@pytest.mark.parametrize("event", [(4,), (1, 5, 7), ()])
def test_shapes_follow_features_and_event(make: type[Family], event: tuple[int, ...]) -> None:
    p = make(event).attach((6,))(torch.randn(3, 2, 6))
    assert p.batch_shape == (3, 2)
    assert p.event_shape == event
    assert p.log_prob(p.sample()).shape == (3, 2)


@pytest.mark.parametrize("make", EVERY_FAMILY)
def test_double_modules_stay_double(make: type[Family]) -> None:
    conditional = Conditional(nn.Linear(4, 6), make(3)).double()
    p = conditional(torch.randn(5, 4, dtype=torch.float64))
    assert p.mean.dtype == torch.float64
    assert p.log_prob(torch.full((5, 3), 0.5, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("make", [*EVERY_FAMILY, families.FullCovarianceGaussian])
def test_densities_leave_half_precision(make: type[Family]) -> None:
    conditional = Conditional(nn.Linear(4, 6), make(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        p = conditional(torch.randn(5, 4))
        assert p.log_prob(torch.full((5, 3), 0.5)).dtype == torch.float32


def test_unconditional_learns_its_raw_parameters() -> None:
    module = Unconditional(families.Categorical(4))
    with torch.no_grad():
        module.raw.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).log())
    torch.testing.assert_close(module().probs, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert module(torch.zeros(5, 2)).batch_shape == ()


def test_a_family_belongs_to_one_network() -> None:
    family = families.Gaussian(2)
    Conditional(nn.Linear(4, 6), family)
    with pytest.raises(OptionError, match="already belongs to a network"):
        Conditional(nn.Linear(4, 6), family)


@pytest.mark.parametrize("event", [0, (3, 0), (-1,)])
def test_empty_events_are_refused(event: int | tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        families.Gaussian(event)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_fixed_scales_are_refused(scale: float) -> None:
    with pytest.raises(OptionError, match=r"scale=.* must be (above 0|a finite number)"):
        families.Gaussian(2, scale=scale)


def test_unknown_scale_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'optimal'"):
        families.Gaussian(2, scale="optmal")


def test_negative_floor_is_refused() -> None:
    with pytest.raises(OptionError, match=r"min_scale=-0\.1"):
        families.Gaussian(2, min_scale=-0.1)


def test_full_covariance_of_an_image_is_refused() -> None:
    with pytest.raises(ShapeError, match="one axis"):
        families.FullCovarianceGaussian((1, 8, 8))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_classes_are_refused(n: int) -> None:
    with pytest.raises(OptionError):
        families.Categorical(n)
    with pytest.raises(OptionError):
        families.QuantizedGray(n, 3)


@pytest.mark.parametrize("event", [(3,), (3, 4, 4)])
@pytest.mark.parametrize(
    "make",
    [
        families.Bernoulli,
        families.CrossEntropy,
        families.ContinuousBernoulli,
        families.Gaussian,
        lambda event: families.Gaussian(event, "shared"),
    ],
)
def test_a_family_starts_at_a_mean(make: type[Family], event: tuple[int, ...]) -> None:
    features = (8, *event[1:])
    family = make(event).attach(features)
    mean = torch.linspace(0.05, 0.9, 3).reshape(3, *(1 for _ in event[1:])).expand(event)
    family.start_at(mean)
    assert torch.allclose(family(torch.zeros(features)).mean, mean, atol=1e-5)


@pytest.mark.parametrize(
    "make", [families.Bernoulli, families.ContinuousBernoulli, families.Gaussian]
)
def test_feature_maps_start_at_the_mean_of_each_entry(make: type[Family]) -> None:
    family = make((2, 4, 4)).attach((8, 4, 4))
    mean = torch.linspace(0.02, 0.95, 32).reshape(2, 4, 4)
    family.start_at(mean)
    assert torch.allclose(family(torch.zeros(8, 4, 4)).mean, mean, atol=1e-5)


def test_feature_maps_of_older_weights_have_no_bias_of_entries() -> None:
    family = families.Gaussian((2, 4, 4)).attach((8, 4, 4))
    older = {name: value for name, value in family.state_dict().items() if name != "head.bias"}
    features = torch.randn(5, 8, 4, 4)
    expected = family(features).mean
    again = families.Gaussian((2, 4, 4)).attach((8, 4, 4))
    again.start_at(torch.ones(2, 4, 4))
    again.load_state_dict(older)
    assert torch.equal(again(features).mean, expected)


def test_a_start_needs_a_mean_of_the_event_and_a_head() -> None:
    with pytest.raises(ShapeError, match="both must be the same"):
        families.Gaussian(3).attach((8,)).start_at(torch.tensor(0.3))
    with pytest.raises(OptionError, match="has no head"):
        families.Gaussian(3).start_at(torch.zeros(3))


def test_the_continuous_bernoullis_mean_is_its_integral() -> None:
    logit = families.ContinuousBernoulli(1).raw_of_mean(torch.tensor([0.07]))
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    density = torch.exp(float(logit) * x)
    assert float((x * density).mean() / density.mean()) == pytest.approx(0.07, abs=1e-4)


def test_a_mean_of_levels_is_no_start() -> None:
    family = families.QuantizedGray(4, 16).attach((8,))
    with pytest.raises(SupportError, match="drop start_at_mean=True"):
        family.start_at(torch.full((16,), 0.5))
