"""Distributions on the sphere, against Bessel functions, scipy's distributions and quadrature."""

from math import inf, log, nan, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate, special, stats
from torch import Tensor
from torch.nn.functional import normalize

from reparam.distributions import HypersphericalUniform, VonMisesFisher, sphere
from reparam.errors import OptionError, ShapeError
from reparam.evaluation.latents.activity import interpolate
from reparam.runs.run import Run
from tests.support import reparam

DIMS = [2, 3, 4, 5, 11, 32, 64]
KAPPAS = np.logspace(-3, 4, 57)

Array = NDArray[np.float64]


def length(dim: int, kappa: Array | float) -> Array:
    """Return the mean resultant length by scipy's Bessel functions."""
    return special.ive(dim / 2, kappa) / special.ive(dim / 2 - 1, kappa)


def log_normalizer(dim: int, kappa: Array | float) -> Array:
    """Return log Z(κ) by scipy's Bessel functions."""
    bessel = np.log(special.ive(dim / 2 - 1, kappa)) + kappa
    return dim / 2 * log(2 * pi) + bessel - (dim / 2 - 1) * np.log(kappa)


def direction(dim: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return normalize(torch.linspace(-1, 1.7, dim, dtype=dtype), dim=0)


def around(dim: int, kappa: Array | float) -> VonMisesFisher:
    return VonMisesFisher(direction(dim), torch.as_tensor(kappa, dtype=torch.float64))


def within(draws: Tensor, expected: Array | float, n_errors: float = 4) -> None:
    """Check that the mean of draws, along the first axis, is what is expected of it."""
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - torch.as_tensor(expected)).abs() <= n_errors * error + 1e-12).all()


@pytest.mark.parametrize("dim", DIMS)
def test_normalizer_is_that_of_bessel_functions(dim: int) -> None:
    found = around(dim, KAPPAS).log_prob(direction(dim)).numpy()
    np.testing.assert_allclose(found, KAPPAS - log_normalizer(dim, KAPPAS), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dim", DIMS)
def test_mean_is_that_of_bessel_functions(dim: int) -> None:
    q = around(dim, KAPPAS)
    np.testing.assert_allclose(q.mean_resultant_length.numpy(), length(dim, KAPPAS), rtol=1e-10)
    expected = length(dim, KAPPAS)[:, None] * direction(dim).numpy()
    np.testing.assert_allclose(q.mean.numpy(), expected, rtol=1e-10)
    np.testing.assert_array_equal(q.mode[3].numpy(), direction(dim).numpy())


@pytest.mark.parametrize("dim", DIMS)
def test_slope_of_the_normalizer_is_the_mean(dim: int) -> None:
    kappa = torch.as_tensor(KAPPAS).requires_grad_()
    q = VonMisesFisher(direction(dim), kappa)
    (slope,) = torch.autograd.grad(q.log_prob(-direction(dim)).sum(), kappa)
    np.testing.assert_allclose(slope.numpy(), -1 - length(dim, KAPPAS), rtol=1e-12)
    (curvature,) = torch.autograd.grad(q.mean_resultant_length.sum(), kappa)
    if dim < 32:  # Beyond, the recurrence that follows loses digits, not the quadrature.
        a = length(dim, KAPPAS)
        expected = 1 - a**2 - (dim - 1) * a / KAPPAS
        np.testing.assert_allclose(curvature.numpy(), expected, rtol=1e-6, atol=1e-11)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 5000.0])
def test_agrees_with_scipys_distribution(dim: int, kappa: float) -> None:
    theirs = stats.vonmises_fisher(direction(dim).numpy(), kappa, seed=0)
    z = torch.as_tensor(theirs.rvs(20))
    q = around(dim, kappa)
    np.testing.assert_allclose(q.log_prob(z).numpy(), theirs.logpdf(z.numpy()), atol=1e-8)
    assert float(q.entropy()) == pytest.approx(theirs.entropy(), abs=1e-8)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("kappa", [1e-3, 1.0, 1e4])
def test_single_precision_loses_only_rounding(dim: int, kappa: float) -> None:
    z = around(dim, kappa).sample(torch.Size([200]))
    single = VonMisesFisher(direction(dim).float(), torch.tensor(kappa))
    found = single.log_prob(z.float())
    assert found.dtype == single.rsample().dtype == single.entropy().dtype == torch.float32
    torch.testing.assert_close(found.double(), around(dim, kappa).log_prob(z), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kappa", [1e-3, 2.0, 80.0])
def test_density_integrates_to_one(kappa: float) -> None:
    t = torch.linspace(0, 2 * pi, 501, dtype=torch.float64)[:-1]
    circle = torch.stack([t.cos(), t.sin()], -1)
    assert float(around(2, kappa).log_prob(circle).exp().mean() * 2 * pi) == pytest.approx(1)
    nodes, weights = (torch.as_tensor(v) for v in np.polynomial.legendre.leggauss(120))
    across = (1 - nodes.square()).sqrt()
    ball = torch.stack(
        [across[:, None] * t.cos(), across[:, None] * t.sin(), nodes[:, None].expand(-1, 500)], -1
    )
    per_height = around(3, kappa).log_prob(ball).exp().mean(-1) * 2 * pi
    assert float(per_height @ weights) == pytest.approx(1)


@pytest.mark.parametrize("dim", [2, 3, 11, 64])
@pytest.mark.parametrize("kappa", [1e-3, 3.0, 1e4])
def test_draws_have_the_moments(dim: int, kappa: float) -> None:
    q = around(dim, kappa)
    z = q.rsample(torch.Size([20_000]))
    assert sphere.check(z).all()
    within(z, q.loc.numpy() * length(dim, kappa), n_errors=4.5)
    within((z @ q.loc)[:, None], length(dim, kappa))
    # The variance, against the draws' own, whose standard error follows from fourth moments.
    within((z - q.mean).square(), q.variance.numpy(), n_errors=4.5)


def angle_cdf(dim: int, kappa: float, t: float) -> float:
    """Return P(angle <= t) by adaptive quadrature."""

    def density(s: float) -> float:
        return float(np.exp(kappa * (np.cos(s) - 1)) * np.sin(s) ** (dim - 2))

    parts = [
        integrate.quad(density, *ends, epsabs=0, epsrel=1e-12)[0] for ends in [(0, t), (t, pi)]
    ]
    return parts[0] / sum(parts)


@pytest.mark.parametrize(("dim", "kappa"), [(2, 0.5), (2, 400.0), (3, 8.0), (11, 25.0), (40, 5.0)])
def test_draws_have_the_distribution_of_the_angle(dim: int, kappa: float) -> None:
    q = around(dim, kappa)
    t = (q.sample(torch.Size([1000])) @ q.loc).clamp(-1, 1).acos().numpy()
    u = [angle_cdf(dim, kappa, float(s)) for s in t]
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_draws_are_uniform_around_the_mean() -> None:
    q = around(3, 4.0)
    z = q.sample(torch.Size([4000]))
    first = normalize(torch.linalg.cross(q.loc, torch.eye(3, dtype=z.dtype)[0]), dim=0)
    turn = torch.atan2(z @ torch.linalg.cross(q.loc, first), z @ first)
    assert stats.kstest(turn.numpy(), stats.uniform(-pi, 2 * pi).cdf).pvalue > 1e-3


def test_slope_of_a_draw_is_that_of_the_inverse_distribution_function() -> None:
    # On the sphere of R³ the distribution function of w = μᵀz is elementary.
    kappa = torch.logspace(-2, 3, 40, dtype=torch.float64).repeat_interleave(25).requires_grad_()
    q = VonMisesFisher(direction(3), kappa)
    w = q.rsample() @ direction(3)
    (slope,) = torch.autograd.grad(w.sum(), kappa)
    k, w = kappa.detach(), w.detach()
    u = torch.expm1(k * (w + 1)) / torch.expm1(2 * k)
    u = torch.where(k < 100, u, (k * (w - 1)).exp())
    k.requires_grad_()
    inverse = 1 + (u + (1 - u) * (-2 * k).exp()).log() / k
    (expected,) = torch.autograd.grad(inverse.sum(), k)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("dim", "kappa"), [(2, 0.3), (2, 60.0), (4, 2.0), (11, 20.0), (64, 300.0)])
def test_slope_of_a_draw_is_that_of_quadrature(dim: int, kappa: float) -> None:
    leaf = torch.full((12,), kappa, dtype=torch.float64, requires_grad=True)
    w = VonMisesFisher(direction(dim), leaf).rsample() @ direction(dim)
    (slope,) = torch.autograd.grad(w.sum(), leaf)
    step = 1e-4 * kappa
    for found, cosine in zip(slope.tolist(), w.tolist(), strict=True):
        t = np.arccos(cosine)
        in_kappa = angle_cdf(dim, kappa + step, t) - angle_cdf(dim, kappa - step, t)
        in_angle = angle_cdf(dim, kappa, t + 1e-5) - angle_cdf(dim, kappa, t - 1e-5)
        expected = np.sin(t) * (in_kappa / (2 * step)) / (in_angle / 2e-5)
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("dim", "kappa"), [(2, 1.5), (3, 0.1), (3, 10.0), (11, 30.0)])
def test_gradient_through_draws_is_unbiased(dim: int, kappa: float) -> None:
    """E[exp(aᵀz)] = Z(‖κμ + a‖) / Z(κ), whose slopes finite differences give."""
    a, raw = np.linspace(1.0, -0.8, dim), 1.3 * direction(dim).numpy()

    def expectation(numbers: Array) -> float:
        loc = numbers[1:] / np.linalg.norm(numbers[1:])
        far = float(np.linalg.norm(numbers[0] * loc + a))
        return float(np.exp(log_normalizer(dim, far) - log_normalizer(dim, float(numbers[0]))))

    at, step = np.concatenate([[kappa], raw]), 1e-5
    expected = np.array(
        [
            (expectation(at + step * e) - expectation(at - step * e)) / (2 * step)
            for e in np.eye(dim + 1)
        ]
    )
    n = 40_000
    numbers = torch.as_tensor(at).expand(n, -1).clone().requires_grad_()
    z = VonMisesFisher(normalize(numbers[:, 1:], dim=-1), numbers[:, 0]).rsample()
    values = (z @ torch.as_tensor(a)).exp()
    within(values[:, None].detach(), expectation(at))
    (slopes,) = torch.autograd.grad(values.sum(), numbers)
    within(slopes, expected)


@pytest.mark.parametrize("dim", [2, 3, 8])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_reflection_is_safe_at_the_poles(dim: int, sign: float) -> None:
    loc = (sign * torch.eye(dim)[0]).requires_grad_()
    z = VonMisesFisher(loc, torch.tensor(1e4)).rsample(torch.Size([100]))
    assert ((z @ loc) > 0.99).all()
    (slope,) = torch.autograd.grad(z.sum(), loc)
    assert slope.isfinite().all()


@pytest.mark.parametrize("dim", DIMS)
def test_divergence_from_the_uniform_is_area_minus_entropy(dim: int) -> None:
    q = around(dim, KAPPAS)
    p = HypersphericalUniform(dim, dtype=torch.float64)
    kl = (p.entropy() - q.entropy()).numpy()
    expected = KAPPAS * length(dim, KAPPAS) - log_normalizer(dim, KAPPAS) + float(p.entropy())
    np.testing.assert_allclose(kl, expected, atol=1e-10)
    np.testing.assert_allclose(q.kl_from_uniform().numpy(), kl, atol=1e-12)
    assert (q.kl_from_uniform() > 0).all()
    assert (np.diff(q.kl_from_uniform().numpy()) > 0).all()
    # For small κ it vanishes as κ² / 2D.
    assert float(q.kl_from_uniform()[0]) == pytest.approx(1e-6 / (2 * dim), rel=1e-3)
    single = VonMisesFisher(direction(dim).float(), torch.as_tensor(KAPPAS).float())
    assert (single.kl_from_uniform() > 0).all()


@pytest.mark.parametrize(("dim", "kappa"), [(2, 0.5), (3, 20.0), (11, 50.0), (64, 1000.0)])
def test_divergence_from_the_uniform_is_that_of_draws(dim: int, kappa: float) -> None:
    q, p = around(dim, kappa), HypersphericalUniform(dim, dtype=torch.float64)
    z = q.sample(torch.Size([20_000]))
    within((q.log_prob(z) - p.log_prob(z))[:, None], q.kl_from_uniform().numpy())


@pytest.mark.parametrize("dim", [2, 3, 11])
def test_slope_of_the_entropy_is_closed(dim: int) -> None:
    kappas = KAPPAS[KAPPAS > 0.05]
    leaf = torch.as_tensor(kappas).requires_grad_()
    (slope,) = torch.autograd.grad(VonMisesFisher(direction(dim), leaf).entropy().sum(), leaf)
    a = length(dim, kappas)
    expected = -kappas * (1 - a**2 - (dim - 1) * a / kappas)
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-6, atol=1e-11)


def test_shapes_follow_batch_and_samples() -> None:
    q = VonMisesFisher(direction(4).expand(3, 1, 4), torch.ones(5, dtype=torch.float64))
    assert q.batch_shape == (3, 5)
    assert q.event_shape == (4,)
    assert q.rsample(torch.Size([2, 7])).shape == (2, 7, 3, 5, 4)
    assert q.log_prob(q.sample(torch.Size([2]))).shape == (2, 3, 5)
    assert q.mean.shape == q.variance.shape == (3, 5, 4)
    larger = q.expand(torch.Size([6, 3, 5]))
    assert larger.sample().shape == (6, 3, 5, 4)
    assert larger.entropy().shape == (6, 3, 5)
    torch.testing.assert_close(larger.entropy()[2], q.entropy())


def test_a_distribution_serves_several_backward_passes() -> None:
    kappa = torch.tensor(3.0, requires_grad=True)
    z = VonMisesFisher(direction(3, torch.float32), kappa.detach()).sample()
    functions = (lambda q: q.log_prob(z), lambda q: q.entropy(), lambda q: q.mean.sum())
    one = VonMisesFisher(direction(3, torch.float32), kappa)
    together = [torch.autograd.grad(function(one), kappa)[0] for function in functions]
    each = [
        torch.autograd.grad(function(VonMisesFisher(direction(3, torch.float32), kappa)), kappa)[0]
        for function in functions
    ]
    torch.testing.assert_close(together, each)
    one.rsample().sum().backward()


@pytest.mark.parametrize("kappa", [nan, inf])
def test_draws_of_a_broken_concentration_end(kappa: float) -> None:
    q = VonMisesFisher(direction(3), torch.tensor(kappa).double(), validate_args=False)
    expected = direction(3) if kappa == inf else torch.full((3,), nan).double()
    found = q.sample(torch.Size([4]))
    torch.testing.assert_close(found, expected.expand(4, 3), equal_nan=True)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_vanished_concentration_is_uniform(dim: int) -> None:
    q = VonMisesFisher(direction(dim), torch.tensor(0.0).double(), validate_args=False)
    expected = HypersphericalUniform(dim, dtype=torch.float64).entropy()
    torch.testing.assert_close(q.log_prob(q.sample()), -expected)


def test_what_is_no_direction_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least two coordinates"):
        VonMisesFisher(torch.ones(3, 1), torch.ones(3))
    with pytest.raises(ValueError, match="loc"):
        VonMisesFisher(torch.ones(3, 4), torch.ones(3), validate_args=True)
    with pytest.raises(ValueError, match="concentration"):
        VonMisesFisher(direction(4), torch.tensor(-1.0), validate_args=True)
    q = VonMisesFisher(direction(4), torch.tensor(1.0), validate_args=True)
    with pytest.raises(ValueError, match="support"):
        q.log_prob(torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize(("dim", "area"), [(2, 2 * pi), (3, 4 * pi), (4, 2 * pi**2)])
def test_uniform_knows_the_area(dim: int, area: float) -> None:
    p = HypersphericalUniform(dim, torch.Size([5]))
    assert p.entropy().tolist() == pytest.approx([log(area)] * 5)
    assert p.log_prob(p.sample(torch.Size([2]))).shape == (2, 5)
    assert float(p.log_prob(p.sample())[0]) == pytest.approx(-log(area))


@pytest.mark.parametrize("dim", [2, 3, 11])
def test_uniform_draws_have_its_moments(dim: int) -> None:
    p = HypersphericalUniform(dim, dtype=torch.float64)
    z = p.rsample(torch.Size([20_000]))
    assert sphere.check(z).all()
    within(z, p.mean.numpy())
    within(z.square(), p.variance.numpy())
    assert p.expand(torch.Size([2, 3])).sample().shape == (2, 3, dim)
    assert p.expand(torch.Size([2, 3])).sample().dtype == torch.float64


def test_uniform_refuses_what_is_no_sphere() -> None:
    with pytest.raises(OptionError, match="dim=1"):
        HypersphericalUniform(1)
    with pytest.raises(ValueError, match="support"):
        HypersphericalUniform(3, validate_args=True).log_prob(torch.ones(3))


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 2.0, 3.1])
def test_a_walk_on_the_sphere_turns_by_equal_angles(angle: float) -> None:
    turns = torch.linspace(0, angle, 5, dtype=torch.float64) + 0.4
    circle = torch.stack([turns.cos(), turns.sin()], -1)
    walk = interpolate(circle[:1], circle[-1:], 5, on_sphere=True)
    torch.testing.assert_close(walk[0], circle)


def test_the_command_line_walks_on_the_sphere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    words = "--hidden 4 --latent-dim 3 --epochs 1 --batch-size 500 --pictures-every 0 --device cpu"
    reparam("train vmf-vae --data digits --out", run, words)
    decoded: list[Tensor] = []
    decode = Run.decode

    def spy(self: Run, z: Tensor, c: Tensor | None = None) -> Tensor:
        decoded.append(z)
        return decode(self, z, c)

    monkeypatch.setattr(Run, "decode", spy)
    reparam("interpolate", run, "-n 2 --steps 5")
    assert decoded[0].shape == (10, 3)
    assert sphere.check(decoded[0]).all()
