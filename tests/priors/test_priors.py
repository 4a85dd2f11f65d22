"""Priors and their distributions, against torch, scipy, grids and sums over all codes."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from reparam.batch import Batch
from reparam.distributions import GaussianMixture
from reparam.errors import OptionError, SupportError
from reparam.families import Family, Flow, FullCovarianceGaussian, Gaussian, Uniform
from reparam.models.conditional import Conditional
from reparam.nn import MLP, Velocity
from reparam.priors import (
    ClassConditional,
    Diffusion,
    HypersphericalUniform,
    Mixture,
    Prior,
    Standardized,
    UniformCodes,
    VampPrior,
)
from reparam.priors import Flow as FlowPrior
from reparam.priors.standardized import best_covariance, gaussian_of
from tests.support import normal, scrambled


def plane(width: float, n: int) -> tuple[Tensor, float]:
    """Return the points of an n × n grid of a square, with shape (n², 2), and a cell's area."""
    side = torch.linspace(-width, width, n, dtype=torch.float64)
    return torch.cartesian_prod(side, side), (2 * width / (n - 1)) ** 2


class TestGaussianMixture:
    logits = torch.tensor([0.3, -1.0, 0.9, 0.0], dtype=torch.float64)

    def both(self, loc: Tensor, scale: Tensor) -> tuple[GaussianMixture, MixtureSameFamily]:
        components = normal(loc, scale)
        theirs = MixtureSameFamily(Categorical(logits=self.logits), components)
        return GaussianMixture(self.logits, loc, scale), theirs

    def test_density_is_that_of_torch(self) -> None:
        loc = torch.randn(4, 3, dtype=torch.float64)
        ours, theirs = self.both(loc, torch.rand(4, 3, dtype=torch.float64) + 0.2)
        z = 3 * torch.randn(2, 50, 3, dtype=torch.float64)
        torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
        torch.testing.assert_close(ours.mean, theirs.mean)

    def test_far_and_narrow_components_keep_single_precision(self) -> None:
        loc = 100 + torch.randn(4, 3, dtype=torch.float64)
        ours, _ = self.both(loc, torch.full((4, 3), 1e-2, dtype=torch.float64))
        narrow = GaussianMixture(ours.logits.float(), ours.loc.float(), ours.scale.float())
        z = (loc[:, None] + 0.02 * torch.randn(4, 9, 3, dtype=torch.float64)).float()
        exact = MixtureSameFamily(
            Categorical(logits=narrow.logits.double()),
            normal(narrow.loc.double(), narrow.scale.double()),
        ).log_prob(z.double())
        torch.testing.assert_close(narrow.log_prob(z).double(), exact, rtol=1e-5, atol=1e-4)

    def test_gradients_are_those_of_torch(self) -> None:
        loc = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
        scale = (torch.rand(4, 2, dtype=torch.float64) + 0.3).requires_grad_()
        z = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
        found, expected = (
            torch.autograd.grad(p.log_prob(z).sum(), (loc, scale, z)) for p in self.both(loc, scale)
        )
        torch.testing.assert_close(found, expected)

    def test_responsibilities_are_bayes_rule(self) -> None:
        loc = torch.randn(4, 2, dtype=torch.float64)
        ours, _ = self.both(loc, torch.ones(4, 2, dtype=torch.float64))
        z = torch.randn(6, 2, dtype=torch.float64)
        joint = self.logits.softmax(-1) * (-0.5 * (z[:, None] - loc).square().sum(-1)).exp()
        expected = joint / joint.sum(-1, keepdim=True)
        torch.testing.assert_close(ours.responsibilities(z), expected)

    def test_draws_come_from_components_by_weight(self) -> None:
        loc = torch.tensor([[0.0], [10.0], [20.0], [30.0]], dtype=torch.float64)
        ours, _ = self.both(loc, torch.tensor([[0.1], [0.2], [0.3], [0.4]], dtype=torch.float64))
        z = ours.sample((20_000,))[:, 0]
        near = (z / 10).round().long()
        share = torch.bincount(near, minlength=4) / len(z)
        weight = self.logits.softmax(-1)
        error = (weight * (1 - weight) / len(z)).sqrt()
        assert ((share - weight).abs() < 4 * error).all()
        spread = torch.stack([(z - 10 * k)[near == k].std() for k in range(4)])
        torch.testing.assert_close(
            spread, torch.tensor([0.1, 0.2, 0.3, 0.4]).double(), rtol=0.1, atol=0
        )


class TestFlow:
    @pytest.mark.parametrize("context", [0, 3])
    def test_density_integrates_to_one(self, context: int) -> None:
        prior = scrambled(FlowPrior(2, context, hidden=(8,)))
        c = torch.eye(context, dtype=torch.float64)[1:2] if context else None
        z, area = plane(20.0, 801)
        with torch.no_grad():
            p = prior(c)
            log_prob = p.log_prob(z[:, None] if context else z)
        assert float(log_prob.exp().sum()) * area == pytest.approx(1, abs=1e-3)

    def test_density_is_the_change_of_variables(self) -> None:
        p = scrambled(FlowPrior(3, hidden=(8,)), 0.5).requires_grad_(False)()
        z = torch.randn(4, 3, dtype=torch.float64)
        for point, log_prob in zip(z, p.log_prob(z), strict=True):
            noise = p.transform.inv(point)
            jacobian = torch.autograd.functional.jacobian(p.transform.inv, point)
            expected = stats.norm.logpdf(noise.detach()).sum() + jacobian.slogdet().logabsdet
            assert float(log_prob) == pytest.approx(float(expected))

    def test_a_condition_changes_the_density_of_its_own_example(self) -> None:
        prior = scrambled(FlowPrior(2, 3, hidden=(8,)), 0.5)
        z, c = torch.randn(5, 3, 2, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
        together = prior(c).log_prob(z)
        assert together.shape == (5, 3)
        for i in range(3):
            torch.testing.assert_close(
                prior(c[i : i + 1]).log_prob(z[:, i : i + 1])[:, 0], together[:, i]
            )
        assert not torch.allclose(prior(c[[1, 2, 0]]).log_prob(z), together)


class TestSplineFlow:
    def test_density_integrates_to_one(self) -> None:
        prior = scrambled(FlowPrior(2, hidden=(8,), bins=4), 0.2)
        z, area = plane(8.0, 801)
        with torch.no_grad():
            total = float(prior().log_prob(z).exp().sum()) * area
        assert total == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("dim", [1, 3])
    def test_starts_at_the_noise(self, dim: int) -> None:
        z = 2 * torch.randn(20, dim)
        expected = normal(torch.zeros(dim), 1.0).log_prob(z)
        torch.testing.assert_close(FlowPrior(dim, bins=8)().log_prob(z), expected)


class TestDiffusion:
    @pytest.mark.parametrize("context", [0, 3])
    def test_density_integrates_to_one(self, context: int) -> None:
        prior = scrambled(Diffusion(2, context, width=8), 0.3)
        c = torch.eye(context, dtype=torch.float64)[1:2] if context else None
        z, area = plane(10.0, 401)
        with torch.no_grad():
            log_prob = prior(c).log_prob(z[:, None] if context else z)
        assert float(log_prob.exp().sum()) * area == pytest.approx(1, abs=2e-3)

    def test_starts_at_the_noise(self) -> None:
        z = 2 * torch.randn(20, 3)
        expected = normal(torch.zeros(3), 1.0).log_prob(z)
        torch.testing.assert_close(Diffusion(3)().log_prob(z), expected, atol=1e-3, rtol=1e-4)

    def test_the_divergence_is_the_trace_of_the_jacobian(self) -> None:
        velocity = scrambled(Velocity(3, hidden=8, context=2), 0.5)
        z, c = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
        t = torch.rand(4, dtype=torch.float64)
        shift = velocity.shift(c).detach()
        found = velocity(z, t, shift)[1].detach()
        for i in range(4):
            jacobian = torch.autograd.functional.jacobian(
                lambda point, i=i: velocity(point[None], t[i : i + 1], shift[i : i + 1])[0][0], z[i]
            )
            assert float(found[i]) == pytest.approx(float(jacobian.trace()))


def test_a_gate_changes_the_weights_by_the_condition() -> None:
    prior = scrambled(Mixture(2, n_components=4, weights_context=3), 0.5)
    z, c = torch.randn(5, 3, 2, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    p = prior(c)
    for i in range(3):
        alone = GaussianMixture(p.logits[i], p.loc, p.scale)
        torch.testing.assert_close(p.log_prob(z)[:, i], alone.log_prob(z[:, i]))
    assert not torch.allclose(p.logits[0].softmax(-1), p.logits[1].softmax(-1))
    assert p.sample((6,)).shape == (6, 3, 2)
    with pytest.raises(OptionError, match="give c"):
        prior()


def vamp(family: Family, context: int = 0) -> VampPrior:
    encoder = Conditional(MLP(4, 6, context=context), family)
    return VampPrior(scrambled(encoder, 0.5), (4,), n_components=5, context=context).double()


class TestVamp:
    @pytest.mark.parametrize(
        "make", [Gaussian, FullCovarianceGaussian, lambda n: Flow(n, hidden=(6,))]
    )
    @pytest.mark.parametrize("context", [0, 3])
    def test_density_is_the_mean_of_the_posteriors(self, make: type[Family], context: int) -> None:
        prior = vamp(make(2), context)
        z = torch.randn(3, 7, 2, dtype=torch.float64)
        (encoder,) = prior._encoder
        expected = torch.zeros(3, 7, dtype=torch.float64)
        for i, u in enumerate(prior.pseudo_inputs):
            c = (prior.pseudo_logits[i : i + 1].softmax(-1),) if context else ()
            q = encoder(u[None], *c)
            expected += q.log_prob(z[..., None, :]).exp()[..., 0] / 5
        c = torch.eye(3, dtype=torch.float64)[torch.arange(7) % 3] if context else None
        torch.testing.assert_close(prior(c).log_prob(z), expected.log())

    def test_the_encoder_stays_the_models(self) -> None:
        prior = vamp(Gaussian(2), context=3)
        assert sorted(dict(prior.named_parameters())) == ["pseudo_inputs", "pseudo_logits"]
        (encoder,) = prior._encoder
        prior().log_prob(torch.zeros(1, 2, dtype=torch.float64)).sum().backward()
        assert all(p.grad is not None for p in (*prior.parameters(), *encoder.parameters()))

    def test_starts_at_examples_and_their_labels(self) -> None:
        prior = vamp(Gaussian(2), context=3)
        kept = prior.pseudo_inputs.data.clone()
        x, c = torch.randn(4, 4, dtype=torch.float64), torch.eye(3)[[2, 0, 1, 1]]
        prior.start(Batch(x, c=c))
        assert torch.equal(prior.pseudo_inputs[:4], x)
        assert torch.equal(prior.pseudo_inputs[4:], kept[4:])
        assert prior.pseudo_logits[:4].argmax(-1).tolist() == [2, 0, 1, 1]

    def test_boxes_do_not_nest(self) -> None:
        with pytest.raises(SupportError, match="is not inside the mixture of other boxes"):
            vamp(Uniform(2))()


def moved(prior: Prior, covariance: Any = "diagonal") -> Standardized:
    found = Standardized(prior, 2, covariance).double()
    found.set_moments(torch.tensor([[0.0, -1.0], [1.5, 1.0], [0.4, 0.5]], dtype=torch.float64))
    return found


COVARIANCES: tuple[Any, ...] = ("diagonal", "full")
AGGREGATE = MultivariateNormal(
    torch.tensor([5.0, -1.0]).double(), torch.tensor([[4.0, 1.2], [1.2, 0.5]]).double()
)


def test_a_gaussian_of_codes_has_their_mean_and_covariance() -> None:
    codes = AGGREGATE.sample((100_000,))
    p, z = gaussian_of(codes, "full")(), AGGREGATE.sample((100,))
    torch.testing.assert_close(p.log_prob(z), AGGREGATE.log_prob(z), atol=0.1, rtol=0)
    assert best_covariance([(codes[:5000], codes[5000:])]) == "full"
    few = torch.randn(10_010, 8, dtype=torch.float64)
    assert best_covariance([(few[:10], few[10:])]) == "diagonal"


def test_codes_that_do_not_vary_have_a_density() -> None:
    codes = torch.randn(50, 3)
    codes[:, 1], codes[:, 2] = 4.0, codes[:, 0]
    assert gaussian_of(codes, "full")().log_prob(codes).isfinite().all()
    constant = torch.cat([torch.randn(500, 3), torch.full((500, 2), 4.0)], 1).double()
    one, two = (float(gaussian_of(constant, c)().log_prob(constant).mean()) for c in COVARIANCES)
    assert one == pytest.approx(two, abs=0.05)
    nowhere = gaussian_of(torch.zeros(9, 2), "full")
    torch.testing.assert_close(nowhere.scale, 1e-4 * torch.eye(2))
    with pytest.raises(SupportError, match="not finite"):
        gaussian_of(torch.tensor([[0.0], [torch.nan]]), "full")


MAKERS = {
    "flow": lambda: scrambled(FlowPrior(2, hidden=(8,))),
    "spline": lambda: scrambled(FlowPrior(2, hidden=(8,), bins=4), 0.2),
    "diffusion": lambda: scrambled(Diffusion(2, width=8), 0.5),
    "standardized": lambda: moved(scrambled(Mixture(2, n_components=6), 0.5)),
    "full-covariance": lambda: moved(scrambled(Mixture(2, n_components=6), 0.5), "full"),
    "mixture": lambda: scrambled(Mixture(2, n_components=6), 0.5),
    "vamp": lambda: vamp(Gaussian(2)),
    "vamp-full-covariance": lambda: vamp(FullCovarianceGaussian(2)),
    "vamp-flow": lambda: vamp(Flow(2, hidden=(6,))),
}


@pytest.mark.parametrize("name", MAKERS)
def test_draws_have_the_density_that_is_said_of_them(name: str) -> None:
    p, r = MAKERS[name]()(), normal(torch.zeros(2).double(), 1.5)
    with torch.no_grad():
        z, other = p.sample((20_000,)), r.sample((20_000,))
        assert z.shape == (20_000, 2)
        # Both means are ∫ p r / (p + r), whatever the densities.
        of_p = torch.sigmoid(r.log_prob(z) - p.log_prob(z))
        of_r = torch.sigmoid(p.log_prob(other) - r.log_prob(other))
    error = float(of_p.var() + of_r.var()) ** 0.5 / 20_000**0.5
    assert 0.05 < float(of_p.mean()) < 0.95
    assert abs(float(of_p.mean() - of_r.mean())) < 4 * error


def test_class_conditional_is_a_unit_normal_about_each_class() -> None:
    prior = scrambled(ClassConditional(2, context=3), 0.5)
    z = np.random.default_rng(0).normal(size=(3, 2))
    log_prob = prior(torch.eye(3, dtype=torch.float64)).log_prob(torch.as_tensor(z))
    mean = prior.loc.weight.detach().numpy().T
    np.testing.assert_allclose(log_prob.detach(), stats.norm.logpdf(z, mean).sum(1))


def test_uniform_codes_weigh_all_codes_the_same() -> None:
    prior = UniformCodes(2, 3)()
    codes = torch.stack([torch.eye(3)[list(k)].flatten() for k in product(range(3), repeat=2)])
    torch.testing.assert_close(prior.log_prob(codes).exp(), torch.full((9,), 1 / 9))
    drawn = (prior.sample((9_000,))[:, None] == codes).all(-1)
    assert (drawn.sum(1) == 1).all()
    assert ((drawn.double().mean(0) - 1 / 9).abs() < 4 * (8 / 81 / 9_000) ** 0.5).all()


def test_the_density_on_the_sphere_is_one_over_its_area() -> None:
    p = HypersphericalUniform(4).double()()
    z = p.sample((3,))
    # |S³| = 2 π².
    torch.testing.assert_close(
        p.log_prob(z).exp(), torch.full((3,), 1 / (2 * torch.pi**2)).double()
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mixture(2, n_components=0),
        lambda: ClassConditional(0, 3),
        lambda: ClassConditional(2, 0),
        lambda: FlowPrior(0),
        lambda: FlowPrior(2, n_transforms=0),
        lambda: HypersphericalUniform(0),
        lambda: UniformCodes(0, 3),
        lambda: VampPrior(nn.Identity(), (4,), n_components=0),
    ],
)
def test_empty_priors_are_refused(make: object) -> None:
    with pytest.raises(OptionError, match=r"at least (one|1)"):
        make()  # type: ignore[operator]
