"""The parts of the KL, against Gaussians in closed form and integrals on a grid."""

from collections.abc import Callable
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from reparam import evaluation, variants
from reparam.batch import Batch
from reparam.distributions import HypersphericalUniform, VonMisesFisher
from reparam.errors import OptionError, ShapeError
from reparam.evaluation.latents.decomposition import decompose, joined
from reparam.variants import Recipe
from tests.support import BINARY, normal

UNIT = normal(torch.zeros(2), 1.0)
THREE = normal(
    torch.tensor([[-1.0, 0.5], [0.3, -0.4], [1.2, 1.0]]),
    torch.tensor([[0.5, 0.9], [0.6, 0.4], [0.7, 0.5]]),
)


def close(found: evaluation.Figure | None, exact: float, slack: float = 0.0) -> bool:
    assert found is not None
    return abs(found.value - exact) <= 4 * found.stderr + slack


def linear_encoder() -> tuple[Independent, Tensor, Tensor]:
    """q(z | x) = N(A x, s²) for Gaussian x, whose place on a grid leaves no noise of sampling."""
    quantiles = Normal(0.0, 1.0).icdf((torch.arange(64) + 0.5) / 64)
    x = torch.cartesian_prod(quantiles, quantiles) / quantiles.std(correction=0)
    a = torch.tensor([[0.8, 0.5], [0.1, 0.9]])
    s = torch.tensor([0.5, 0.7])
    q = normal(x @ a.T, s.expand(len(x), 2))
    covariance = (a @ a.T + torch.diag(s.square())).double()
    return q, covariance, s.double()


def test_a_linear_gaussian_encoder_in_closed_form() -> None:
    q, covariance, s = linear_encoder()
    found = decompose(q, UNIT, 4096)
    log_det = float(torch.logdet(covariance))
    variances = covariance.diagonal()
    dependence = 0.5 * (float(variances.log().sum()) - log_det)
    # 64 quantiles have a little less of tails than a Gaussian has.
    assert close(found.mutual_information, 0.5 * log_det - float(s.log().sum()), 0.01)
    assert close(found.total_correlation, dependence, 0.01)
    single = 0.5 * float((variances - 1 - variances.log()).sum())
    assert close(found.dimension_wise_kl, single, 0.01)
    assert close(found.marginal_kl, dependence + single, 0.01)
    assert found.n_examples == 64**2
    assert all(0 < part.stderr < 0.03 for part in found[:4])


def grid_parts(q: Independent) -> dict[str, float]:
    """The parts by the trapezoidal rule, each written out from its definition."""
    line = torch.linspace(-7, 7, 1401, dtype=torch.float64)
    base = Normal(q.base_dist.loc.double(), q.base_dist.scale.double())
    each = base.log_prob(line[:, None, None]).exp()  # (grid, N, D)
    n = each.shape[1]
    joint = torch.einsum("anx,bnx->abx", each[:, :, :1], each[:, :, 1:])[..., 0] / n
    margins = each.mean(1)
    prior = Normal(0.0, 1.0).log_prob(line).exp()

    def area(values: Tensor) -> float:
        return float(torch.trapezoid(torch.trapezoid(values, line), line))

    def xlogy_ratio(p: Tensor, q: Tensor) -> Tensor:
        return torch.where(p > 1e-250, p * (p.clamp(min=1e-300) / q.clamp(min=1e-300)).log(), 0.0)

    information = 0.0
    for number in range(n):
        one = each[:, number, 0, None] * each[None, :, number, 1]
        information += area(xlogy_ratio(one, joint)) / n
    product = margins[:, 0, None] * margins[None, :, 1]
    return {
        "mutual_information": information,
        "total_correlation": area(xlogy_ratio(joint, product)),
        "dimension_wise_kl": sum(
            float(torch.trapezoid(xlogy_ratio(margins[:, j], prior), line)) for j in range(2)
        ),
        "marginal_kl": area(xlogy_ratio(joint, prior[:, None] * prior)),
    }


def test_three_posteriors_by_integration() -> None:
    exact = grid_parts(THREE)
    mean_kl = float(kl_divergence(THREE, UNIT).mean())
    assert sum(list(exact.values())[:3]) == pytest.approx(mean_kl, abs=1e-6)
    found = decompose(THREE, UNIT, 20_000)
    for name, value in exact.items():
        assert close(getattr(found, name), value)
    # The control variate moves no mean: over many seeds with few draws, nothing is off.
    for name, value in exact.items():
        few = torch.tensor(
            [getattr(decompose(THREE, UNIT, 300, seed=s), name).value for s in range(40)]
        )
        assert abs(float(few.mean()) - value) <= 4 * float(few.std()) / 40**0.5


def test_the_parts_sum_up_to_the_mean_kl() -> None:
    mean_kl = float(kl_divergence(THREE, UNIT).double().mean())
    found = decompose(THREE, UNIT, 100)
    assert found.total_correlation is not None
    assert found.dimension_wise_kl is not None
    parts = (found.mutual_information, found.total_correlation, found.dimension_wise_kl)
    assert sum(part.value for part in parts) == pytest.approx(mean_kl, abs=1e-9)
    two = found.mutual_information.value + found.marginal_kl.value
    assert two == pytest.approx(mean_kl, abs=1e-9)
    known = decompose(THREE, UNIT, 100, mean_kl=5.0)
    two = known.mutual_information.value + known.marginal_kl.value
    assert two == pytest.approx(5.0, abs=1e-9)
    # And they have less noise with it than without.
    plain = evaluation.aggregate_kl(THREE, UNIT, 100)
    assert found.marginal_kl.stderr < plain.stderr


def scattered(n: int) -> Independent:
    draw = torch.Generator().manual_seed(n)
    loc = torch.randn(n, 2, generator=draw)
    return normal(loc, 0.3 + torch.rand(n, 2, generator=draw))


@pytest.mark.parametrize(
    ("n", "n_samples"),
    [(3, 300), (60, 300), (60, 100), (60, 60), (60, 30), (300, 60)],
    ids=["many rounds", "five rounds", "a part of two", "one round", "half of one", "a fifth"],
)
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("n_seeds", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_the_standard_error_is_the_spread_over_seeds(
    n: int, n_samples: int, closed: bool, n_seeds: int
) -> None:
    q, prior = scattered(n), UNIT if closed else mixture_prior()
    found = [decompose(q, prior, n_samples, seed=seed) for seed in range(400, 400 + n_seeds)]
    for name in ("mutual_information", "total_correlation", "marginal_kl"):
        parts = [getattr(one, name) for one in found]
        spread = float(torch.tensor([part.value for part in parts]).std())
        reported = float(torch.tensor([part.stderr for part in parts]).square().mean().sqrt())
        # A standard deviation of n values is itself known to 1 / √(2n): four of these errors.
        assert spread == pytest.approx(reported, rel=4 / (2 * n_seeds) ** 0.5)


def test_examples_apart_are_worth_log_n_and_examples_alike_nothing() -> None:
    apart = normal(100.0 * torch.arange(8.0)[:, None].expand(8, 2), 1.0)
    assert decompose(apart, UNIT).mutual_information.value == pytest.approx(log(8), abs=1e-4)
    alike = normal(torch.full((8, 2), 0.7), 0.5)
    found = decompose(alike, UNIT)
    assert found.mutual_information.value == pytest.approx(0.0, abs=1e-5)
    assert found.total_correlation is not None
    assert found.total_correlation.value == pytest.approx(0.0, abs=1e-5)
    assert found.marginal_kl.value == pytest.approx(float(kl_divergence(alike, UNIT)[0]), abs=1e-5)


def mixture_prior() -> Distribution:
    components = normal(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 1.0)
    return MixtureSameFamily(Categorical(torch.ones(2)), components)


def test_parts_that_do_not_exist_are_left_out() -> None:
    found = decompose(THREE, mixture_prior(), 5000)
    assert found.dimension_wise_kl is None
    assert close(found.total_correlation, grid_parts(THREE)["total_correlation"])
    scale_tril = torch.diag_embed(THREE.base_dist.scale)
    full = MultivariateNormal(THREE.base_dist.loc, scale_tril=scale_tril)
    same = decompose(full, UNIT, 500)
    assert same.total_correlation is None
    assert same.dimension_wise_kl is None
    plain = decompose(THREE, UNIT, 500)
    assert same.mutual_information.value == pytest.approx(plain.mutual_information.value, abs=0.05)
    loc = torch.nn.functional.normalize(torch.ones(4, 3), dim=-1)
    directions = VonMisesFisher(loc, torch.full((4,), 5.0))
    found = decompose(directions, HypersphericalUniform(3), 500)
    exact = float(kl_divergence(directions, HypersphericalUniform(3))[0])
    assert found.mutual_information.value == pytest.approx(0.0, abs=1e-5)
    assert found.marginal_kl.value == pytest.approx(exact, abs=1e-4)


def test_without_a_closed_form_the_parts_sum_up_to_the_sampled_kl() -> None:
    prior = mixture_prior()
    found = decompose(THREE, prior, 20_000)
    z = THREE.sample(torch.Size([20_000]))
    exact = (THREE.log_prob(z) - prior.log_prob(z)).mean(1)
    total = found.mutual_information.value + found.marginal_kl.value
    error = float(exact.std()) / 20_000**0.5 + found.marginal_kl.stderr
    assert abs(total - float(exact.mean())) < 4 * error


def test_memory_changes_nothing_and_the_random_state_is_left_alone() -> None:
    q, _, _ = linear_encoder()
    state = torch.get_rng_state()
    small, large = (decompose(q, UNIT, 64, max_memory_mb=mb) for mb in (1, 256))
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(small[:4], large[:4], strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-6)


def test_nonsense_is_refused() -> None:
    with pytest.raises(OptionError, match="n_samples=1: must be at least 2"):
        decompose(THREE, UNIT, 1)
    with pytest.raises(ShapeError, match=r"batch \(N,\)"):
        decompose(UNIT, UNIT)
    with pytest.raises(ShapeError, match="single distribution"):
        decompose(THREE, THREE)


def test_batches_are_joined_where_densities_are_cheap() -> None:
    loc = torch.randn(5, 3)
    whole = {
        "normal": normal(loc, loc.exp()),
        "full": MultivariateNormal(loc, scale_tril=torch.eye(3).expand(5, 3, 3)),
        "sphere": VonMisesFisher(torch.nn.functional.normalize(loc, dim=-1), loc[:, 0].exp()),
    }
    for q in whole.values():
        first, second = q.sample(), q.sample()
        both = joined([q, q])
        assert both is not None
        expected = torch.cat([q.log_prob(first), q.log_prob(second)])
        torch.testing.assert_close(both.log_prob(torch.cat([first, second])), expected)
    assert (
        joined([MixtureSameFamily(Categorical(torch.ones(1, 2)), Normal(loc[:1, :2], 1.0))]) is None
    )


class TestEvaluation:
    spec = BINARY
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0)).round()

    def evaluated(self, build: Callable[..., Recipe], **options: Any) -> evaluation.Evaluation:
        model = build(self.spec, **options).model
        return evaluation.evaluate(model, Batch(self.x), self.spec, n_samples=200)

    def test_the_parts_stand_beside_the_kl(self) -> None:
        found = self.evaluated(variants.vae, latent_dim=3, hidden=(16,))
        assert found.decomposed_examples == 60
        parts = (found.mutual_information, found.total_correlation, found.dimension_wise_kl)
        assert all(part is not None for part in parts)
        assert sum(part or 0 for part in parts) == pytest.approx(found.kl, abs=1e-6)
        assert found.mutual_information + found.marginal_kl == pytest.approx(found.kl, abs=1e-6)
        text = str(found)
        assert "at most log 60 = 4.09" in text
        assert "marginal_kl" not in text

    def test_too_few_examples_are_said(self) -> None:
        facts = {"split": "test", "n_examples": 100, "is_likelihood": True}
        parts = {"decomposed_examples": 100, "total_correlation": 9.0, "dimension_wise_kl": 0.1}
        known = {**facts, **parts}
        full = evaluation.Evaluation.from_dict({**known, "mutual_information": 4.6})
        assert "too high, as 100 examples are too few" in str(full)
        assert "near log 100 = 4.61, the limit of so few examples" in str(full)
        apart = evaluation.Evaluation.from_dict({**known, "mutual_information": 2.0})
        assert "too few" not in str(apart)
        assert "information of z on the example; at most log 100 = 4.61" in str(apart)
        assert all(len(line) < 120 for line in str(full).splitlines())

    def test_a_mixture_prior_has_no_dimension_wise_kl(self) -> None:
        found = self.evaluated(variants.vamp_vae, latent_dim=3, hidden=(16,))
        assert found.dimension_wise_kl is None
        assert found.mutual_information + found.marginal_kl == pytest.approx(found.kl, abs=1e-6)
        assert "all z together against the prior" in str(found)

    def test_a_hierarchy_and_a_point_have_no_parts(self) -> None:
        ladder = self.evaluated(variants.ladder_vae)
        assert ladder.kl is not None
        assert ladder.mutual_information is None
        assert self.evaluated(variants.ae, latent_dim=2).mutual_information is None
