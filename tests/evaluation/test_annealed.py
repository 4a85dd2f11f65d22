"""Annealed importance sampling: its path, its moves, and what is left of it afterwards."""

import numpy as np
import pytest
import torch
from torch import nn

from reparam import evaluation, variants
from reparam.batch import Batch
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.evaluation.likelihood.annealed import (
    Annealing,
    _Path,
    annealed_importance,
    bidirectional,
)
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.models.latent import LatentModel
from reparam.spec import DataSpec
from tests.support import BINARY, LINEAR, binary

X = torch.tensor([[0.5, -1.0, 0.3], [1.5, 0.2, -0.8]])


def small_vae() -> LatentModel:
    return variants.vae(BINARY, latent_dim=2, hidden=(8,)).model


@pytest.mark.parametrize("schedule", ["sigmoid", "linear"])
def test_the_path_rises_from_nought_to_one(schedule: str) -> None:
    betas = np.array(Annealing(n_temperatures=20, schedule=schedule).betas())
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (np.diff(betas) > 0).all()
    np.testing.assert_allclose(betas, 1 - betas[::-1], atol=1e-12)
    steps = np.diff(betas)
    assert steps[0] == pytest.approx(steps[10]) if schedule == "linear" else steps[0] < steps[10]


def test_moves_leave_the_posterior_as_it_is() -> None:
    path = _Path(LINEAR.model(), X, None, Annealing(1, 4, 5, schedule="linear"))
    posterior = LINEAR.covariance
    exact = LINEAR.posterior(X)
    # A start at one place would be told at once; exact draws must stay exact draws.
    point = path.at(exact.sample((4000,)))
    for _ in range(10):
        point, accepted = path.moved(point, 1.0, torch.tensor([0.5, 0.75]))
        assert bool(((accepted > 0.2) & (accepted < 0.95)).all())
    error = (posterior.diagonal() / 4000).sqrt()
    assert bool(((point.z.mean(0) - exact.mean).abs() < 4 * error).all())
    for index in range(2):
        covariance = torch.cov(point.z[:, index].T)
        # Var of an entry of a sample covariance: (S_ii S_jj + S_ij²) / n.
        d = posterior.diagonal()
        spread = ((d[:, None] * d + posterior.square()) / 4000).sqrt()
        assert bool(((covariance - posterior).abs() < 4 * spread).all())


def test_moves_find_the_posterior_from_afar() -> None:
    path = _Path(LINEAR.model(), X, None, Annealing(1, 4, 10, schedule="linear"))
    point = path.at(torch.full((2000, 2, 2), 5.0))
    for _ in range(30):
        point, _ = path.moved(point, 1.0, torch.tensor([0.4, 0.4]))
    error = (LINEAR.covariance.diagonal() / 2000).sqrt()
    assert bool(((point.z.mean(0) - LINEAR.posterior(X).mean).abs() < 5 * error).all())


def test_gradients_are_those_of_the_log_joint() -> None:
    """∇ log p(x, z) = -z + Wᵀ(x - Wz) / σ²."""
    path = _Path(LINEAR.model(), X, None, Annealing(1, 4, 10, schedule="linear"))
    z = torch.randn(7, 2, 2)
    point = path.at(z)
    expected = -z + (X - LINEAR.likelihood(z).mean) @ LINEAR.weight / LINEAR.sigma**2
    torch.testing.assert_close(point.gradient(1.0), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(point.gradient(0.0), -z)


def test_from_the_exact_posterior_there_is_nothing_to_gain() -> None:
    found = annealed_importance(
        LINEAR.model(), X, annealing=Annealing(n_temperatures=5, start="posterior")
    )
    exact = torch.as_tensor(LINEAR.log_likelihood(X))
    torch.testing.assert_close(found.log_likelihood, exact, rtol=0.0, atol=1e-4)
    assert bool((found.effective_sample_size > 0.999).all())
    gap = bidirectional(
        LINEAR.model(), 20, annealing=Annealing(n_temperatures=5, start="posterior")
    )
    assert abs(gap.gap.value) < 1e-4


def test_more_temperatures_close_the_gap() -> None:
    gaps = [
        bidirectional(
            LINEAR.model(), 60, annealing=Annealing(n_chains=4, n_temperatures=n)
        ).gap.value
        for n in (1, 10, 60)
    ]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gaps[2] > 0


def test_the_steps_are_found() -> None:
    annealing = Annealing(n_chains=32, n_temperatures=150, n_leapfrog=4)
    found = annealed_importance(LINEAR.model(), X, annealing=annealing)
    assert bool(((found.acceptance > 0.5) & (found.acceptance < 0.8)).all())


def test_memory_changes_no_figure() -> None:
    model = variants.vae(BINARY, latent_dim=2, hidden=(2000,)).model.eval()
    x = binary(3)
    path = _Path(model, x, None, Annealing(40, 4, 2, schedule="linear"))
    z = torch.randn(40, 3, 2)
    whole = path.at(z)
    for rows in (1, 2, 7, 50):
        path.rows = rows
        for one, other in zip(whole, path.at(z), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_leaves_no_trace() -> None:
    model, x = small_vae().train(), binary(6)
    state = torch.get_rng_state()
    first = annealed_importance(model, x, annealing=Annealing(n_temperatures=4))
    bidirectional(model, 3, annealing=Annealing(n_temperatures=4))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    torch.manual_seed(7)
    assert torch.equal(
        annealed_importance(model, x, annealing=Annealing(n_temperatures=4)).log_weight,
        first.log_weight,
    )
    other = annealed_importance(model, x, annealing=Annealing(n_temperatures=4, seed=1))
    assert not torch.equal(other.log_weight, first.log_weight)


def test_blocks_of_examples_are_told() -> None:
    told = []
    model, x = small_vae(), binary(5)
    found = annealed_importance(
        model,
        x,
        annealing=Annealing(n_chains=2**11, n_temperatures=2),
        progress=lambda *done: told.append(done),
    )
    assert told == [(2, 5), (4, 5), (5, 5)]
    assert found.log_weight.shape == (2**11, 5)


def test_a_mixture_a_flow_and_a_hierarchy_can_be_annealed() -> None:
    x = binary(3)
    for model in (
        variants.vamp_vae(BINARY, latent_dim=2, hidden=(8,), n_components=4).model,
        variants.flow_prior_vae(BINARY, latent_dim=2, hidden=(8,)).model,
        variants.ladder_vae(BINARY, latent_dims=(2, 3), hidden=(8,)).model,
    ):
        found = annealed_importance(
            model, x, annealing=Annealing(n_chains=20, n_temperatures=8, n_leapfrog=2)
        )
        # The latents say little of x here, so that importance sampling is exact enough.
        expected = importance_sample(model, x, None, 5000).log_likelihood
        torch.testing.assert_close(found.log_likelihood, expected, rtol=0.0, atol=0.5)


def test_evaluation_sets_annealing_beside_importance_sampling() -> None:
    model, batch = small_vae(), Batch(binary(9))
    options = {"n_samples": 500, "annealed_temperatures": 20}
    result = evaluation.evaluate(model, batch, BINARY, annealed=6, **options)
    plain = evaluation.evaluate(model, batch, BINARY, **options)
    assert (result.annealed_n_examples, result.annealed_n_temperatures) == (6, 20)
    assert result.annealed_start == "posterior"
    assert result.annealed_log_likelihood == pytest.approx(result.annealed_baseline, abs=0.05)
    of_first = plain["log_likelihood"].per_example[:6].mean().item()
    assert result.annealed_baseline == pytest.approx(of_first)
    assert abs(result.annealed_gap) < 0.2
    assert result.log_likelihood == plain.log_likelihood
    assert plain.annealed_log_likelihood is None
    assert "annealed_gap" in str(result)
    assert "annealed" not in str(plain)
    many = evaluation.evaluate(model, batch, BINARY, annealed=100, **options)
    assert many.annealed_n_examples == 9


def test_the_gain_of_annealing_has_the_error_of_its_pairs() -> None:
    model, batch = small_vae(), Batch(binary(40))
    result = evaluation.evaluate(
        model, batch, BINARY, n_samples=200, annealed=40, annealed_temperatures=5
    )
    sampled = result["log_likelihood"].per_example
    annealed = annealed_importance(
        model, batch.x, annealing=Annealing(n_temperatures=5, start="posterior")
    ).log_likelihood
    gain = annealed - sampled
    assert result.annealed_gain == pytest.approx(gain.mean().item())
    assert result.annealed_gain_stderr == pytest.approx(gain.std().item() / 40**0.5)
    # Examples differ more from each other than both estimates do on one of them.
    assert result.annealed_gain_stderr < 0.5 * result.annealed_baseline_stderr


def test_a_model_that_cannot_draw_from_its_prior_is_refused() -> None:
    class Bare(nn.Module):
        posterior = likelihood = prior_distribution = encode = reconstruct = print

    with pytest.raises(OptionError, match="has no draw_prior"):
        evaluation.evaluate(Bare(), Batch(X), DataSpec((3,), "real"), annealed=1)


def test_grey_values_have_no_data_to_simulate() -> None:
    spec = DataSpec((1, 4, 4), "unit")
    model = variants.vae(spec, latent_dim=2, hidden=(8,), likelihood="cross-entropy").model
    batch = Batch(torch.rand(4, 1, 4, 4))
    result = evaluation.evaluate(
        model, batch, spec, n_samples=10, annealed=4, annealed_temperatures=3
    )
    assert result.annealed_log_likelihood is not None
    assert result.annealed_gap is None
    with pytest.raises(SupportError, match="not normalized"):
        bidirectional(model, 4)


def test_codes_and_directions_are_refused() -> None:
    batch = Batch(binary(3))
    for model, words in (
        (variants.vmf_vae(BINARY).model, "HypersphericalUniform"),
        (variants.gumbel_vae(BINARY).model, "OneHotCodes"),
    ):
        with pytest.raises(SupportError, match=rf"{words}: use importance sampling"):
            annealed_importance(model, batch.x)
        with pytest.raises(SupportError, match="real vectors"):
            evaluation.evaluate(model, batch, BINARY, annealed=3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_chains": 0}, "n_chains=0"),
        ({"n_temperatures": 0}, "n_temperatures=0"),
        ({"n_leapfrog": 0}, "n_leapfrog=0"),
        ({"max_memory_mb": 0}, "max_memory_mb=0"),
        ({"start": "priors"}, "did you mean 'prior'"),
        ({"schedule": "cosine"}, "unknown schedule"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        annealed_importance(LINEAR.model(), X, annealing=Annealing(**options))
    with pytest.raises(OptionError, match=words):
        bidirectional(LINEAR.model(), 3, annealing=Annealing(**options))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="n_examples=0"):
        bidirectional(LINEAR.model(), 0)
    with pytest.raises(ShapeError, match="2 conditions"):
        bidirectional(LINEAR.model(), 3, torch.eye(2))
    with pytest.raises(OptionError, match="annealed=-1"):
        evaluation.evaluate(LINEAR.model(), Batch(X), DataSpec((3,), "real"), annealed=-1)
    flow = variants.iaf_vae(BINARY, latent_dim=2, hidden=(8,)).model
    with pytest.raises(SupportError, match=r"Flow: use start='prior'"):
        annealed_importance(
            flow, binary(2), annealing=Annealing(n_temperatures=2, start="posterior")
        )
