"""A condition on the label or on covariates: from the data through every part to the samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal

import reparam as rp
from reparam.data.condition import condition_of, conditions
from reparam.errors import DataError, OptionError, ReparamError
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from reparam.variants import Recipe, build
from tests.support import (
    TRAIN,
    Function,
    LinearGaussian,
    fit_until,
    normal,
    quick_fit,
    reparam,
    require_exact_resume,
    same,
)

SPEC = rp.DataSpec((4,), "real", n_classes=3, name="rows")
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 1, 0])


class Echo(nn.Module):
    """A decoder that says the label: p(x | z, c) = N(label, 1), whatever z."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, c: Tensor) -> Distribution:
        label = c @ torch.arange(3.0)
        return normal(label[:, None].expand(*z.shape[:-1], 4) + self.unused, 1.0)


class Quiet(nn.Module):
    """An encoder that keeps the first two entries of x; the label is of no use to it."""

    def forward(self, x: Tensor, c: Tensor) -> Distribution:
        return normal(x[..., :2], 1.0)


@pytest.fixture
def data() -> rp.data.Dataset:
    x = torch.randn(len(LABELS), 4)
    return rp.data.from_arrays(x, LABELS, test=(x, LABELS), name="rows")


@pytest.fixture
def echo(data: rp.data.Dataset) -> rp.Run:
    recipe = Recipe(
        LatentModel(Quiet(), Echo(), StandardNormal(2)),
        rp.objectives.ELBO(),
        spec=data.spec.conditioned("label"),
    )
    return quick_fit(recipe, data, lr=1e-9)


def test_a_condition_is_the_label_as_one_of_k() -> None:
    spec = SPEC.conditioned("label")
    assert (spec.context, SPEC.context) == (3, 0)
    assert condition_of(SPEC, LABELS, None) is None
    c = condition_of(spec, LABELS, None)
    np.testing.assert_array_equal(c, np.eye(3)[LABELS])
    assert rp.DataSpec.from_dict(spec.to_dict()) == spec
    assert spec.conditioned(None) == SPEC


def test_conditions_to_generate_come_in_turn_or_all_alike() -> None:
    spec = SPEC.conditioned("label")
    assert conditions(SPEC, 5) is None
    assert conditions(spec, 5).argmax(1).tolist() == [0, 1, 2, 0, 1]
    assert conditions(spec, 4, label=2).argmax(1).tolist() == [2, 2, 2, 2]
    for label in (-1, 3):
        with pytest.raises(OptionError, match="the labels of 'rows' are 0 to 2"):
            conditions(spec, 4, label=label)
    with pytest.raises(OptionError, match="train one with condition='label'"):
        conditions(SPEC, 4, label=0)


def test_specs_refuse_other_conditions() -> None:
    with pytest.raises(OptionError, match="did you mean 'label'"):
        SPEC.conditioned("lable")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no labels to condition on"):
        rp.DataSpec((4,), "real").conditioned("label")


def test_data_carry_the_condition_of_each_example(data: rp.data.Dataset) -> None:
    assert data.examples().c is None
    batch = data.conditioned("label").examples("train")
    assert torch.equal(batch.c.argmax(1), batch.y)
    assert torch.equal(data.conditioned("label").conditioned(None).examples().x, batch.x)


@pytest.mark.parametrize("kind", ["dataset", "loader", "pair"])
def test_training_gives_every_batch_its_condition(data: rp.data.Dataset, kind: str) -> None:
    seen: list[rp.Batch] = []
    recipe = build("vae", data.spec.conditioned("label"), latent_dim=2, hidden=(4,))
    real = recipe.objective

    def objective(model: Any, batch: rp.Batch) -> Any:
        seen.append(batch)
        return real(model, batch)

    x = data.split("train").x
    pairs = torch.utils.data.TensorDataset(x, LABELS)
    source = {
        "dataset": data,
        "loader": torch.utils.data.DataLoader(pairs, batch_size=3, shuffle=True),
        "pair": (x, LABELS),
    }[kind]
    quick_fit(recipe, source, objective=objective, epochs=2, batch_size=3)
    assert sum(map(len, seen)) == 2 * len(x)
    for batch in seen:
        assert torch.equal(batch.c.argmax(1), batch.y)
        rows = [int((x == row).all(1).nonzero()) for row in batch.x]
        assert torch.equal(LABELS[rows], batch.y)


def test_samples_are_of_the_label_that_is_asked_for(echo: rp.Run) -> None:
    assert echo.sample(4, label=2, mean=True)[:, 0].round().tolist() == [2.0] * 4
    assert echo.sample(5, mean=True)[:, 0].round().tolist() == [0.0, 1.0, 2.0, 0.0, 1.0]
    with pytest.raises(OptionError, match="are 0 to 2"):
        echo.sample(4, label=3)


def test_reconstructions_and_figures_are_under_the_label(
    echo: rp.Run, data: rp.data.Dataset
) -> None:
    assert torch.equal(echo.reconstruct()[:, 0].round(), LABELS.float())
    x = data.split("test").x
    found = echo.evaluate(n_samples=5, device="cpu")
    expected = -0.5 * (x - LABELS[:, None]).square().sum(1) - 2 * np.log(2 * np.pi)
    assert found.reconstruction == pytest.approx(float(expected.mean()), rel=1e-5)
    kl = 0.5 * x[:, :2].square().sum(1)
    assert found.kl == pytest.approx(float(kl.mean()), rel=1e-5)


def test_other_data_need_not_have_every_label(echo: rp.Run) -> None:
    x, y = torch.randn(3, 4), torch.tensor([0, 1, 0])
    assert echo.reconstruct((x, y))[:, 0].round().tolist() == [0.0, 1.0, 0.0]
    assert echo.evaluate((x, y), n_samples=2, device="cpu").n_examples == 3
    with pytest.raises(OptionError, match=r"labels up to 5.*from 0 to 2"):
        echo.evaluate((x, torch.tensor([0, 5, 1])), n_samples=2, device="cpu")
    with pytest.raises(DataError, match="no labels to condition on"):
        echo.evaluate(x, n_samples=2, device="cpu")


def test_unknown_labels_are_refused(data: rp.data.Dataset) -> None:
    recipe = build("vae", data.spec.conditioned("label"), latent_dim=2, hidden=(4,))
    with pytest.raises(DataError, match="5 of 8 examples have no label to condition on"):
        quick_fit(recipe, data.with_labels_per_class(1))


def weights_of(out: Path | None, stop: int | None) -> dict[str, Tensor]:
    """Train a conditional model with a learned prior until a step, or resume it."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(30, 6, generator=rng).round()
    data = rp.data.from_arrays(x, torch.arange(30) % 3, n_classes=3)
    torch.manual_seed(0)
    spec = data.spec.conditioned("label")
    recipe = build("vae", spec, latent_dim=2, hidden=(4,), prior="flow")
    return fit_until(stop, recipe, data, out, epochs=2, batch_size=10)


def test_a_conditional_run_resumes_exactly_and_reloads(tmp_path: Path) -> None:
    expected = require_exact_resume(weights_of, tmp_path, [4])
    loaded = rp.load(tmp_path / "4")
    assert loaded.spec.condition == "label"
    assert same(loaded, expected)
    assert loaded.sample(2, label=1).shape == (2, 6)


def test_the_command_line_goes_all_the_way(tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = reparam(f"{TRAIN} --condition label --out", run)
    assert f"sample {run} --label 0" in said.out
    arrays = tmp_path / "samples.npy"
    reparam("sample", run, "-n 6 --label 2 --out", arrays)
    assert np.load(arrays).shape == (6, 1, 8, 8)
    assert "under label 2" in reparam("sample", run, "--label 2").out
    assert (tmp_path / "run" / "samples-label-2.png").exists()
    walks = tmp_path / "walks.npy"
    reparam("interpolate", run, "-n 2 --steps 5 --out", walks)
    loaded = rp.load(run)
    batch = loaded.examples(limit=4)
    ends = torch.from_numpy(np.load(walks)).unflatten(0, (2, 5))[:, [0, -1]].flatten(0, 1)
    torch.testing.assert_close(ends, loaded.reconstruct(batch))
    for verb in ("reconstruct", "encode", "plot"):
        reparam(verb, run)
    # A grid over the latent plane would need a label for each of its points.
    assert not (tmp_path / "run" / "pictures" / "quantile-grid.png").exists()
    reparam("evaluate", run, "--n-samples 2")
    reparam("train --resume", run)
    said = reparam("sample", run, "--label 12", code=None)
    assert "the labels of 'digits' are 0 to 9" in said.err


# ---------------------------------------------------------------- covariates


TABLE = pd.DataFrame(
    {
        "height": [1.5, -0.2, 0.3, 2.0, 1.1, -1.0],
        "age": [40, 31, 25, 60, 33, 52],
        "weight": [0.1, 0.2, -0.3, 0.4, -0.5, 0.6],
        "sex": ["M", "F", "F", "M", "F", "M"],
        "group": ["b", "a", "a", "c", "b", "a"],
    }
)


@pytest.mark.parametrize(
    "make", [lambda table: table, lambda table: pl.DataFrame(table.to_dict("list"))]
)
def test_columns_of_a_table_are_covariates(make: Callable[[pd.DataFrame], Any]) -> None:
    data = rp.data.from_arrays(make(TABLE), "group", covariates=["sex", "age"], test=make(TABLE))
    assert data.spec.covariates == ("sex=F", "sex=M", "age")
    assert data.class_names == ("a", "b", "c")
    np.testing.assert_allclose(data.images, TABLE[["height", "weight"]])
    assert data.labels.tolist() == [1, 0, 0, 2, 1, 0]
    is_male = (TABLE["sex"] == "M").to_numpy()
    expected = np.stack([~is_male, is_male, TABLE["age"]], 1)
    for split in ("train", "test"):
        np.testing.assert_allclose(data.examples(split).c, expected)
    both = data.conditioned("label+covariates")
    assert both.spec.context == 6
    np.testing.assert_allclose(
        both.examples().c, np.concatenate([np.eye(3)[data.labels], expected], 1)
    )
    assert rp.DataSpec.from_dict(both.spec.to_dict()) == both.spec


def test_categories_are_one_hot_even_if_they_are_numbers() -> None:
    site = pd.DataFrame({"site": pd.Categorical([3, 10, 3, 7])})
    data = rp.data.from_arrays(torch.zeros(4, 2), covariates=site)
    assert data.spec.covariates == ("site=10", "site=3", "site=7")
    assert data.examples().c.argmax(1).tolist() == [1, 0, 1, 2]
    numbers = rp.data.from_arrays(torch.zeros(4, 2), covariates={"site": [3, 10, 3, 7]})
    assert numbers.examples().c.tolist() == [[3], [10], [3], [7]]


def test_covariates_stay_with_their_examples() -> None:
    x = torch.arange(20.0)[:, None]
    data = rp.data.from_arrays(x, covariates=10 * x, validation=5, seed=3)
    for name, split in data.splits.items():
        batch = data.examples(name)
        assert torch.equal(batch.c, 10 * split.x)
        for part in rp.data.Batches(split, data.transform, 4, seed=1, spec=data.spec).epoch(0):
            assert torch.equal(part.c, 10 * part.x)


@pytest.mark.parametrize("kind", ["tuple", "mapping", "torch dataset", "loader", "loader of dicts"])
def test_training_gives_every_batch_its_covariates(kind: str) -> None:
    x = torch.randn(9, 3)
    c = torch.stack([x.sum(1), x[:, 0] ** 2], 1)
    rows = [{"x": row, "covariates": beside} for row, beside in zip(x, c, strict=True)]
    pairs = torch.utils.data.TensorDataset(x, torch.arange(9) % 3, c)
    source: Any = {
        "tuple": (x, None, c),
        "mapping": {"x": x, "covariates": c.numpy()},
        "torch dataset": pairs,
        "loader": torch.utils.data.DataLoader(pairs, batch_size=3, shuffle=True),
        "loader of dicts": torch.utils.data.DataLoader(rows, batch_size=3),  # type: ignore[arg-type]
    }[kind]
    seen: list[rp.Batch] = []
    real = rp.objectives.ELBO()

    def objective(model: Any, batch: rp.Batch) -> Any:
        seen.append(batch)
        return real(model, batch)

    make = lambda spec: build("vae", spec, latent_dim=2, hidden=(4,))  # noqa: E731
    options: dict[str, Any] = {"epochs": 1, "batch_size": 3, "device": "cpu", "progress": False}
    run = rp.fit(make, source, objective=objective, **options)
    assert sum(map(len, seen)) == 9
    for batch in seen:
        expected = torch.stack([batch.x.sum(1), batch.x[:, 0] ** 2], 1)
        torch.testing.assert_close(batch.c, expected)
    assert run.spec.covariates == ("c0", "c1")
    assert len(run.encode(source)) == 9


class Shift(nn.Module):
    """p(x | z, c) = N(W z + A c, σ²): a linear decoder whose marginal is known."""

    def __init__(self, w: Tensor, a: Tensor, sigma: float) -> None:
        super().__init__()
        self.w, self.a, self.sigma = nn.Parameter(w), nn.Parameter(a), sigma

    def forward(self, z: Tensor, c: Tensor) -> Distribution:
        return normal(z @ self.w.T + c @ self.a.T, self.sigma)


def test_the_likelihood_under_covariates_is_that_of_a_linear_gaussian_model() -> None:
    w, a, sigma = torch.randn(4, 2), torch.randn(4, 3), 0.7
    c = torch.randn(50, 3)
    marginal = MultivariateNormal(c @ a.T, w @ w.T + sigma**2 * torch.eye(4))
    x = marginal.sample()
    decoder = Shift(w.clone(), a.clone(), sigma)
    linear = LinearGaussian(w, sigma)
    encoder = Function(lambda x, c: linear.posterior(x - c @ a.T))
    data = rp.data.from_arrays(x, covariates=c, test=(x, None, c))
    model = LatentModel(encoder, decoder, StandardNormal(2))
    recipe = Recipe(model, rp.objectives.ELBO(), spec=data.spec)
    run = quick_fit(recipe, data, lr=1e-12, precision="float32")
    found = run.evaluate(n_samples=3, device="cpu")
    # Under the exact posterior the importance weight of every draw is p(x | c).
    expected = float(marginal.log_prob(x).mean())
    assert found.log_likelihood == pytest.approx(expected, abs=1e-4)
    assert found.condition == "covariates"
    # p(x | c) of the model has the mean A c.
    drawn = run.sample(20_000, covariates=c[0])
    error = (drawn.mean(0) - a @ c[0]) / (drawn.std(0) / 20_000**0.5)
    assert error.abs().max() < 4.5


# A prior alone can shift x only through z, whose own noise takes longer to vanish.
@pytest.mark.parametrize(("name", "tolerance"), [("cvae", 0.15), ("class-prior-vae", 0.8)])
def test_a_model_of_noise_around_covariates_nears_its_entropy(name: str, tolerance: float) -> None:
    c = torch.randn(2000, 2)
    a, sigma = torch.tensor([[2.0, 0.0], [-1.0, 1.0]]), 0.5
    x = c @ a.T + sigma * torch.randn(2000, 2)
    data = rp.data.from_arrays(x[:1500], covariates=c[:1500], test=(x[1500:], None, c[1500:]))
    make = lambda spec: build(name, spec, latent_dim=2, hidden=(32,))  # noqa: E731
    run = quick_fit(make, data, epochs=20, lr=5e-3, batch_size=100)
    entropy = np.log(2 * np.pi * np.e * sigma**2)  # of two independent Gaussians, in nats
    covariance = a @ a.T + sigma**2 * torch.eye(2)
    marginal = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    found = -run.evaluate(n_samples=50, device="cpu").log_likelihood
    # Without c no model is below the entropy of the marginal.
    assert entropy - 0.15 < found < entropy + tolerance
    assert found < marginal - 1


@pytest.mark.parametrize("prior", ["flow", "vamp", "mixture", "class-conditional"])
def test_every_prior_takes_covariates(prior: str, tmp_path: Path) -> None:
    x, c = torch.randn(40, 3), 100 * torch.randn(40, 2)  # no one-hot code is so large
    data = rp.data.from_arrays(x, torch.arange(40) % 4, covariates=c)
    spec = data.conditioned("label+covariates").spec
    recipe = build("vae", spec, latent_dim=2, hidden=(4,), prior=prior)
    run = quick_fit(recipe, data, out=tmp_path)
    given: Any = {"covariates": [3.0, -200.0], "label": 1}
    loaded = rp.load(tmp_path)
    assert loaded.spec == run.spec
    assert torch.equal(loaded.sample(5, **given), run.sample(5, **given))
    everything = {"x": x, "y": torch.arange(40) % 4, "covariates": c}
    assert torch.equal(loaded.encode(everything), run.encode(data, split="train"))


def test_pseudo_inputs_start_at_the_covariates_of_examples() -> None:
    x, y, c = torch.randn(6, 3), torch.arange(6) % 2, 100 * torch.randn(6, 2)
    data = rp.data.from_arrays(x, y, covariates=c).conditioned("label+covariates")
    seen: list[Tensor] = []

    def encoder(x: Tensor, c: Tensor) -> Distribution:
        seen.append(c)
        return normal(x, 1.0)

    prior: Any = rp.priors.VampPrior(encoder, (3,), 6, data.spec.context, data.spec.label_context)
    prior.start(data.examples())
    prior()
    assert torch.equal(seen[0][:, 2:], c)
    torch.testing.assert_close(seen[0][:, :2].sum(1), torch.ones(6))
    assert torch.equal(seen[0][:, :2].argmax(1), y)


def test_a_run_takes_a_table_and_covariates_by_name() -> None:
    table = TABLE.drop(columns="group")
    data = rp.data.from_arrays(table, covariates=["age", "sex"])
    make = lambda spec: build("vae", spec, latent_dim=2, hidden=(4,))  # noqa: E731
    run = quick_fit(make, data)
    expected = run.encode(data, split="train")
    assert torch.equal(run.encode(table), expected)
    beside = table[["sex", "age"]]
    given = {"x": table[["height", "weight"]], "covariates": beside}
    assert torch.equal(run.encode(given), expected)
    assert torch.equal(
        run.sample(3, covariates={"age": 40, "sex": "F"}), run.sample(3, covariates=[40.0, 1, 0])
    )
    for covariates, says in (
        ({"age": 40}, "covariates lacks 'sex'"),
        ({"age": 40, "sex": "X"}, "'X' in row 0: give one of the classes F, M"),
        ({"age": 40, "sex": None}, "None in row 0: give one of the classes F, M"),
        ({"age": "old", "sex": "F"}, "'old': numbers are needed"),
        ({"age": 40, "sex": "F", "sexx": "F"}, "unknown covariate 'sexx'"),
        ({"age": [40, 41], "sex": "F"}, "2 rows beside 3 examples"),
        ({"age": [40, 41, np.nan], "sex": "F"}, "1 NaN"),
        ([40.0, 1.0], r"\(age, sex=F, sex=M\) for each example"),
        (None, "conditioned on age, sex=F, sex=M: give a"),
    ):
        with pytest.raises(ReparamError, match=says) as error:
            run.sample(3, covariates=covariates)
        assert "\n" not in str(error.value)
    with pytest.raises(OptionError, match=r"label=1: .*condition='label'"):
        run.sample(3, label=1, covariates=[40.0, 1, 0])
    with pytest.raises(DataError, match="no covariates to condition on"):
        run.encode(table[["height", "weight"]].to_numpy())
    other = rp.data.from_arrays(table, covariates=["sex", "age"])
    with pytest.raises(OptionError, match="the same in the same order"):
        run.encode(other, split="train")


X = torch.zeros(4, 2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"covariates": torch.zeros(3, 2)}, "3 rows beside 4 examples"),
        ({"covariates": torch.zeros(4, 2, 2)}, r"shape \(4, 2, 2\)"),
        ({"covariates": torch.full((4, 1), torch.inf)}, "4 NaN or infinite"),
        ({"covariates": {"sex": ["F", "M", "F"]}}, "3 rows beside 4"),
        ({"covariates": {"sex": ["F", "M", None, "F"]}}, "None in row 2"),
        ({"covariates": {"day": [np.datetime64("2020-01-01")] * 4}}, "numbers or of text"),
        ({"covariates": torch.zeros(4, 1), "test": X}, "test x has no covariates"),
        ({"condition": "covariates"}, "no covariates to condition on"),
        ({"condition": "covariate"}, "did you mean 'covariates'"),
        ({"covariates": ["age"]}, "named columns age: give a DataFrame"),
        ({"y": "class"}, "named columns class: give a DataFrame"),
    ],
)
def test_covariates_are_checked_where_they_enter(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ReparamError, match=says) as error:
        rp.data.from_arrays(X, **given)
    assert "\n" not in str(error.value)


def test_columns_that_do_not_exist_are_named() -> None:
    with pytest.raises(OptionError, match=r"unknown column of x 'aeg'.*did you mean 'age'"):
        rp.data.from_arrays(TABLE, covariates=["aeg"])
    with pytest.raises(OptionError, match="unknown key of the data 'c'"):
        rp.data.as_dataset({"x": X, "c": X})
    test = TABLE.assign(group="z")
    with pytest.raises(DataError, match="'group' is 'z': give one of the classes a, b, c"):
        rp.data.from_arrays(TABLE.drop(columns="sex"), "group", test=test.drop(columns="sex"))


def test_a_recipe_is_built_for_its_covariates() -> None:
    data = rp.data.from_arrays(X, covariates={"age": [1, 2, 3, 4]})
    recipe = build("vae", data.spec, latent_dim=2, hidden=(4,))
    other = rp.data.from_arrays(X, covariates={"height": [1, 2, 3, 4]})
    for source, has in ((other, "height"), (X, "none")):
        with pytest.raises(DataError, match=f"built for the covariates age, and 'data' has {has}"):
            quick_fit(recipe, source)
    # A model without a condition is trained without the covariates of its data.
    plain = build("vae", data.spec.conditioned(None), latent_dim=2, hidden=(4,))
    run = quick_fit(plain, data)
    assert run.encode(X).shape == (4, 2)


def test_pictures_under_covariates_are_under_those_of_examples(tmp_path: Path) -> None:
    x = torch.rand(30, 1, 4, 4).round()
    data = rp.data.from_arrays(x, covariates=x.mean((1, 2, 3))[:, None], validation=6)
    recipe = build("vae", data.spec, latent_dim=2, hidden=(4,))

    def shade(z: Tensor, c: Tensor) -> Distribution:
        """The covariate as the mean of every pixel."""
        return Independent(Bernoulli(c[..., None, None].expand(*z.shape[:-1], 1, 4, 4)), 3)

    model = LatentModel(recipe.model.encoder, Function(shade), recipe.model.prior)
    recipe = Recipe(model, recipe.objective, spec=recipe.spec)
    quick_fit(recipe, data, out=tmp_path, pictures_every=1)
    with Image.open(tmp_path / "pictures" / "samples-epoch-001.png") as picture:
        shades = set(np.unique(np.asarray(picture)).tolist())
    given = 255 * data.examples("validation").c.numpy()
    background = 255
    assert shades == {*np.round(given).flatten().tolist(), background}


@pytest.mark.parametrize(
    "covariates", [{"a=b": ["b", "c"] * 3, "a": ["b=b", "c"] * 3}, {}, torch.zeros(6, 0)]
)
def test_columns_of_covariates_have_one_name_each(covariates: object) -> None:
    with pytest.raises(DataError, match="each with its own name"):
        rp.data.from_arrays(torch.zeros(6, 2), covariates=covariates)


def test_a_number_whose_name_looks_like_a_class_stays_a_number() -> None:
    columns = {"a=z": [1.0, 2.0, 3.0, 4.0], "a": ["u", "v", "u", "v"]}
    data = rp.data.from_arrays(torch.zeros(4, 2), covariates=columns)
    expected = torch.tensor([[1.0, 1, 0], [2, 0, 1], [3, 1, 0], [4, 0, 1]])
    assert torch.equal(data.split("train").covariates, expected)


def test_covariates_and_names_of_labels_on_the_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    rows["age"], rows["sex"] = rng.integers(20, 60, 60).astype(float), ["F", "M"] * 30
    run = rp.fit(
        rp.variants.vae,
        rp.data.from_arrays(rows, covariates=["age", "sex"]),
        steps=2,
        progress=False,
        out=tmp_path / "run",
    )
    out = tmp_path / "x.npy"
    reparam(
        "sample", str(tmp_path / "run"), "-n 3 --draw --covariates age=40,sex=F --out", str(out)
    )
    expected = run.sample(3, covariates={"age": 40.0, "sex": "F"})
    assert np.array_equal(np.load(out), expected.numpy())
    said = reparam("sample", str(tmp_path / "run"), "-n 3 --covariates age=old,sex=F", code=2)
    assert "age='old': a number is needed there" in said.err


def test_a_label_is_given_by_its_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40)})
    rows["kind"] = ["cat", "dog"] * 20
    data = rp.data.from_arrays(rows, "kind")
    run = rp.fit(rp.variants.cvae, data, steps=2, progress=False)
    assert run.class_names == ("cat", "dog")
    assert torch.equal(run.sample(4, label="dog"), run.sample(4, label=1))
    with pytest.raises(OptionError, match="unknown label 'dgo': did you mean 'dog'"):
        run.sample(4, label="dgo")
