"""Posteriors beyond the Gaussian: flows, the sphere, codes and points, and their divergences."""

from itertools import product
from math import log

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from reparam.batch import Batch
from reparam.distributions import Delta, GaussianMixture, OneHotCodes
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, kl
from reparam.errors import OptionError, SupportError
from reparam.evaluation import evaluate
from reparam.evaluation.metrics.bound import NO_ELBO
from reparam.families import Bernoulli, Deterministic, Flow, GumbelSoftmax, VonMisesFisher
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives import ELBO, IWAE
from reparam.priors import HypersphericalUniform, StandardNormal, UniformCodes
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import scrambled

F64 = torch.float64


def flow(n: int, passes: int | None, scale: float = 0.3) -> Flow:
    """Return a flow in float64 whose weights are far from where they start."""
    return scrambled(Flow(n, hidden=(8,), passes=passes).attach((5,)), scale)


@pytest.mark.parametrize("passes", [None, 2], ids=["autoregressive", "coupling"])
class TestFlow:
    def test_density_integrates_to_one(self, passes: int | None) -> None:
        side = torch.linspace(-20, 20, 401, dtype=F64)
        with torch.no_grad():
            q = flow(2, passes)(torch.randn(1, 5, dtype=F64))
            log_prob = q.log_prob(torch.cartesian_prod(side, side)[:, None])
        assert float(log_prob.exp().sum()) * 0.1**2 == pytest.approx(1, abs=1e-3)

    def test_what_draws_know_is_what_the_inverse_finds(self, passes: int | None) -> None:
        q = flow(4, passes)(torch.randn(3, 5, dtype=F64))
        z = q.rsample(torch.Size([6]))
        assert z.shape == (6, 3, 4)
        torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))

    def test_density_is_the_change_of_variables(self, passes: int | None) -> None:
        q = flow(3, passes).requires_grad_(False)(torch.randn(1, 5, dtype=F64))
        noise = torch.randn(1, 3, dtype=F64)
        jacobian = torch.autograd.functional.jacobian(q.transform, noise)[0, :, 0]
        normal = q.base.base_dist
        expected = stats.norm.logpdf(noise, normal.loc, normal.scale).sum()
        expected -= float(jacobian.slogdet().logabsdet)
        assert float(q.log_prob(q.transform(noise))) == pytest.approx(expected)

    def test_mean_log_density_of_draws_is_minus_the_entropy(self, passes: int | None) -> None:
        side = torch.linspace(-20, 20, 401, dtype=F64)
        with torch.no_grad():
            q = flow(2, passes)(torch.randn(1, 5, dtype=F64))
            on_grid = q.log_prob(torch.cartesian_prod(side, side)[:, None])
            entropy = -float((on_grid.exp() * on_grid).sum()) * 0.1**2
            own = q.log_prob(q.sample(torch.Size([20_000])))
        error = float(own.std()) / len(own) ** 0.5
        assert abs(float(-own.mean()) - entropy) < 4 * error

    def test_a_draw_without_gradients_has_a_density_with_them(self, passes: int | None) -> None:
        family = flow(3, passes)
        q = family(torch.randn(2, 5, dtype=F64))
        z = q.sample(torch.Size([4]))
        (found,) = torch.autograd.grad(
            q.log_prob(z).sum(), family.head[0].weight, retain_graph=True
        )
        (expected,) = torch.autograd.grad(q.log_prob(z.clone()).sum(), family.head[0].weight)
        torch.testing.assert_close(found, expected)

    def test_kl_is_minus_the_entropy_less_the_mean_log_prior(self, passes: int | None) -> None:
        q = flow(2, passes)(torch.randn(1, 5, dtype=F64))
        z = q.rsample(torch.Size([5]))
        found = kl(q, StandardNormal(2).double()(), z)
        log_prior = stats.norm.logpdf(z.detach().numpy()).sum(-1)
        expected = (q.log_prob(z.clone()).detach().numpy() - log_prior).mean(0)
        assert found.method == MONTE_CARLO
        np.testing.assert_allclose(found.value.detach(), expected)


def test_each_dimension_of_an_inverse_autoregressive_flow_sees_those_before_it() -> None:
    family = scrambled(Flow(4, n_transforms=1, hidden=(16,)).attach((5,)), 0.5)
    q = family.requires_grad_(False)(torch.randn(1, 5, dtype=F64))
    jacobian = torch.autograd.functional.jacobian(q.transform, torch.randn(4, dtype=F64)[None])
    matrix = jacobian[0, :, 0]
    assert torch.equal(matrix, matrix.tril())
    assert (matrix.tril(-1).abs() > 0).sum() == 6


class TestVonMisesFisher:
    def test_learned_concentration_is_above_one(self) -> None:
        family = VonMisesFisher(3).attach((3,)).double()
        q = family.distribution(torch.tensor([[3.0, 0, 4, 2.0], [0, -2, 0, -50]], dtype=F64))
        torch.testing.assert_close(q.mode, torch.tensor([[0.6, 0, 0.8], [0, -1, 0]], dtype=F64))
        torch.testing.assert_close(
            q.concentration, torch.tensor([log(1 + np.exp(2)) + 1, 1]).double()
        )

    @pytest.mark.parametrize("kappa", [0.5, 5.0, 200.0])
    def test_kl_to_the_sphere_is_scipys(self, kappa: float) -> None:
        family = VonMisesFisher(4, concentration=kappa).attach((5,)).double()
        q = family(torch.randn(3, 5, dtype=F64))
        found = kl(q, HypersphericalUniform(4).double()())
        entropy = stats.vonmises_fisher(np.eye(4)[0], kappa).entropy()
        assert found.method == CLOSED_FORM
        np.testing.assert_allclose(found.value.detach(), log(2 * np.pi**2) - entropy, rtol=1e-6)
        z = q.rsample(torch.Size([5_000]))
        ratio = (q.log_prob(z) - HypersphericalUniform(4).double()().log_prob(z)).detach()
        error = ratio.std(0) / len(ratio) ** 0.5
        assert ((ratio.mean(0) - found.value).abs() < 4 * error).all()

    @pytest.mark.parametrize(
        ("size", "concentration", "said"),
        [(1, "learned", "at least two"), (3, 0.0, "above 0"), (3, "lerned", "did you mean")],
    )
    def test_refusals(self, size: int, concentration: float | str, said: str) -> None:
        with pytest.raises(OptionError, match=said):
            VonMisesFisher(size, concentration)


def all_codes(n: int, k: int) -> Tensor:
    """Return all codes of n variables of k classes, with shape (k^n, n k)."""
    eye = torch.eye(k, dtype=F64)
    return torch.stack([eye[list(c)].flatten() for c in product(range(k), repeat=n)])


class TestOneHotCodes:
    logits = torch.tensor([[0.5, -1.0, 0.2], [2.0, 0.0, -0.3]], dtype=F64)
    other = torch.tensor([[0.0, 0.4, -0.9], [1.0, 1.5, 0.0]], dtype=F64)

    def test_kl_is_the_sum_over_all_codes(self) -> None:
        q, p = OneHotCodes(self.logits), OneHotCodes(self.other)
        codes = all_codes(2, 3)
        mass = q.log_prob(codes).exp()
        assert float(mass.sum()) == pytest.approx(1)
        expected = (mass * (q.log_prob(codes) - p.log_prob(codes))).sum()
        for temperature in (None, torch.tensor(0.7)):
            found = kl(OneHotCodes(self.logits, temperature), p)
            assert found.method == CLOSED_FORM
            torch.testing.assert_close(found.value, expected)

    def test_kl_to_uniform_codes_is_their_entropy_less_that_of_q(self) -> None:
        entropy = stats.entropy(self.logits.softmax(-1).numpy(), axis=1).sum()
        found = kl(OneHotCodes(self.logits), UniformCodes(2, 3).double()()).value
        assert float(found) == pytest.approx(2 * log(3) - entropy)

    def test_kl_by_draws_of_exact_codes(self) -> None:
        q, p = OneHotCodes(self.logits), OneHotCodes(self.other)
        z = q.sample((20_000,))
        ratio = q.log_prob(z) - p.log_prob(z)
        found = kl(q, p, z, method=MONTE_CARLO).value
        assert float(found) == pytest.approx(float(ratio.mean()))
        assert abs(float(found - kl(q, p).value)) < 4 * float(ratio.std()) / 20_000**0.5
        # Without draws of the caller's it makes its own, though no gradient passes through them.
        assert kl(q, p, method=MONTE_CARLO).value.isfinite()

    def test_cold_draws_are_classes_and_hot_ones_are_even(self) -> None:
        cold = OneHotCodes(self.logits, torch.tensor(1e-3, dtype=F64)).rsample((20_000,))
        share = cold.round().mean(0)
        pi = self.logits.softmax(-1).flatten()
        assert float((cold - cold.round()).abs().mean()) < 1e-3
        assert ((share - pi).abs() < 4 * (pi * (1 - pi) / 20_000).sqrt()).all()
        hot = OneHotCodes(self.logits, torch.tensor(1e4, dtype=F64)).rsample((100,))
        torch.testing.assert_close(hot, torch.full_like(hot, 1 / 3), rtol=0, atol=1e-2)

    def test_the_largest_entry_has_the_frequency_of_its_class_at_any_temperature(self) -> None:
        z = OneHotCodes(self.logits, torch.tensor(0.8, dtype=F64)).rsample((20_000,))
        torch.testing.assert_close(z.unflatten(-1, (2, 3)).sum(-1), torch.ones(20_000, 2).double())
        largest = z.unflatten(-1, (2, 3)).argmax(-1)
        share = torch.stack([(largest == k).double().mean(0) for k in range(3)], dim=-1)
        pi = self.logits.softmax(-1)
        assert ((share - pi).abs() < 4 * (pi * (1 - pi) / 20_000).sqrt()).all()

    def test_exact_codes_pass_no_gradient(self) -> None:
        q = OneHotCodes(self.logits)
        assert not q.has_rsample
        with pytest.raises(SupportError, match="have no gradient"):
            q.rsample()
        assert q.mode.tolist() == [1, 0, 0, 1, 0, 0]

    def test_importance_weights_of_relaxed_draws_are_refused(self) -> None:
        q = OneHotCodes(self.logits, torch.tensor(0.5))
        with pytest.raises(SupportError, match="between the classes"):
            kl(q, OneHotCodes(self.other), method=MONTE_CARLO)


class TestGumbelSoftmax:
    def test_temperature_falls_by_equal_factors(self) -> None:
        family = GumbelSoftmax(2, 3, temperature=(2.0, 0.125))
        seen = []
        for progress in (0.0, 0.25, 0.5, 0.75, 1.0):
            family.anneal(progress)
            seen.append(float(family.tau))
        assert seen == pytest.approx([2, 1, 0.5, 0.25, 0.125])

    def test_draws_are_relaxed_only_while_training(self) -> None:
        family = GumbelSoftmax(2, 3).attach((5,))
        features = torch.randn(4, 5)
        assert family.train()(features).has_rsample
        exact = family.eval()(features)
        assert not exact.has_rsample
        assert set(exact.sample().unique().tolist()) == {0.0, 1.0}

    @pytest.mark.parametrize(
        ("n_classes", "temperature", "said"),
        [(1, (1.0, 0.5), "at least 2"), (3, (0.0, 0.5), "positive"), (3, (1.0, -1.0), "positive")],
    )
    def test_refusals(self, n_classes: int, temperature: tuple[float, float], said: str) -> None:
        with pytest.raises(OptionError, match=said):
            GumbelSoftmax(2, n_classes, temperature)


class TestPoint:
    def test_is_where_the_head_says(self) -> None:
        family = Deterministic(3).attach((5,))
        q = family(torch.ones(2, 5))
        weight, bias = family.head[0].weight, family.head[0].bias
        torch.testing.assert_close(q.mean, (weight.sum(1) + bias).expand(2, 3))
        assert torch.equal(q.rsample(torch.Size([4])), q.mean.expand(4, 2, 3))
        assert q.variance.abs().sum() == 0

    @pytest.mark.parametrize(
        "prior",
        [
            Independent(Normal(torch.zeros(2), 1.0), 1),
            GaussianMixture(torch.zeros(2), torch.randn(2, 2), torch.ones(2, 2)),
        ],
    )
    def test_has_no_divergence(self, prior: Distribution) -> None:
        with pytest.raises(SupportError, match="infinite and it has no ELBO"):
            kl(Delta(torch.zeros(3, 2)), prior)

    @pytest.mark.parametrize("objective", [ELBO(), IWAE(3)])
    def test_has_no_bound(self, objective: ELBO | IWAE) -> None:
        model = LatentModel(
            Conditional(MLP(4), Deterministic(2)),
            Conditional(MLP(2), Bernoulli(4)),
            StandardNormal(2),
        )
        with pytest.raises(SupportError, match="no density"):
            objective(model, Batch(torch.zeros(3, 4)))

    def test_is_evaluated_as_what_it_is(self) -> None:
        spec = DataSpec((4,), "binary")
        model = build("ae", spec, latent_dim=2, hidden=(4,)).model
        x = torch.rand(5, 4).round()
        result = evaluate(model, Batch(x), spec, n_samples=10)
        with torch.no_grad():
            mean = model.reconstruct(x).double()
            expected = (x * mean.log() + (1 - x) * (1 - mean).log()).sum(1)
        assert result.reconstruction == pytest.approx(float(expected.mean()), rel=1e-5)
        assert result.mse == pytest.approx(float((mean - x).square().mean()), rel=1e-5)
        assert result.elbo is result.kl is result.log_likelihood is result.bits_per_dim is None
        assert result.n_samples is None
        assert not result.is_likelihood
        assert (result.note, result.warnings) == (NO_ELBO, ())


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (VonMisesFisher(3).distribution(torch.ones(2, 4)), StandardNormal(3)()),
        (Independent(Normal(torch.zeros(2, 3), 1.0), 1), HypersphericalUniform(3)()),
        (OneHotCodes(torch.zeros(2, 1, 3)), StandardNormal(3)()),
        (Independent(Normal(torch.zeros(2, 3), 1.0), 1), UniformCodes(1, 3)()),
        (Delta(torch.zeros(2, 3)), HypersphericalUniform(3)()),
    ],
    ids=["sphere-reals", "reals-sphere", "codes-reals", "reals-codes", "point-sphere"],
)
@pytest.mark.parametrize("method", [None, CLOSED_FORM, MONTE_CARLO])
def test_different_spaces_are_refused(q: Distribution, p: Distribution, method: str | None) -> None:
    with pytest.raises(SupportError, match="is infinite"):
        kl(q, p, method=method)
