"""The start of a model at its training data: scale, units, mean and variance."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import FactorAnalysis

import reparam as rp
from reparam.batch import Batch
from reparam.distributions import base_distribution
from reparam.models.latent import LatentModel
from reparam.spec import DataSpec
from reparam.variants import build, start
from reparam.variants.start import start_condition, start_scale

RNG = np.random.default_rng(0)
TABLE = np.float32(
    RNG.standard_normal((200, 2)) @ RNG.standard_normal((2, 5))
    + 0.5 * RNG.standard_normal((200, 5))
    + 0.1
)
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


def test_figures_of_transformed_columns_are_in_the_units_of_the_data() -> None:
    x, figures = np.exp(2 * TABLE), []
    for units in (np.ones(5, np.float32), np.float32(2.0) ** np.float32([20, -17, 2, 0, 5])):
        recipe = rp.variants.vae(DataSpec((5,), "real"), latent_dim=2, hidden=(8,), dropout=0)
        recipe.model.load_state_dict(build_state())
        run = rp.fit(recipe, x * units, steps=5, progress=False)
        layer = run.model.decoder.family.standardize
        assert bool((layer.linear_width > 0).all())
        found = run.evaluate(x * units, n_samples=50)["log_likelihood"].value
        figures.append(found + np.log(units).sum())
    assert figures[1] == pytest.approx(figures[0], abs=1e-4)


def build_state() -> dict[str, torch.Tensor]:
    """Return the same initial weights in each call."""
    torch.manual_seed(0)
    spec = DataSpec((5,), "real")
    return rp.variants.vae(spec, latent_dim=2, hidden=(8,), dropout=0).model.state_dict()


def test_fit_names_the_columns_with_heavy_tails(capsys: pytest.CaptureFixture[str]) -> None:
    x = pd.DataFrame({"plain": TABLE[:, 0], "wide": np.exp(9 * TABLE[:, 1] / TABLE[:, 1].std())})
    said = []
    for likelihood in ("gaussian-mixture", "gaussian"):
        data = rp.data.from_arrays(x)
        rp.fit(partial(rp.variants.vae, likelihood=likelihood), data, epochs=1)
        said.append(capsys.readouterr().err)
    assert "1 of 2 columns have heavy tails" in said[0]
    assert "1 of 2 columns have heavy tails (wide): the model describes a * asinh" in said[0]
    assert "span more than six" not in said[0]
    assert "columns span more than six orders of magnitude: wide" in said[1]
    assert "heavy tails" not in said[1]


def test_the_decoder_starts_at_transformed_columns() -> None:
    x = torch.from_numpy(np.exp(2 * TABLE))
    model = started(DataSpec((5,), "real"), x, hidden=[8])
    p = base_distribution(model.likelihood(torch.zeros(1, 5)))
    first = p.base.normal  # of the components of the mixture
    torch.testing.assert_close(first.loc[0, :, 0], torch.zeros(5), atol=0.3, rtol=0)
    torch.testing.assert_close(first.scale[0, :, 0], torch.ones(5), atol=0.3, rtol=0)
    plain = started(DataSpec((5,), "real"), x, likelihood="gaussian")
    assert plain.decoder.family.standardize.is_linear


def test_every_part_gets_standardized_covariates() -> None:
    """The label and other codes of zeros and ones stay; a scale of 100 is of no consequence."""
    y, c = torch.arange(200) % 3, torch.from_numpy(RNG.normal(7, 100, (200, 2))).float()
    flag = (c[:, :1] > 0).float()
    data = rp.data.from_arrays(TABLE, y, covariates=torch.cat([c, flag], 1))
    torch.manual_seed(0)
    spec = data.conditioned("label+covariates").spec
    model = build("vae", spec, latent_dim=2, hidden=(8,)).model.eval()
    batch = data.conditioned("label+covariates").examples()
    start_condition(model, batch)
    seen = model.as_condition(batch.c)
    torch.testing.assert_close(seen[:, [0, 1, 2, 5]], batch.c[:, [0, 1, 2, 5]])
    torch.testing.assert_close(seen[:, 3:5].mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[:, 3:5].std(0, correction=0), torch.ones(2))
    z, x = torch.randn(200, 2), batch.x
    plain = LatentModel(model.encoder, model.decoder, model.prior)
    torch.testing.assert_close(model.posterior(x, batch.c).mean, plain.posterior(x, seen).mean)
    torch.testing.assert_close(model.decode(z, batch.c), plain.decode(z, seen))
    old = {k: v for k, v in model.state_dict().items() if "standardize_condition" not in k}
    again = build("vae", spec, latent_dim=2, hidden=(8,)).model
    again.load_state_dict(old)
    assert torch.equal(again.as_condition(batch.c), batch.c)


def test_figures_do_not_depend_on_the_units_of_covariates() -> None:
    c, figures = np.float32(RNG.standard_normal((200, 2))), []
    for units in (1.0, 1024.0):
        given = (TABLE, None, c * units)
        run = rp.fit(rp.variants.cvae, given, epochs=3, progress=False)
        figures.append(run.evaluate(given, n_samples=20)["log_likelihood"].value)
    assert figures[1] == pytest.approx(figures[0], abs=1e-4)


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


LATENTS = RNG.standard_normal((600, 2))
COLLINEAR = np.float32(
    LATENTS @ RNG.standard_normal((2, 6)) + 0.03 * RNG.standard_normal((600, 6)) + 5.0
)


def test_a_collinear_table_starts_at_factor_analysis() -> None:
    """The bound of a linear Gaussian model is its log-likelihood, which scikit-learn knows."""
    x = torch.from_numpy(COLLINEAR)
    model = started(DataSpec((6,), "real"), x, likelihood="gaussian", latent_dim=4)
    draws = model.draw(x, n_samples=200)
    elbo = draws.log_weight.mean().item()
    log_likelihood = model.log_likelihood(x, n_samples=200).mean().item()
    expected = FactorAnalysis(2, tol=1e-6, max_iter=5000).fit(COLLINEAR).score(COLLINEAR)
    assert elbo == pytest.approx(log_likelihood, abs=0.02)
    # The floor of the decoder's scale, a thousandth, is a thirtieth of the noise.
    assert log_likelihood == pytest.approx(expected, abs=0.2)


def test_a_collinear_table_starts_at_factor_analysis_given_covariates() -> None:
    """The likelihood is that of what a linear regression on the covariate leaves."""
    c = RNG.standard_normal((600, 1))
    x = np.float32(COLLINEAR + c * [2.0, 0.0, -1.0, 0.5, 0.0, 0.0])
    data = rp.data.from_arrays(x, covariates=np.float32(c))
    recipe = build("vae", data.spec, likelihood="gaussian", latent_dim=4)
    batch = data.examples("train", 0)
    for milestone in recipe.milestones:
        milestone.action(recipe.model.eval(), batch)
    found = recipe.model.log_likelihood(batch.x, batch.c, n_samples=200).mean().item()
    given = np.column_stack([c, np.ones(600)])
    rest = x - given @ np.linalg.lstsq(given, x, rcond=None)[0]
    expected = FactorAnalysis(2, tol=1e-6, max_iter=5000).fit(rest).score(rest)
    assert found == pytest.approx(expected, abs=0.2)


def test_the_quantities_of_a_mixed_table_start_at_factor_analysis() -> None:
    """The class is independent of them, and its entropy is what the likelihood lacks besides.

    The mixture of a table keeps a share for outliers. Without the start it is 8 nats lower.
    """
    sex = RNG.integers(0, 2, 600)
    frame = pd.DataFrame(COLLINEAR, columns=list("abcdef")).assign(sex=np.array(["F", "M"])[sex])
    lacking = frame.mask(RNG.random(frame.shape) < 0.03)
    share = sex.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    expected = FactorAnalysis(2, tol=1e-6, max_iter=5000).fit(COLLINEAR).score(COLLINEAR) - entropy
    for given in (frame, lacking):
        data = rp.data.from_table(rp.data.of_frame(given))
        recipe = build("vae", data.spec, latent_dim=4)
        model, batch = recipe.model.eval(), data.examples("train", 0)
        for milestone in recipe.milestones:
            milestone.action(model, batch)
        whole = batch.x[~batch.x.isnan().any(1)]
        found = model.log_likelihood(whole, n_samples=200).mean().item()
        assert found == pytest.approx(expected, abs=0.9)


def test_a_table_that_is_not_collinear_starts_at_no_linear_model() -> None:
    x = torch.from_numpy(np.float32(RNG.standard_normal((600, 2)) @ np.ones((2, 2))))
    x = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    model = started(DataSpec((2,), "real"), x)
    torch.manual_seed(0)
    fresh = build("vae", DataSpec((2,), "real")).model
    for name, weight in model.named_parameters():
        if name.endswith("weight"):
            assert torch.equal(weight, fresh.get_parameter(name)), name


def test_a_fold_starts_at_its_own_rows() -> None:
    """The milestone of factor analysis waits for training, which may leave rows out."""
    data = rp.data.from_arrays(COLLINEAR)
    recipe = start.started(build("vae", data.spec), data, 0)
    assert [milestone.is_fit for milestone in recipe.milestones] == [True]


def test_fit_names_collinear_columns(capsys: pytest.CaptureFixture[str]) -> None:
    parts = RNG.standard_normal((100, 3))
    nearly = parts.sum(1) + 1e-3 * RNG.standard_normal(100)  # an exact sum is computed
    table = pd.DataFrame(np.float32(parts), columns=["rent", "food", "other"])
    for name, total in (("sum", nearly), ("noise", RNG.standard_normal(100))):
        rp.fit(rp.variants.vae, table.assign(**{name: np.float32(total)}), steps=2)
        said = capsys.readouterr().err
        is_said = "4 of 4 columns are nearly linear functions of others (rent, food" in said
        assert is_said == (name == "sum")
    data = rp.data.from_arrays(table.assign(sum=np.float32(parts.sum(1))))
    rp.fit(build("vae", data.spec, start_at_mean=False), data, steps=2)
    assert "started at factor analysis" not in capsys.readouterr().err
