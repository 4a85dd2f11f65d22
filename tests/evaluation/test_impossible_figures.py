"""No figure that cannot be: a log-probability above 0, a negative KL, what rounding has made."""

from math import log, pi

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal

import reparam as rp
from reparam.batch import Batch
from reparam.distributions import TriangularNormal, detached
from reparam.evaluation import evaluate
from reparam.evaluation.likelihood.annealed import Annealing, annealed_importance
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.evaluation.likelihood.precision import held
from reparam.evaluation.samples import frechet_distance
from reparam.spec import DataSpec
from tests.support import normal

BITS = DataSpec((3,), "binary")
REALS = DataSpec((3,), "real")


def bent(size: float, dim: int = 12) -> Tensor:
    """Return a lower-triangular factor whose inverse multiplies rounding again and again."""
    factor = torch.eye(dim) + size * torch.diag(torch.ones(dim - 1), -1)
    return 0.1 * factor


class Fixed(nn.Module):
    """A module that returns one distribution, in the precision of its input, for each row."""

    def __init__(self, loc: Tensor, scale_tril: Tensor, kind: type[MultivariateNormal]) -> None:
        super().__init__()
        self.loc, self.scale_tril = nn.Parameter(loc), nn.Parameter(scale_tril)
        self.kind = kind

    def forward(self, x: Tensor) -> Distribution:
        loc = self.loc.expand(len(x), -1)
        scale_tril = self.scale_tril.expand(len(x), *self.scale_tril.shape)
        if self.kind is TriangularNormal:
            return TriangularNormal(loc, scale_tril)
        return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


class Coins(nn.Module):
    """Coins that z does not change, so that log p(x) is known: 3 log ½."""

    def forward(self, z: Tensor) -> Distribution:
        logits = (0 * z.sum(-1, keepdim=True)).expand(*z.shape[:-1], 3)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1)


def coins(encoder: nn.Module, dim: int) -> rp.LatentModel:
    return rp.LatentModel(encoder, Coins(), rp.priors.StandardNormal(dim))


def bits(n: int = 5) -> Batch:
    return Batch(torch.ones(n, 3))


@pytest.mark.parametrize("kind", [MultivariateNormal, TriangularNormal])
def test_a_posterior_that_is_nearly_singular_gives_the_figures_of_float64(
    kind: type[MultivariateNormal],
) -> None:
    dim, factor = 12, bent(8.0)
    model = coins(Fixed(torch.zeros(dim), factor, kind), dim)
    found = evaluate(model, bits(), BITS, n_samples=50)
    # The KL to N(0, I): ½ (‖L‖² - D) - log |L|, here with |L| = 0.1^D.
    kl = 0.5 * (float(factor.double().square().sum()) - dim) - dim * log(0.1)
    assert found.kl == pytest.approx(kl, rel=1e-6)
    assert found.elbo == pytest.approx(3 * log(0.5) - kl, rel=1e-6)
    assert found.log_likelihood is not None
    # Every weight is p(x) p(z) / q(z), whose logarithm cannot exceed this.
    most = 3 * log(0.5) + dim * log(0.1)
    noise = 0.5 * dim + 6 * (dim / 2) ** 0.5 * 3
    assert found.log_likelihood < min(0.0, most + noise)


def test_a_posterior_that_knows_its_draws_has_figures_where_no_solve_has() -> None:
    dim = 24
    model = coins(Fixed(torch.zeros(dim), 0.01 * bent(10.0, dim), TriangularNormal), dim)
    assert torch.linalg.cond(bent(10.0, dim).double()) > 1e16
    with torch.no_grad():
        found = importance_sample(model, torch.ones(5, 3), None, 100)
    # z is all but 0, where log p(z) = -D/2 log 2π: log w is log p(x) + log |L| + ½ ‖ε‖² there.
    log_volume = dim * log(0.001)
    best = found.log_likelihood - 3 * log(0.5) - log_volume
    assert bool(((best > dim / 2) & (best < 2 * dim)).all())


def test_float32_alone_would_have_given_a_probability_above_one() -> None:
    loc, factor = torch.zeros(12), bent(8.0)
    q = MultivariateNormal(loc, scale_tril=factor, validate_args=False)
    torch.manual_seed(0)
    z = q.sample((50,))
    p = normal(loc, 1.0)
    assert float((p.log_prob(z) - q.log_prob(z)).max()) > 100


def test_what_even_float64_cannot_give_is_none_with_a_reason() -> None:
    dim = 24
    model = coins(Fixed(torch.zeros(dim), bent(1e4, dim), MultivariateNormal), dim)
    found = evaluate(model, bits(), BITS, n_samples=20)
    assert found.log_likelihood is None
    assert found.bits_per_dim is None
    assert found.log_likelihood_stderr is None
    assert any("log_likelihood cannot be computed" in warning for warning in found.warnings)


class Near(nn.Module):
    """A density of x whose figures have no upper bound: rounding shows in the weights alone."""

    def forward(self, z: Tensor) -> Distribution:
        loc = (0 * z.sum(-1, keepdim=True)).expand(*z.shape[:-1], 3)
        return Independent(Normal(loc, 1.0, validate_args=False), 1)


def test_rounding_is_found_where_a_density_has_no_upper_bound() -> None:
    dim, x = 24, torch.zeros(4, 3)
    encoder = Fixed(torch.zeros(dim), bent(1e4, dim), MultivariateNormal)
    prior = rp.priors.StandardNormal(dim)
    found = evaluate(rp.LatentModel(encoder, Near(), prior), Batch(x), REALS, n_samples=20)
    assert found.log_likelihood is None
    assert any("rounding" in warning for warning in found.warnings)
    encoder = Fixed(torch.zeros(12), bent(8.0), MultivariateNormal)
    model = rp.LatentModel(encoder, Near(), rp.priors.StandardNormal(12))
    found = evaluate(model, Batch(x), REALS, n_samples=20)
    assert found.log_likelihood is not None
    assert found.log_likelihood < -1.5 * log(2 * pi)


def test_one_bad_example_is_computed_again_and_the_others_are_as_they_were() -> None:
    dim = 12

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("good", torch.eye(dim))
            self.register_buffer("bad", bent(8.0))

        def forward(self, x: Tensor) -> Distribution:
            which = x[:, :1, None] > 0
            scale_tril = torch.where(which, self.good, self.bad)
            loc = x.new_zeros(len(x), dim)
            return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)

    model = coins(Mixed(), dim)
    x = torch.tensor([[1.0, 1, 1], [0, 1, 1], [1, 1, 1]])
    found = evaluate(model, Batch(x), BITS, n_samples=30)["log_likelihood"].per_example
    assert found is not None
    # The posterior of the good examples is the prior: each weight is p(x).
    torch.testing.assert_close(
        found[[0, 2]], torch.full((2,), 3 * log(0.5)).double(), rtol=0, atol=1e-5
    )
    assert found[1] < 0
    other = evaluate(model, Batch(x[[0, 0, 2]]), BITS, n_samples=30)["log_likelihood"].per_example
    assert other is not None
    assert other[2] == found[2]


class Line(nn.Module):
    """A Gaussian of one number, as a posterior of every x and as a prior."""

    def __init__(self, loc: float, scale: float) -> None:
        super().__init__()
        self.loc, self.scale = loc, scale

    def forward(self, x: Tensor | None = None) -> Distribution:
        shape = (1,) if x is None else (len(x), 1)
        loc = torch.full(shape, self.loc, dtype=None if x is None else x.dtype)
        return Independent(Normal(loc, self.scale, validate_args=False), 1)


class Certain(nn.Module):
    """Three coins that always come up 1."""

    def forward(self, z: Tensor) -> Distribution:
        logits = 1e4 + 0 * z.sum(-1, keepdim=True).expand(*z.shape[:-1], 3)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1)


def test_what_is_above_zero_by_chance_is_zero() -> None:
    # log p(x) is 0, and the weights p(z) / q(z) are up to 2.
    model = rp.LatentModel(Line(0.0, 1.0), Certain(), Line(0.0, 0.5))
    torch.manual_seed(0)
    found = importance_sample(model, torch.ones(200, 3), None, 20)
    assert bool((found.log_likelihood <= 0).all())
    assert 20 < int((found.log_likelihood == 0).sum()) < 180
    assert bool((found.reconstruction == 0).all())
    assert not bool(found.impossible.any())


def test_a_large_gap_to_the_elbo_that_float64_confirms_stays_a_figure_with_a_warning() -> None:
    class Far(nn.Module):
        """x ~ N(z, 0.01²), so that log p(x) of x = 0 is that of N(0, 1 + 0.01²)."""

        def forward(self, z: Tensor) -> Distribution:
            return Independent(Normal(z, 0.01, validate_args=False), 1)

    model = rp.LatentModel(Line(3.0, 2.0), Far(), rp.priors.StandardNormal(1))
    spec = DataSpec((1,), "real")
    found = evaluate(model, Batch(torch.zeros(30, 1)), spec, n_samples=20_000)
    assert found.elbo is not None
    assert found.log_likelihood is not None
    assert found.log_likelihood - found.elbo > log(20_000)
    exact = -0.5 * log(2 * pi * (1 + 1e-4))
    assert found.log_likelihood == pytest.approx(exact, abs=0.1)
    few = evaluate(model, Batch(torch.zeros(30, 1)), spec, n_samples=20)
    assert any("draws, so that log_likelihood is too low" in warning for warning in few.warnings)


def test_a_closed_kl_near_zero_is_that_of_float64() -> None:
    class Close(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.full((40,), 1 + 1e-4))

        def forward(self, x: Tensor) -> Distribution:
            loc = x.new_zeros(len(x), 40)
            return Independent(Normal(loc, self.scale.expand_as(loc), validate_args=False), 1)

    model = coins(Close(), 40)
    found = importance_sample(model, torch.ones(2, 3), None, 5)
    variance = float(model.encoder.scale.detach().double()[0]) ** 2
    exact = 40 * 0.5 * (variance - 1 - log(variance))
    torch.testing.assert_close(found.kl, torch.full((2,), exact).double(), rtol=1e-6, atol=0)


def test_a_network_that_knows_float32_only_is_held_to_the_exact_rules() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Fixed(torch.zeros(12), bent(8.0), MultivariateNormal)

        def forward(self, x: Tensor) -> Distribution:
            if x.dtype == torch.float64:
                raise RuntimeError("expected scalar type Float but found Double")
            return self.inner(x)

    found = evaluate(coins(Stubborn(), 12), bits(), BITS, n_samples=50)
    assert found.log_likelihood is None
    assert any("cannot be computed" in warning for warning in found.warnings)


def test_annealing_from_a_nearly_singular_posterior_gives_no_impossible_figure() -> None:
    for kind in (MultivariateNormal, TriangularNormal):
        model = coins(Fixed(torch.zeros(12), bent(8.0), kind), 12)
        found = evaluate(model, bits(3), BITS, n_samples=20, annealed=3, annealed_temperatures=3)
        assert found.annealed_log_likelihood is None or found.annealed_log_likelihood <= 0
        if found.annealed_log_likelihood is None:
            assert any("annealed" in warning for warning in found.warnings)


def test_annealing_in_float64_is_annealing() -> None:
    model = coins(rp.Conditional(rp.nn.MLP(3, 4), rp.families.Gaussian(2)), 2).double()
    how = Annealing(n_chains=2, n_temperatures=3)
    found = annealed_importance(model, torch.ones(2, 3).double(), annealing=how)
    torch.testing.assert_close(
        found.log_likelihood,
        torch.full((2,), 3 * log(0.5), dtype=torch.float64),
        rtol=0,
        atol=1e-12,
    )


def test_the_triangular_normal_has_the_density_that_scipy_says() -> None:
    stats = pytest.importorskip("scipy.stats")
    factor = torch.tensor([[1.0, 0, 0], [0.5, 0.2, 0], [-3.0, 1.0, 2.0]])
    q = TriangularNormal(torch.tensor([1.0, -2.0, 0.5]), factor)
    z = q.sample((7,))
    exact = stats.multivariate_normal(q.loc.numpy(), (factor @ factor.T).numpy())
    expected = torch.from_numpy(exact.logpdf(z.numpy())).float()
    torch.testing.assert_close(q.log_prob(z), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(q.log_prob(z.clone()), expected, rtol=1e-4, atol=1e-4)
    wide = q.expand((4,))
    assert wide.log_prob(wide.rsample()).shape == (4,)


def test_a_draw_that_is_changed_in_place_has_its_own_density() -> None:
    factor = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    q = TriangularNormal(torch.zeros(2), factor)
    z = q.sample((4,))
    z.zero_()
    assert torch.allclose(q.log_prob(z), torch.full((4,), -log(2 * pi) - log(2.0)))


def test_the_density_of_a_draw_has_the_gradient_of_the_solve() -> None:
    factor = torch.tensor([[1.0, 0], [0.5, 0.2]], dtype=torch.float64, requires_grad=True)
    loc = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    q = TriangularNormal(loc, factor)
    z = q.rsample((5,))
    known, solved = q.log_prob(z).sum(), q.log_prob(z.clone()).sum()
    for first, second in zip(
        torch.autograd.grad(known, [factor], retain_graph=True),
        torch.autograd.grad(solved, [factor], retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(first.tril(), second.tril())
    held_fast = detached(q)
    assert held_fast is not None
    torch.testing.assert_close(held_fast.log_prob(z).sum(), solved)


def test_figures_are_held_to_their_range_by_more_than_rounding_only() -> None:
    values = torch.tensor([-torch.inf, -1.0, 1e-10, 1e-3, torch.inf, torch.nan]).double()
    found = held(values, most=0.0)
    assert found[:3].tolist() == [-torch.inf, -1.0, 0.0]
    assert bool(found[3:].isnan().all())


def test_a_frechet_distance_of_equal_samples_is_not_below_zero() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e5):
        x = torch.from_numpy(rng.normal(size=(60, 8)) * scale + 3 * scale)
        assert 0 <= frechet_distance(x, x.flip(0)) < 1e-6 * scale**2
