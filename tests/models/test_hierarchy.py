"""Chains and ladders against the joint Gaussian that linear layers make.

z₁ = A₁ + s₁ ε₁ and z_l = A_l z_{<l} + b_l + s_l ε_l make z a multivariate normal, whose density,
moments and divergences are known.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from reparam.batch import Batch
from reparam.distributions import Chain
from reparam.divergence import MONTE_CARLO, kl
from reparam.errors import OptionError
from reparam.evaluation import evaluate
from reparam.families import Gaussian
from reparam.models.conditional import Conditional
from reparam.models.hierarchy import (
    BottomUpEncoder,
    LadderEncoder,
    TopDownPrior,
    gaussian_layers,
    gaussian_product,
)
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives import ELBO, IWAE
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import normal, scrambled

F64 = torch.float64
SIZES = (2, 1, 2)


class Linear:
    """A chain of linear-Gaussian layers, and the same as one normal."""

    def __init__(self, seed: int, top: float = 1.0) -> None:
        rng = torch.Generator().manual_seed(seed)
        ends = np.cumsum([0, *SIZES])
        self.weights = [
            0.5 * torch.randn(n, before, dtype=F64, generator=rng)
            for n, before in zip(SIZES, ends, strict=False)
        ]
        self.biases = [torch.randn(n, dtype=F64, generator=rng) for n in SIZES]
        self.scales = [0.5 + torch.rand(n, dtype=F64, generator=rng) for n in SIZES]
        self.biases[0] = self.biases[0] * top

    def layer(self, number: int) -> Callable[[Tensor], Distribution]:
        weight, bias, scale = self.weights[number], self.biases[number], self.scales[number]
        return lambda z: normal(z @ weight.T + bias, scale)

    def chain(self, batch_shape: tuple[int, ...] = ()) -> Chain:
        top = self.layer(0)(torch.empty(0, dtype=F64)).expand(batch_shape)
        return Chain({"z3": top, "z2": self.layer(1), "z1": self.layer(2)}, SIZES)

    def joint(self) -> MultivariateNormal:
        """Return the normal of z = (I - A)⁻¹ (b + s ε)."""
        a = torch.zeros(5, 5, dtype=F64)
        start = 0
        for weight in self.weights:
            a[start : start + len(weight), :start] = weight
            start += len(weight)
        gain = torch.linalg.inv(torch.eye(5, dtype=F64) - a)
        return MultivariateNormal(
            gain @ torch.cat(self.biases), scale_tril=(gain @ torch.cat(self.scales).diag()).tril()
        )


def test_density_is_that_of_the_joint_normal() -> None:
    linear = Linear(0)
    z = torch.randn(3, 7, 5, dtype=F64)
    torch.testing.assert_close(linear.chain((7,)).log_prob(z), linear.joint().log_prob(z))


def test_draws_have_the_moments_of_the_joint_normal() -> None:
    linear = Linear(0)
    joint = linear.joint()
    z = linear.chain((2,)).rsample(torch.Size([10_000]))
    assert z.shape == (10_000, 2, 5)
    rows = z.flatten(0, 1)
    error = joint.variance.sqrt() / len(rows) ** 0.5
    assert ((rows.mean(0) - joint.mean).abs() < 4 * error).all()
    torch.testing.assert_close(rows.T.cov(), joint.covariance_matrix, rtol=0.05, atol=0.05)
    # Linear layers have the mean of each at the means of those before it.
    torch.testing.assert_close(linear.chain((2,)).mean, joint.mean.expand(2, 5))


def test_what_draws_know_is_what_the_factors_say() -> None:
    chain = Linear(0).chain((4,))
    z = chain.rsample(torch.Size([6]))
    torch.testing.assert_close(chain.log_prob(z), chain.log_prob(z.clone()))


def test_a_draw_without_gradients_has_a_density_with_them() -> None:
    linear = Linear(0)
    linear.weights[1].requires_grad_()
    chain = linear.chain()
    z = chain.sample(torch.Size([6]))
    (found,) = torch.autograd.grad(chain.log_prob(z).sum(), linear.weights[1])
    (expected,) = torch.autograd.grad(chain.log_prob(z.clone()).sum(), linear.weights[1])
    torch.testing.assert_close(found, expected)


def test_kl_is_that_of_the_joint_normals() -> None:
    q, p = Linear(0), Linear(1)
    exact = float(kl_divergence(q.joint(), p.joint()))
    chain = q.chain((10_000,))
    found = kl(chain, p.chain(), chain.rsample(torch.Size([1])))
    assert found.method == MONTE_CARLO
    assert list(found.by_group) == ["z3", "z2", "z1"]
    torch.testing.assert_close(torch.stack(list(found.groups.values())).sum(0), found.value)
    error = float(found.value.std()) / 10_000**0.5
    assert abs(float(found.value.mean()) - exact) < 4 * error
    # Each layer is compared in closed form at its draws, which is less noisy than log q - log p.
    z = chain.rsample(torch.Size([1]))
    plain = (chain.log_prob(z) - p.chain().log_prob(z))[0]
    assert float(found.value.std()) < float(plain.std())


def test_layers_that_agree_cost_nothing_and_the_top_its_closed_form() -> None:
    q, p = Linear(0), Linear(0, top=0.3)
    found = kl(q.chain((5,)), p.chain())
    top = kl_divergence(
        normal(q.biases[0], q.scales[0]),
        normal(p.biases[0], p.scales[0]),
    )
    torch.testing.assert_close(found.groups["z3"], top.expand(5))
    for name in ("z2", "z1"):
        torch.testing.assert_close(found.groups[name], torch.zeros(5, dtype=F64))


def test_joined_is_the_product_of_densities() -> None:
    first, second = (
        normal(torch.randn(4, 3, dtype=F64), torch.rand(4, 3, dtype=F64) + 0.1) for _ in range(2)
    )
    z = torch.randn(50, 4, 3, dtype=F64)
    rest = first.log_prob(z) + second.log_prob(z) - gaussian_product(first, second).log_prob(z)
    # What is left is the normalizer, the density of one mean about the other.
    spread = (first.base_dist.variance + second.base_dist.variance).sqrt()
    normalizer = stats.norm.logpdf(first.mean, second.mean, spread).sum(-1)
    np.testing.assert_allclose(rest, np.broadcast_to(normalizer, rest.shape))


def test_joined_holds_where_a_prior_is_all_but_certain() -> None:
    loc, other = torch.tensor([3.0]), torch.tensor([7.0])
    opinion = normal(other, torch.tensor([0.5]))
    for scale in (1e-4, 1e-12, 1e-25):
        prior = normal(loc, torch.tensor([scale]))
        q = gaussian_product(opinion, prior)
        assert float(q.stddev) == pytest.approx(scale, rel=1e-6)
        # By precisions, in doubles: (μ - μ_p)² / 2σ_p² is all of the divergence but rounding.
        step = 4.0 * scale**2 / (scale**2 + 0.25)
        assert float(kl_divergence(q, prior)) == pytest.approx(step**2 / scale**2 / 2, abs=1e-3)


def scrambled_ladder(context: int = 0) -> tuple[TopDownPrior, LadderEncoder]:
    prior = TopDownPrior([2, 3], gaussian_layers([2, 3], (6,), context))
    up = [MLP(4, 6, context=context), MLP(6, 5)]
    encoder = LadderEncoder(prior, up, [Gaussian(3), Gaussian(2)])
    for part in (prior, encoder):
        scrambled(part, 0.4)
    return prior, encoder


@pytest.mark.parametrize("context", [0, 3])
def test_each_layer_of_the_posterior_is_the_opinion_times_the_prior(context: int) -> None:
    prior, encoder = scrambled_ladder(context)
    x = torch.randn(3, 4, dtype=F64)
    c = (torch.eye(3, dtype=F64),) if context else ()
    q = encoder(x, *c)
    z = q.sample(torch.Size([2]))
    features = encoder.up[0](x, *c)
    bottom, top = encoder.opinions[0](features), encoder.opinions[1](encoder.up[1](features))
    given = q.given(z)
    assert torch.equal(given["z2"].mean.expand(2, 3, 2), top.mean.expand(2, 3, 2))
    expected = prior.below[0](z[..., :2], *c)
    # By the product of densities: with any constant, the difference of two points.
    points = torch.randn(2, 2, 3, 3, dtype=F64)

    def rise(*densities: Distribution) -> Tensor:
        return sum(p.log_prob(points[1]) - p.log_prob(points[0]) for p in densities)

    torch.testing.assert_close(rise(given["z1"]), rise(bottom, expected))


def linear_chain() -> tuple[LatentModel, MultivariateNormal]:
    """Return a chain of linear layers with its exact posterior, and p(x).

    z₂ ~ N(0, I), z₁ | z₂ ~ N(w z₂, s²), x | z₁ ~ N(A z₁, r²): with w of each entry and columns of A
    that are orthogonal, z₁ given x factorizes, and z₂ given z₁ is all that the rest depends on.
    """
    w, s, r = torch.tensor([0.7, -1.2]), torch.tensor([0.5, 0.3]), 0.8
    a = torch.tensor([[1.0, 0.5], [-0.5, 1.0], [0.0, 2.0], [1.0, 0.0]])
    a[:, 1] -= a[:, 0] * (a[:, 0] @ a[:, 1]) / a[:, 0].square().sum()
    w, s, a = w.double(), s.double(), a.double()
    likelihood = Gaussian((4,), scale=r)
    recipe = build(
        "hierarchical-vae",
        DataSpec((4,), "real"),
        latent_dims=(2, 2),
        hidden=(),
        above=(),
        likelihood=likelihood,
    )
    model = recipe.model.double()
    spread = (1 / (1 / (w**2 + s**2) + a.square().sum(0) / r**2)).sqrt()
    above = (1 / (1 + (w / s) ** 2)).sqrt()
    for part, weight, scale in (
        (model.prior.below[0], w.diag(), s),
        (model.encoder.first, (spread**2 / r**2)[:, None] * a.T, spread),
        (model.encoder.above[0], (above**2 * w / s**2).diag(), above),
    ):
        linear = part.family.head[0]
        linear.weight.data = torch.cat([weight, torch.zeros_like(weight)])
        # The scale has a floor of 0.01.
        linear.bias.data = torch.cat([torch.zeros_like(scale), 2 * (scale - 0.01).log()])
    model.decoder.family.head[0].weight.data = a
    model.decoder.family.head[0].bias.data.zero_()
    covariance = a @ (w**2 + s**2).diag() @ a.T + r**2 * torch.eye(4, dtype=F64)
    return model, MultivariateNormal(torch.zeros(4, dtype=F64), covariance)


def test_under_the_exact_posterior_of_a_chain_every_weight_is_the_likelihood() -> None:
    model, marginal = linear_chain()
    x = torch.randn(6, 4, dtype=F64)
    log_weight = model.draw(x, n_samples=3).log_weight
    torch.testing.assert_close(log_weight, marginal.log_prob(x).expand(3, 6))


def test_draws_of_a_chain_come_from_its_marginal() -> None:
    model, marginal = linear_chain()
    z = model.prior().sample(torch.Size([20_000]))
    x = model.likelihood(z).sample()
    torch.testing.assert_close(x.T.cov(), marginal.covariance_matrix, rtol=0.06, atol=0.06)


@pytest.mark.parametrize("context", [0, 3])
def test_each_layer_of_a_chain_knows_the_one_before_alone(context: int) -> None:
    first = Conditional(MLP(4, 6, context=context), Gaussian(3))
    encoder = BottomUpEncoder(
        first, gaussian_layers([3, 2, 1], (5,), context, markov=True)
    ).double()
    x = torch.randn(7, 4, dtype=F64)
    c = (torch.randn(7, 3, dtype=F64),) if context else ()
    q = encoder(x, *c)
    z = q.sample(torch.Size([2]))
    assert z.shape == (2, 7, 6)
    z3, z2, z1 = z.split([1, 2, 3], dim=-1)
    expected = encoder.first(x, *c).log_prob(z1)
    expected = expected + encoder.above[0](z1, *c).log_prob(z2)
    expected = expected + encoder.above[1](z2, *c).log_prob(z3)
    torch.testing.assert_close(q.log_prob(z), expected)


def test_the_chain_of_the_importance_weighted_paper_has_its_sizes() -> None:
    model = build("hierarchical-vae", DataSpec((1, 28, 28), "binary"), activation="tanh").model
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.dim() == 2}
    assert list(shapes.values()) == [
        *[(200, 784), (200, 200), (200, 200), (100, 100), (100, 100), (100, 100)],
        *[(200, 100), (200, 200), (784, 200)],
        *[(100, 50), (100, 100), (200, 100)],
    ]


def test_the_posterior_of_a_linear_hierarchy_is_exact_in_its_lowest_layer() -> None:
    # z₂ ~ N(0, 1), z₁ | z₂ ~ N(w z₂, s²), x | z₁ ~ N(z₁, r²): the data's opinion on z₁ is N(x, r²).
    w, s, r, x, z2 = 0.7, 0.5, 0.8, 1.3, -0.4
    q = gaussian_product(
        normal(torch.tensor([x], dtype=F64), r),
        normal(torch.tensor([w * z2], dtype=F64), s),
    )
    # The joint of (z₂, z₁, x), conditioned on z₂ and x.
    covariance = np.array(
        [[1, w, w], [w, w**2 + s**2, w**2 + s**2], [w, w**2 + s**2, w**2 + s**2 + r**2]]
    )
    seen = np.ix_([0, 2], [0, 2])
    gain = covariance[1, [0, 2]] @ np.linalg.inv(covariance[seen])
    assert float(q.mean) == pytest.approx(float(gain @ [z2, x]))
    assert float(q.variance) == pytest.approx(
        float(covariance[1, 1] - gain @ covariance[[0, 2], 1])
    )


def test_an_encoder_that_says_nothing_has_the_priors_lower_layers() -> None:
    prior, encoder = scrambled_ladder()
    head = encoder.opinions[0].head[0]
    head.weight.data.zero_()
    head.bias.data = torch.tensor([0.0] * 3 + [60.0] * 3, dtype=F64)  # σ² = e^60
    q = encoder(torch.randn(5, 4, dtype=F64))
    found = kl(q, prior(), q.rsample(torch.Size([3])))
    torch.testing.assert_close(found.groups["z1"], torch.zeros(5, dtype=F64))
    assert (found.groups["z2"] > 0).all()


def test_evaluation_says_the_kl_of_each_layer() -> None:
    spec = DataSpec((6,), "binary")
    model = build("ladder-vae", spec, latent_dims=(3, 2), hidden=(6,), above=(5,)).model
    x = torch.rand(40, 6).round()
    result = evaluate(model, Batch(x), spec, n_samples=50)
    assert list(result.kl_groups or {}) == ["z2", "z1"]
    errors = result.kl_groups_stderr
    assert list(errors) == ["z2", "z1"]
    assert all(error > 0 for error in errors.values())
    # The whole is of log q - log p over all draws, the layers are closed at each draw: two
    # estimates of one number.
    assert sum(result.kl_groups.values()) == pytest.approx(result.kl, abs=0.05)
    assert result.latent_dim == 5
    with torch.no_grad():
        bounds = [float(IWAE(k)(model, Batch(x)).bound.mean()) for k in (1, 500)]
    assert result.elbo == pytest.approx(bounds[0], abs=0.3)
    assert result.log_likelihood == pytest.approx(bounds[1], abs=0.1)


def test_free_bits_are_of_whole_layers() -> None:
    spec = DataSpec((6,), "binary")
    model = build("ladder-vae", spec, latent_dims=(3, 2), hidden=(6,), above=(5,)).model
    terms = ELBO(free_bits=2.0)(model, Batch(torch.rand(8, 6).round()))
    missing = sum(max(2.0 - float(value.detach().mean()), 0.0) for value in terms.kl.values())
    assert float(terms.penalties["free_bits"].detach()) == pytest.approx(missing, rel=1e-5)


def test_three_layers_draw_and_take_a_condition() -> None:
    spec = DataSpec((6,), "binary", n_classes=3).conditioned("label")
    model = build("ladder-vae", spec, latent_dims=(4, 3, 2), hidden=(6,), above=(5,)).model
    assert model.prior.names == ["z3", "z2", "z1"]
    assert model.prior.sizes == [2, 3, 4]
    c = torch.eye(3)
    assert model.sample(3, c).shape == (3, 6)
    draws = model.draw(torch.zeros(3, 6), c, n_samples=4)
    assert draws.z.shape == (4, 3, 9)
    assert draws.log_weight.shape == (4, 3)


@pytest.mark.parametrize("sizes", [[], [0], [3, 0]])
def test_empty_layers_are_refused(sizes: list[int]) -> None:
    with pytest.raises(OptionError, match=r"at least (one|1)"):
        TopDownPrior(sizes)
    with pytest.raises(OptionError, match=r"at least (one|1)"):
        build("hierarchical-vae", DataSpec((6,), "binary"), latent_dims=sizes)


def test_layers_without_modules_are_refused() -> None:
    with pytest.raises(OptionError, match="0 modules below the top of 2 layers: give one for each"):
        TopDownPrior([3, 2])
