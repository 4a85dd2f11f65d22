"""Every estimate of log p(x) on models whose marginal is known: closed, enumerated or integrated.

An estimate of p(x) has no bias where the mean of estimate / p(x) over independent repeats is one;
four standard errors of that mean are allowed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import expit, logsumexp
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

from reparam import priors
from reparam.batch import Batch
from reparam.distributions import OneHotCodes
from reparam.evaluation.likelihood.annealed import Annealing, annealed_importance, bidirectional
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.evaluation.likelihood.proposal import PROPOSALS
from reparam.models.latent import LatentModel
from reparam.objectives import IWAE
from tests.support import SHIFTED, Function, normal

X = torch.tensor([[0.5, -1.0, 0.3], [1.5, 0.2, -0.8], [-0.4, 1.1, 0.9]])
# Near enough to each other that chains which cool down find from one to the next.
MEANS = torch.tensor([[-0.8, 0.0], [0.6, 0.4], [0.2, -0.8]])
SCALES = torch.tensor([[0.4, 0.9], [0.7, 0.3], [0.5, 0.5]])
SHARES = torch.tensor([0.5, 0.3, 0.2])
REPEATS = 200


def encoder(x: Tensor, c: Tensor | None = None) -> Distribution:
    """Too wide, and off its mean: what the estimates have to make up for."""
    return normal(0.5 * (x - SHIFTED.bias) @ SHIFTED.weight + 0.2, torch.full((2,), 0.9))


class Known:
    """A model, some examples with their condition, and what log p(x) is for any of them."""

    def __init__(
        self,
        model: LatentModel,
        exact: Callable[[Tensor], np.ndarray],
        x: Tensor = X,
        c: Tensor | None = None,
    ) -> None:
        self.model, self.exact, self.x, self.c = model, exact, x, c

    def ratios(self, estimate: Callable[[Tensor, Tensor | None], Tensor]) -> np.ndarray:
        """estimate / p(x) of every repeat and example, with shape (R, N)."""
        x = self.x.repeat(REPEATS, *[1] * (self.x.dim() - 1))
        c = None if self.c is None else self.c.repeat(REPEATS, 1)
        found = estimate(x, c).reshape(REPEATS, len(self.x)).numpy()
        return np.exp(found - self.exact(self.x))


def linear() -> Known:
    return Known(SHIFTED.model(encoder), SHIFTED.log_likelihood)


def conditioned() -> Known:
    """A Gaussian prior for each of three classes: p(x | c)."""
    prior = priors.ClassConditional(2, context=3)
    prior.loc.weight.data.copy_(MEANS.T)
    classes = [replace(SHIFTED, loc=mean) for mean in MEANS]

    def exact(x: Tensor) -> np.ndarray:
        pairs = zip(classes, x.split(1), strict=True)
        return np.concatenate([model.log_likelihood(one) for model, one in pairs])

    return Known(SHIFTED.model(encoder, prior), exact, c=torch.eye(3))


def mixture() -> Known:
    """Three Gaussians as the prior, so that p(x) is three Gaussians too."""
    prior = priors.Mixture(2, n_components=3)
    prior.logits.data.copy_(SHARES.log())
    prior.loc.data.copy_(MEANS)
    prior.log_scale.data.copy_(SCALES.log())

    def exact(x: Tensor) -> np.ndarray:
        """log Σ_k π_k p_k(x), each p_k a linear-Gaussian model."""
        components = [replace(SHIFTED, loc=m, scale=v) for m, v in zip(MEANS, SCALES, strict=True)]
        parts = [component.log_likelihood(x) for component in components]
        return logsumexp(parts, axis=0, b=SHARES.numpy()[:, None])

    return Known(SHIFTED.model(encoder, prior), exact)


def bernoulli() -> Known:
    """One latent and three coins: p(x) is an integral over a line."""
    weight, bias = torch.tensor([2.5, -1.5, 1.0]), torch.tensor([0.2, -0.5, 0.1])
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    model = LatentModel(
        Function(lambda x: normal(0.5 * (x[:, :1] - x[:, 1:2]), torch.full((1,), 0.8))),
        Function(lambda z: Independent(Bernoulli(logits=z * weight + bias), 1)),
        priors.StandardNormal(1),
    )

    def exact(x: Tensor) -> np.ndarray:
        line = np.linspace(-12, 12, 4001)
        share = expit(line[:, None] * weight.numpy() + bias.numpy())
        given = np.where(x.numpy()[:, None] == 1, share, 1 - share).prod(-1)
        return np.log(integrate.trapezoid(given * stats.norm.pdf(line), line, axis=-1))

    return Known(model, exact, x)


def codes() -> Known:
    """Two classes of three: nine codes to sum over."""
    table = torch.tensor([1.5, -0.5, 0.0, -1.0, 0.5, 1.0])
    scores = torch.tensor([[0.5, 0.0, -0.5], [0.0, 0.3, -0.2]])
    weight = torch.stack([table, table.flip(0), table.roll(2)])
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    model = LatentModel(
        Function(lambda x: OneHotCodes(scores + x.sum(-1)[:, None, None] * scores.flip(1))),
        Function(lambda z: Independent(Bernoulli(logits=z @ weight.T), 1)),
        priors.UniformCodes(2, 3),
    )

    def exact(x: Tensor) -> np.ndarray:
        total = np.zeros(len(x))
        for first in range(3):
            for second in range(3):
                logits = (weight[:, first] + weight[:, 3 + second]).numpy()
                share = expit(logits)
                total += np.where(x.numpy() == 1, share, 1 - share).prod(-1) / 9
        return np.log(total)

    return Known(model, exact, x)


KNOWN = {
    "linear": linear,
    "conditioned": conditioned,
    "mixture": mixture,
    "bernoulli": bernoulli,
}


def is_one(ratios: np.ndarray) -> bool:
    """Whether the mean over repeats is one to four standard errors, for every example."""
    stderr = ratios.std(0, ddof=1) / len(ratios) ** 0.5
    # What float32 rounds counts where the noise is nothing.
    return bool((np.abs(ratios.mean(0) - 1) < 4 * stderr + 1e-5).all())


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("name", KNOWN)
def test_importance_sampling_has_no_bias(name: str, proposal: str) -> None:
    known = KNOWN[name]()

    def estimate(x: Tensor, c: Tensor | None) -> Tensor:
        with torch.no_grad():
            return importance_sample(known.model, x, c, 20, proposal=proposal).log_likelihood

    ratios = known.ratios(estimate)
    assert is_one(ratios)
    # A mean without noise to hide in: its standard error is below a twentieth.
    assert ratios.std(0).max() < 0.05 * REPEATS**0.5


@pytest.mark.parametrize("proposal", ["posterior", "defensive"])
def test_importance_sampling_of_codes_has_no_bias(proposal: str) -> None:
    known = codes()

    def estimate(x: Tensor, c: Tensor | None) -> Tensor:
        return importance_sample(known.model, x, c, 20, proposal=proposal).log_likelihood

    assert is_one(known.ratios(estimate))


@pytest.mark.parametrize("start", ["prior", "posterior"])
@pytest.mark.parametrize("name", KNOWN)
def test_annealing_has_no_bias(name: str, start: str) -> None:
    known = KNOWN[name]()

    def estimate(x: Tensor, c: Tensor | None) -> Tensor:
        how = {"n_chains": 2, "n_temperatures": 12, "n_leapfrog": 3, "start": start}
        return annealed_importance(known.model, x, c, annealing=Annealing(**how)).log_likelihood

    assert is_one(known.ratios(estimate))


def too_narrow(x: Tensor, c: Tensor | None = None) -> Distribution:
    """The true posterior's mean, and a tenth of its width."""
    exact = SHIFTED.posterior(x)
    return normal(exact.mean, 0.1 * exact.stddev)


@pytest.mark.parametrize("n_leapfrog", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_annealing_from_a_start_ten_times_too_narrow(n_leapfrog: int) -> None:
    """At the 100 steps of an evaluation importance sampling is nats off, annealing a little."""
    model = SHIFTED.model(too_narrow)
    exact = linear().exact(X)
    x = X.repeat(30, 1)

    def errors(log_likelihood: Tensor) -> np.ndarray:
        return log_likelihood.reshape(30, 3).numpy() - exact

    assert errors(importance_sample(model, x, None, 500).log_likelihood).mean() < -2
    found = {}
    for start in ("posterior", "prior"):
        how = Annealing(n_temperatures=100, n_leapfrog=n_leapfrog, start=start)
        found[start] = errors(annealed_importance(model, x, annealing=how).log_likelihood)
        assert is_one(np.exp(found[start]))
        gap = bidirectional(model, 90, annealing=how)
        # What simulated data say of the error is no less than it is.
        stderr = found[start].std(ddof=1) / 90**0.5 + (gap.gap.stderr or 0.0)
        assert -found[start].mean() < gap.gap.value + 4 * stderr
    assert -0.3 < found["posterior"].mean() < 0.1
    assert abs(found["prior"].mean()) < 0.05


@pytest.mark.parametrize("name", KNOWN)
def test_the_bound_rises_to_the_exact_value(name: str) -> None:
    known = KNOWN[name]()
    exact = known.exact(known.x).mean()
    gaps = []
    for n in (1, 10, 100):

        def estimate(x: Tensor, c: Tensor | None, n: int = n) -> Tensor:
            with torch.no_grad():
                return IWAE(n)(known.model, Batch(x, c=c)).bound.double()

        ratios = known.ratios(estimate)
        # exp of the bound's estimate is an estimate of p(x) without bias, for any n.
        assert is_one(ratios)
        bounds = np.log(ratios).mean(1)
        stderr = bounds.std(ddof=1) / REPEATS**0.5
        gaps.append(-bounds.mean())
        assert gaps[-1] > -4 * stderr
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.02 * max(1.0, abs(exact))


@pytest.mark.parametrize("name", ["linear", "mixture", "bernoulli"])
def test_both_ways_bracket_the_exact_value(name: str) -> None:
    known = KNOWN[name]()
    bounds = bidirectional(
        known.model, 400, annealing=Annealing(n_chains=2, n_temperatures=20, n_leapfrog=3)
    )
    exact = known.exact(bounds.x)
    for bound, sign in ((bounds.lower, 1), (bounds.upper, -1)):
        below = sign * (exact - bound.numpy())
        stderr = below.std(ddof=1) / len(below) ** 0.5
        assert below.mean() > -4 * stderr
        # p(x) going up, and 1 / p(x) going down, without bias.
        assert is_one(np.exp(-below)[:, None])
    assert bounds.gap.value == pytest.approx((bounds.upper - bounds.lower).mean().item())
    assert bounds.gap.value < 0.5


def test_both_ways_bracket_under_a_condition() -> None:
    known = conditioned()
    c = torch.eye(3).repeat(100, 1)
    bounds = bidirectional(
        known.model, 300, c, annealing=Annealing(n_chains=2, n_temperatures=20, n_leapfrog=3)
    )
    exact = np.concatenate([known.exact(part) for part in bounds.x.split(3)])
    assert is_one(np.exp(bounds.lower.numpy() - exact)[:, None])
    assert is_one(np.exp(exact - bounds.upper.numpy())[:, None])
