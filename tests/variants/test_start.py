"""The start of a model at its training data: scale, units, mean and variance."""

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.batch import Batch
from reparam.spec import DataSpec
from reparam.variants import build
from reparam.variants.start import start_scale

RNG = np.random.default_rng(0)
TABLE = np.float32(RNG.standard_normal((200, 2)) @ RNG.standard_normal((2, 5)) + 0.1)
UNITS = np.float32([1e6, 1e-5, 3.0, 1.0, 40.0])


def started(
    spec: DataSpec, x: torch.Tensor, variant: str = "vae", **options: object
) -> torch.nn.Module:
    torch.manual_seed(0)
    recipe = build(variant, spec, **options)
    for milestone in recipe.milestones:
        milestone.action(recipe.model.eval(), Batch(x))
    return recipe.model


def test_the_encoder_gets_standardized_columns() -> None:
    x = torch.from_numpy((TABLE + 7.0) * UNITS)
    model = started(DataSpec((5,), "real"), x)
    y = model.as_input(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(5), atol=1e-3, rtol=0)


def test_figures_are_in_the_units_of_the_data() -> None:
    """log p(x) changes by the logarithms of the units, as a density does."""
    figures = []
    for units in (np.ones(5, np.float32), UNITS):
        run = rp.fit(rp.variants.vae, TABLE * units, epochs=20, progress=False)
        figures.append(run.evaluate(TABLE * units, n_samples=50)["log_likelihood"].value)
    plain, scaled = figures
    assert scaled == pytest.approx(plain - np.log(UNITS).sum(), abs=0.1)


def test_rounded_columns_have_the_probabilities_of_their_cells() -> None:
    """Whole numbers in other units are the same cells, so that their figure does not change."""
    x = np.float32((TABLE * 3).round())
    figures = []
    for units in (np.ones(5, np.float32), UNITS):
        run = rp.fit(rp.variants.vae, x * units, epochs=20, progress=False)
        found = run.evaluate(x * units, n_samples=50)["log_likelihood"].value
        assert found < 0
        figures.append(found)
    assert figures[1] == pytest.approx(figures[0], abs=0.1)


def test_samples_of_whole_numbers_are_whole() -> None:
    run = rp.fit(rp.variants.vae, np.float32((TABLE * 3).round()), epochs=1, progress=False)
    draws = run.sample(100)
    torch.testing.assert_close(draws, draws.round())


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian-shared", "continuous-bernoulli"])
def test_the_decoder_starts_at_the_mean_of_images(likelihood: str) -> None:
    torch.manual_seed(0)
    x = 0.3 + 0.4 * torch.rand(500, 1, 4, 4)
    model = started(DataSpec((1, 4, 4), "unit"), x, likelihood=likelihood, hidden=[8])
    p = model.likelihood(torch.zeros(1, 20))
    torch.testing.assert_close(p.mean[0], x.mean(0), atol=0.1, rtol=0)
    if likelihood != "continuous-bernoulli":
        torch.testing.assert_close(p.stddev[0], x.std(0), atol=0.1, rtol=0)


def test_a_convolutional_decoder_of_levels_starts_at_the_mean_image() -> None:
    spec = DataSpec((1, 8, 8), "unit", levels=256)
    x = ((0.2 + 0.1 * torch.rand(500, 1, 8, 8) + torch.linspace(0, 0.6, 8)) * 255).round() / 255
    model = started(spec, x, variant="conv-vae", padding=1)
    p = model.decoder.family(torch.zeros(1, 32, 8, 8)).base_dist
    torch.testing.assert_close(p.mean[0], x.mean(0), atol=2e-3, rtol=0)
    torch.testing.assert_close(p.scale[0] * np.pi / 3**0.5, x.std(0), atol=2e-3, rtol=0)


def test_constant_columns_cost_nothing() -> None:
    x = np.concatenate([TABLE, np.full((200, 2), [3.0, 0.0], np.float32)], 1)
    run = rp.fit(rp.variants.vae, x, epochs=30, progress=False)
    assert bool(torch.isfinite(run.encode(x)).all())
    draws = run.sample(50)
    torch.testing.assert_close(draws[:, 5:], torch.tensor([3.0, 0.0]).expand(50, 2))


def test_a_scale_is_kept_with_the_weights() -> None:
    x = torch.from_numpy(TABLE * UNITS)
    model = started(DataSpec((5,), "real"), x)
    again = build("vae", DataSpec((5,), "real")).model
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.as_input(x), model.as_input(x))


def test_weights_from_before_there_was_a_scale_belong_to_the_identity() -> None:
    spec = DataSpec((1, 4, 4), "binary")
    model = build("vae", spec, hidden=[8]).model
    old = {k: v for k, v in model.state_dict().items() if "standardize" not in k}
    start_scale(model, Batch(torch.rand(20, 1, 4, 4).round()))
    model = build("vae", spec, hidden=[8]).model
    model.load_state_dict(old)
    x = torch.rand(3, 1, 4, 4).round()
    assert torch.equal(model.as_input(x), x)
