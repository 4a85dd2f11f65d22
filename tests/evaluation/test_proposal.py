"""Proposals for importance sampling: mixed with the prior, and tuned on each example."""

from math import log, pi

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from reparam import evaluation, variants
from reparam.batch import Batch
from reparam.distributions import Delta
from reparam.errors import OptionError, SupportError
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.evaluation.likelihood.proposal import Defensive, check_proposal, proposed, tuned
from reparam.spec import DataSpec
from tests.support import BINARY, LinearGaussian, binary, normal

# Orthogonal columns: the true posterior is a diagonal Gaussian, which tuning can reach.
MODEL = LinearGaussian(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), sigma=0.5)


def off(x: Tensor) -> Distribution:
    """Far from the true posterior in mean and scale."""
    return normal(torch.zeros(len(x), 2), torch.tensor([0.6, 0.5]))


X = torch.tensor([[1.0, 0.5, -0.5], [-2.0, 1.5, 1.0], [0.3, -1.0, -2.0], [0.0, 0.0, 0.0]])


def test_tuning_reaches_the_true_posterior() -> None:
    r = tuned(MODEL.model(off), X, n_steps=400)
    exact = MODEL.posterior(X)
    loc, scale = exact.mean, exact.stddev
    assert (r.mean - loc).abs().max() < 0.05 * scale.min()
    torch.testing.assert_close(r.stddev, scale, rtol=0.05, atol=0.0)


def test_a_tuned_proposal_is_worth_more() -> None:
    model = MODEL.model(off)
    plain = importance_sample(model, X, None, 20_000)
    better = importance_sample(model, X, None, 20_000, proposal="tuned")
    assert bool((better.effective_sample_size > 0.6).all())
    assert bool((plain.effective_sample_size < 0.6).all())
    # The relative variance of a weight is 1 / share - 1.
    stderr = ((1 / better.effective_sample_size - 1) / 20_000).sqrt()
    error = better.log_likelihood - torch.as_tensor(MODEL.log_likelihood(X))
    assert bool((error.abs() < 4 * stderr + 1e-5).all())
    # Bound and code are the posterior's, whatever the likelihood was sampled with.
    torch.testing.assert_close(better.reconstruction, plain.reconstruction, rtol=0.05, atol=0.0)
    assert torch.equal(better.kl, plain.kl)


def test_examples_are_tuned_each_for_itself() -> None:
    x = torch.cat([X, -X])
    torch.manual_seed(0)
    whole = tuned(MODEL.model(off), x, n_steps=20)
    torch.manual_seed(0)
    pieces = tuned(MODEL.model(off), x, n_steps=20, max_rows=1)
    torch.testing.assert_close(whole.mean, pieces.mean)
    torch.testing.assert_close(whole.stddev, pieces.stddev)


def test_tuning_leaves_the_model_alone() -> None:
    model = variants.vae(BINARY, latent_dim=2, hidden=(8,)).model.eval()
    before = [p.clone() for p in model.parameters()]
    x = binary(5)
    r = tuned(model, x, n_steps=3)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert not r.mean.requires_grad
    assert not torch.equal(r.mean, model.posterior(x).mean)


def test_the_condition_stays_with_its_example() -> None:
    spec = DataSpec((4,), "real", n_classes=3).conditioned("label")
    model = variants.cvae(spec, latent_dim=2, hidden=(8,)).model.eval()
    x, c = torch.randn(3, 4), torch.eye(3)
    for name in ("tuned", "defensive"):
        torch.manual_seed(0)
        whole = proposed(name, model, x, c)
        turned = proposed(name, model, x.flip(0), c.flip(0))
        for r, z in ((whole, torch.randn(50, 3, 2)), (turned, torch.randn(50, 3, 2))):
            assert r.batch_shape == (3,)
            assert r.log_prob(z).shape == (50, 3)
    # What Monte Carlo leaves aside, the order of the examples changes nothing.
    first = tuned(model, x, c, n_steps=200).mean
    second = tuned(model, x.flip(0), c.flip(0), n_steps=200).mean.flip(0)
    other = tuned(model, x, c.flip(0), n_steps=200).mean
    assert (first - second).abs().mean() < 0.3 * (first - other)[[0, 2]].abs().mean()


def test_the_mixture_has_the_density_of_its_draws() -> None:
    q, prior = normal(torch.full((2, 1), 1.5), 0.3), normal(torch.zeros(1), 1.0)
    r = Defensive(q, prior, share=0.6)
    line = np.linspace(-6, 6, 2001)
    density = 0.6 * stats.norm(1.5, 0.3).pdf(line) + 0.4 * stats.norm.pdf(line)
    found = r.log_prob(torch.tensor(line, dtype=torch.float32)[:, None, None])
    np.testing.assert_allclose(found.exp(), np.stack([density, density], 1), atol=1e-5)
    z = r.sample((4000,))
    assert z.shape == (4000, 2, 1)

    def cdf(v: np.ndarray) -> np.ndarray:
        return 0.6 * stats.norm(1.5, 0.3).cdf(v) + 0.4 * stats.norm.cdf(v)

    assert stats.kstest(z[:, 0, 0].numpy(), cdf).pvalue > 1e-4
    # The examples have draws of their own from a prior that they share.
    assert bool((z[:, 0] != z[:, 1]).all())


def test_a_narrow_posterior_is_made_up_for() -> None:
    def narrow(x: Tensor) -> Distribution:
        exact = MODEL.posterior(x)
        return normal(exact.mean + 2 * exact.stddev, 0.2 * exact.stddev)

    model, x = MODEL.model(narrow), X[:1].expand(400, 3)
    exact = MODEL.log_likelihood(X[:1]).item()
    plain = importance_sample(model, x, None, 100).log_likelihood - exact
    mixed = importance_sample(model, x, None, 100, proposal="defensive").log_likelihood - exact
    ratio = mixed.exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20
    # Without the prior nearly every estimate misses the mass: a mean of one, but never seen.
    assert plain.exp().median() < 0.2
    # No weight is above the largest likelihood, shared out by ten.
    most = -3 * log(MODEL.sigma) - 1.5 * log(2 * pi) + log(10)
    assert mixed.max() + exact < most


def test_the_same_seed_gives_the_same_figures() -> None:
    model = variants.vae(BINARY, latent_dim=2, hidden=(8,)).model
    batch = Batch(binary(6))

    def measured(**options: object) -> evaluation.Evaluation:
        return evaluation.evaluate(model, batch, BINARY, n_samples=50, **options)

    for proposal in ("posterior", "defensive", "tuned"):
        first, second = (measured(proposal=proposal) for _ in range(2))
        assert first.proposal == proposal
        assert first.log_likelihood == second.log_likelihood
        assert first.elbo < first.log_likelihood
    little = measured(proposal="tuned", max_memory_mb=1)
    assert little.log_likelihood == pytest.approx(first.log_likelihood, abs=1e-5)
    assert measured().to_dict()["proposal"] == "posterior"
    assert "from a tuned proposal" in str(measured(proposal="tuned"))


def test_what_no_proposal_helps_is_refused() -> None:
    def full(x: Tensor) -> Distribution:
        return MultivariateNormal(torch.zeros(len(x), 2), torch.eye(2))

    with pytest.raises(SupportError, match=r"MultivariateNormal: use proposal='defensive'"):
        tuned(MODEL.model(full), X)
    with pytest.raises(SupportError, match=r"all its mass on one code.*use 'posterior'"):
        check_proposal("tuned", Delta(torch.zeros(1, 2)))
    with pytest.raises(SupportError, match="all its mass on one code"):
        Defensive(Delta(torch.zeros(1, 2)), normal(torch.zeros(2), 1.0))
    with pytest.raises(OptionError, match=r"did you mean 'tuned'"):
        evaluation.evaluate(MODEL.model(off), Batch(X), DataSpec((3,), "real"), proposal="tune")
    for share in (0.0, 1.0):
        with pytest.raises(OptionError, match="between 0 and 1"):
            Defensive(off(X), normal(torch.zeros(2), 1.0), share=share)
    for options in ({"n_steps": 0}, {"n_importance": 0}, {"lr": 0.0}):
        with pytest.raises(OptionError, match=next(iter(options))):
            tuned(MODEL.model(off), X, **options)
    directed = variants.classifier(DataSpec((2,), "real", n_classes=3)).model
    batch = Batch(torch.zeros(3, 2), torch.arange(3))
    with pytest.raises(OptionError, match="is exact"):
        evaluation.evaluate(directed, batch, DataSpec((2,), "real", n_classes=3), proposal="tuned")
