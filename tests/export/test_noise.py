"""Draws as functions of noise have the distribution that they are draws of."""

from math import e

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    StudentT,
    TransformedDistribution,
    Uniform,
)

from reparam.distributions import (
    Autoregressive,
    Chain,
    CodeSequence,
    ContinuousFlow,
    GaussianMixture,
    HypersphericalUniform,
    OneHotCodes,
)
from reparam.distributions.chain import Reordered
from reparam.errors import SupportError
from reparam.export.noise import Fresh, Given, drawn, drawn_in_turn

N = 20_000
LOC, SCALE = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])
TRIL = torch.tensor([[1.0, 0.0], [0.8, 0.3]])


def moments(p: Distribution) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of N draws of vectors."""
    torch.manual_seed(0)
    z = drawn(p, Fresh(N))
    assert z.shape[0] == N
    return z.mean(0), z.T.cov()


def require(p: Distribution, mean: Tensor, covariance: Tensor, atol: float = 0.06) -> None:
    """Require moments up to about four standard errors."""
    found = moments(p)
    assert torch.allclose(found[0], mean, atol=atol)
    assert torch.allclose(found[1], covariance, atol=2 * atol)


def test_vectors_have_the_moments_of_their_distribution() -> None:
    require(Independent(Normal(LOC, SCALE), 1), LOC, SCALE.square().diag())
    require(MultivariateNormal(LOC, scale_tril=TRIL), LOC, TRIL @ TRIL.T)
    box = Independent(Uniform(LOC, LOC + 3), 1)
    require(box, LOC + 1.5, torch.eye(2) * 9 / 12)
    require(HypersphericalUniform(3), torch.zeros(3), torch.eye(3) / 3)
    moved = TransformedDistribution(
        Independent(Normal(LOC, SCALE), 1), AffineTransform(LOC, SCALE, event_dim=1)
    )
    require(moved, LOC + SCALE * LOC, SCALE.pow(4).diag(), atol=0.15)


def test_mixtures_have_the_moments_of_their_components() -> None:
    weights, loc = torch.tensor([0.2, 0.8]), torch.stack([LOC, -LOC])
    mean = weights @ loc
    between = (weights[:, None] * (loc - mean)).T @ (loc - mean)
    mixture = GaussianMixture(weights.log(), loc, torch.ones(2, 2))
    require(mixture, mean, between + torch.eye(2))
    correlated = MixtureSameFamily(
        Categorical(weights), MultivariateNormal(loc, scale_tril=TRIL.expand(2, 2, 2))
    )
    require(correlated, mean, between + TRIL @ TRIL.T)


def test_classes_have_their_probabilities() -> None:
    probs = torch.tensor([0.1, 0.6, 0.3])
    found, _ = moments(OneHotCategorical(probs))
    assert torch.allclose(found, probs, atol=0.02)
    two = torch.stack([probs, probs.flip(0)])
    found, _ = moments(OneHotCodes(two.log()))
    assert torch.allclose(found, two.flatten(), atol=0.02)


def test_codes_are_drawn_given_those_before() -> None:
    after = torch.tensor([[0.9, 0.1], [0.4, 0.6]])

    def logits(k: Tensor) -> Tensor:
        first = torch.tensor([0.25, 0.75]).expand(*k.shape[:-1], 2)
        return torch.stack([first, after[k[..., 0]]], -2).log()

    codes = torch.tensor([[0.0], [1.0]])
    torch.manual_seed(0)
    z = drawn(CodeSequence(Autoregressive(logits, 2), codes), Fresh(N))
    shares = torch.tensor([((z[:, 0] == i) & (z[:, 1] == j)).double().mean() for i, j in _PAIRS])
    expected = torch.tensor([0.25 * 0.9, 0.25 * 0.1, 0.75 * 0.4, 0.75 * 0.6]).double()
    assert torch.allclose(shares.double(), expected, atol=0.015)


_PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))


def test_a_chain_is_drawn_in_turn() -> None:
    first = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    chain = Chain({"a": first, "b": lambda z: Independent(Normal(2 * z, 0.5), 1)}, [1, 1])
    covariance = torch.tensor([[1.0, 2.0], [2.0, 4.25]])
    require(chain, torch.zeros(2), covariance, atol=0.08)
    turned = Reordered(chain, torch.tensor([1, 0]))
    require(turned, torch.zeros(2), covariance.flip(0, 1), atol=0.08)

    def inner(z: Tensor) -> Distribution:
        groups = {"a": first.expand(z.shape[:-1]), "b": chain.factors["b"]}
        return Chain(groups, [1, 1])

    outer = Chain({"c": first, "d": inner}, [1, 2])
    z, given = drawn_in_turn(outer, Fresh(7))
    assert z.shape == (7, 3)
    assert list(given) == ["c", "d_a", "d_b"]


def test_a_continuous_flow_moves_the_noise() -> None:
    def shrink(z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return -z, torch.full_like(z[..., 0], -1.0)

    noise = torch.randn(5, 2)
    z = drawn(ContinuousFlow(shrink, torch.zeros(2)), Given(normal=noise))
    assert torch.allclose(z, noise / e, atol=1e-5)


def test_the_noise_that_was_taken_gives_the_draw_again() -> None:
    mixture = GaussianMixture(torch.zeros(3), torch.randn(3, 2), torch.ones(3, 2))
    noise = Fresh(4)
    z = drawn(mixture, noise)
    inputs = noise.inputs()
    assert {name: tuple(value.shape) for name, value in inputs.items()} == {
        "normal": (4, 2),
        "uniform": (4, 1),
    }
    assert torch.equal(drawn(mixture, Given(**inputs)), z)


def test_too_little_noise_and_unknown_distributions_are_refused() -> None:
    p = Independent(Normal(LOC, SCALE), 1)
    with pytest.raises(SupportError, match="a draw takes 2 more normal numbers"):
        drawn(p, Given(uniform=torch.rand(3, 2)))
    heavy = Independent(StudentT(torch.ones(2)), 1)
    with pytest.raises(SupportError, match="a draw of StudentT is not known"):
        drawn(heavy, Fresh(3))
