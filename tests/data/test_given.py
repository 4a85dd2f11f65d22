"""Data that are given to a run after training: prepared as in training, or refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import reparam as rp
from reparam.data.stream import StreamBatches
from reparam.errors import DataError, OptionError, ReparamError, RunError, ShapeError, SupportError
from tests.support import Stop, quick_fit

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (30, 1, 6, 4), dtype=np.uint8)
TABLE = RNG.normal(size=(30, 3)).astype(np.float32)


def vae(spec: rp.DataSpec) -> rp.Recipe:
    return rp.variants.vae(spec, latent_dim=2, hidden=[5])


def fitted(data: Any, make: Any = vae, **options: Any) -> rp.Run:
    return quick_fit(make, data, **options)


@pytest.fixture(scope="module")
def runs() -> dict[str, rp.Run]:
    """Runs on data of every kind, in memory."""
    levels = rp.data.load("digits")
    return {
        "grey": fitted(GREY),
        "shades": fitted(GREY.astype(np.float32) / 255),
        "binary": fitted((GREY > 99).astype(np.float32)),
        "real": fitted(TABLE),
        "levels": fitted(levels),
        "classes": fitted(rp.data.from_arrays(GREY[:, 0, 0] % 5, support="categorical")),
        "tokens": fitted(
            rp.data.from_arrays(GREY[:, 0, 0] % 5, support="tokens"),
            make=lambda spec: rp.variants.text_vae(spec, latent_dim=2, width=8),
        ),
    }


# ---------------------------------------------------------------- one meaning


def test_bytes_are_scaled_as_in_training(runs: dict[str, rp.Run]) -> None:
    dark = (GREY > 200).astype(np.uint8)  # the two darkest of 256 levels, and no black and white
    for run in (runs["grey"],):
        expected = run.encode(torch.from_numpy(dark).float() / 255)
        assert torch.equal(run.encode(dark), expected)
    expected = runs["shades"].encode(torch.from_numpy(GREY).float() / 255)
    assert torch.equal(runs["shades"].encode(GREY), expected)
    digits = rp.data.load("digits")
    run = runs["levels"]
    stored = digits.split("test").x  # 17 levels
    assert torch.equal(run.encode(stored), run.encode(digits))
    assert torch.equal(run.encode(stored), run.encode(stored.float() / 16))


def test_bytes_for_real_numbers_are_numbers(runs: dict[str, rp.Run]) -> None:
    whole = RNG.integers(0, 4, (7, 3))
    expected = runs["real"].encode(whole.astype(np.float32))
    for dtype in (np.uint8, np.int16, np.int64, np.float64, np.float16, bool):
        given = whole.astype(dtype)
        assert torch.allclose(
            runs["real"].encode(given), runs["real"].encode(given.astype(np.float32))
        )
    assert torch.equal(runs["real"].encode(whole.astype(np.uint8)), expected)


def test_a_run_that_is_loaded_prepares_bytes_as_before(tmp_path: Path) -> None:
    run = fitted(GREY, out=tmp_path / "run")
    loaded = rp.load(tmp_path / "run")
    dark = (GREY > 200).astype(np.uint8)
    assert torch.equal(loaded.encode(dark), run.encode(dark))
    # A run from before the transform was recorded.
    del loaded.config["recorded"]["transform"]
    assert torch.equal(loaded.encode(dark), run.encode(dark))


def test_binarization_of_the_training_data_is_that_of_bytes() -> None:
    data = rp.data.load("digits", binarize="threshold")
    run = fitted(data)
    stored = data.split("test").x
    assert torch.equal(run.encode(stored), run.encode((stored >= 8).float()))


@pytest.mark.parametrize("shape", [(-1, 24), (-1, 6, 4), (-1, 1, 6, 4), (-1, 6, 4, 1)])
def test_flat_examples_and_missing_axes_have_one_meaning(
    runs: dict[str, rp.Run], shape: tuple[int, ...]
) -> None:
    given = GREY.reshape(len(GREY), *shape[1:])
    if shape == (-1, 6, 4, 1):
        with pytest.raises(ShapeError, match="channels last"):
            runs["grey"].encode(given)
        return
    assert torch.equal(runs["grey"].encode(given), runs["grey"].encode(GREY))


@pytest.mark.parametrize("kind", ["loader", "pair", "torch", "pandas", "polars", "masked"])
def test_every_container_is_read_alike(runs: dict[str, rp.Run], kind: str) -> None:
    frame = {"a": TABLE[:, 0], "b": TABLE[:, 1], "c": TABLE[:, 2]}
    given: dict[str, Any] = {
        "loader": DataLoader(TensorDataset(torch.from_numpy(TABLE)), batch_size=7),
        "pair": (TABLE, np.zeros(30, int)),
        "torch": TensorDataset(torch.from_numpy(TABLE)),
        "pandas": pd.DataFrame(frame),
        "polars": pl.DataFrame(frame),
        "masked": np.ma.masked_array(TABLE, mask=False),
    }
    assert torch.allclose(runs["real"].encode(given[kind]), runs["real"].encode(TABLE))


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("name", "given", "kind", "says"),
    [
        ("grey", GREY.astype(np.float32), DataError, "outside support 'unit'.*divide x by 255"),
        ("grey", GREY.astype(np.int64), DataError, "outside support 'unit'"),
        ("grey", GREY.transpose(0, 1, 3, 2), ShapeError, "in another order"),
        ("grey", GREY.transpose(0, 2, 3, 1), ShapeError, "channels last"),
        ("grey", GREY[0], ShapeError, r"give x\[None\]"),
        ("grey", GREY[:, :, :5], ShapeError, r"\(1, 5, 4\), where the model has \(1, 6, 4\)"),
        ("shades", (GREY > 99).astype(np.uint8), DataError, "bytes 0 and 1 only"),
        ("binary", GREY, DataError, r"is \d+: the model has 2 values|outside support 'binary'"),
        ("binary", GREY.astype(np.float32) / 255, DataError, "outside support 'binary'"),
        ("binary", np.where(GREY > 99, 1.0, -1.0), DataError, "from -1 to 1.*0 or 1"),
        ("real", np.full((3, 3), np.nan), DataError, "9 NaN"),
        ("real", TABLE[:, :2], ShapeError, r"\(2,\), where the model has \(3,\)"),
        ("levels", np.full((2, 1, 8, 8), 17, np.uint8), DataError, "17: the model has 17 values"),
        ("classes", np.full((2, 4), 5.0), DataError, "is 5: the model has 5 values, from 0 to 4"),
        ("classes", np.full((2, 4), 0.5), DataError, "one of 0, 1, 2"),
        ("tokens", np.full((2, 4), 5), DataError, "is 5: the model has 5 values"),
        ("tokens", np.full((2, 4), -1), DataError, "outside support 'tokens'"),
    ],
)
def test_other_data_are_refused_at_every_entrance(
    runs: dict[str, rp.Run], name: str, given: Any, kind: type[ReparamError], says: str
) -> None:
    run = runs[name]
    entrances: list[Callable[[Any], object]] = [
        run.encode,
        run.reconstruct,
        lambda data: run.evaluate(data, n_samples=2),
        lambda data: rp.diagnostics.examine(run, data),
        lambda data: run.encode(DataLoader(TensorDataset(torch.as_tensor(data.copy())))),
    ]
    for entrance in entrances:
        with pytest.raises(ReparamError) as error:
            entrance(given)
        assert "\n" not in str(error.value)
    with pytest.raises(kind, match=says):
        run.encode(given)


def test_a_batch_is_held_to_the_spec_too(runs: dict[str, rp.Run]) -> None:
    grey = torch.from_numpy(GREY).float()
    with pytest.raises(DataError, match="outside support 'unit'"):
        runs["grey"].encode(rp.Batch(grey))
    with pytest.raises(ShapeError, match="channels last"):
        runs["grey"].encode(rp.Batch(grey.movedim(1, -1) / 255))
    assert torch.equal(runs["grey"].encode(rp.Batch(grey / 255)), runs["grey"].encode(GREY))


def test_a_likelihood_of_levels_scores_no_values_between_them(runs: dict[str, rp.Run]) -> None:
    between = torch.full((4, 1, 8, 8), 0.5 / 16)
    assert len(runs["levels"].encode(between)) == 4  # a code of it there is
    with pytest.raises(DataError, match="between two of the 17 levels"):
        runs["levels"].evaluate(between, n_samples=2)
    between = torch.full((4, 1, 6, 4), 0.3)
    for name in ("grey", "shades"):
        with pytest.raises(DataError, match="between two of the 256 levels"):
            runs[name].evaluate(between, n_samples=2)
    model = partial(rp.variants.vae, latent_dim=2, hidden=[5], likelihood="continuous-bernoulli")
    assert fitted(GREY, model).evaluate(between, n_samples=2).elbo is not None


def test_a_data_set_prepared_in_another_way_is_refused(runs: dict[str, rp.Run]) -> None:
    black = rp.data.from_arrays((GREY > 99).astype(np.uint8))
    with pytest.raises(OptionError, match="'data' is binary data of shape"):
        runs["grey"].encode(black, split="train")
    with pytest.raises(DataError, match="outside support 'unit'"):
        runs["shades"].encode(rp.data.from_arrays(GREY.astype(np.float32)), split="train")
    # The values of a narrower support are among those of a wider one.
    shades = rp.data.from_arrays(RNG.random((5, 3)), support="unit")
    assert len(runs["real"].encode(shades, split="train")) == 5


def test_another_scale_of_real_numbers_is_noted(
    runs: dict[str, rp.Run], capsys: pytest.CaptureFixture[str]
) -> None:
    runs["real"].encode(TABLE)
    assert capsys.readouterr().err == ""
    runs["real"].encode(1000 * TABLE + 5000)
    assert "the training data from" in capsys.readouterr().err


# ---------------------------------------------------------------- containers that hold no numbers


SPARSE = scipy.sparse.csr_matrix(TABLE)
FIELDS = np.zeros(4, dtype=[("height", "f4"), ("n", "i4")])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (SPARSE, "toarray"),
        (scipy.sparse.coo_array(TABLE), "toarray"),
        (np.ma.masked_less(TABLE, 0), "masked values"),
        (FIELDS, "structured array with the fields height, n"),
        (FIELDS.view(np.recarray), "structured"),
        (np.array([[1, None]]), "objects"),
        (TABLE.astype(object), "astype"),
        (np.array([["a", "b"]]), "text"),
        (np.array(["2020-01-01"], "datetime64[D]")[:, None], "dates"),
        (np.array([[3]], "timedelta64[s]"), "time spans"),
        (TABLE.astype(np.complex64), "real numbers"),
        (pd.DataFrame({"a": [1.0], "name": ["x"]}), r"no column to learn from.*name: one value"),
        (pl.DataFrame({"a": [None, None]}), "no column to learn from.*all values are missing"),
        (pd.DataFrame({"a": [1.0, None]}), "no column to learn from.*one value beside missing"),
        (pd.DataFrame({"a": ["x", [1]]}), "several types"),
        (pd.DataFrame({"a": ["x", None], "b": [1.0, np.inf]}), "column 'b'.*infinite in row 1"),
        (
            pl.DataFrame({"a": [1.0]}).lazy(),
            r"is a LazyFrame, .*: give \w+\.collect\(\)",
        ),
        (torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged), "nested"),
        (torch.empty(2, 2, device="meta"), "meta"),
        ([[1.0], [2.0]], "list"),
        ({"inputs": TABLE}, "dict"),
    ],
)
def test_what_holds_no_numbers_is_refused_with_what_to_do(given: Any, says: str) -> None:
    for entrance in (rp.data.as_dataset, lambda data: fitted(data)):
        with pytest.raises(ReparamError, match=says) as error:
            entrance(given)
        assert "\n" not in str(error.value)


def test_tables_keep_their_numbers() -> None:
    whole = pd.DataFrame({"a": [3, 1], "b": [0, 7]}, dtype="int64")
    assert rp.data.from_arrays(whole, support="counts").images.tolist() == [[3, 0], [1, 7]]
    mixed = pl.DataFrame({"a": [3, 1], "b": [0.5, -7.0], "c": [True, False]})
    assert rp.data.from_arrays(mixed).images.tolist() == [[3, 0.5, 1], [1, -7, 0]]
    pixels = pd.DataFrame(np.tile(GREY[:, 0, 0], 16))
    assert rp.data.from_arrays(pixels).spec.levels == 256


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "unknown",
    [
        np.array([0, -1, 2, -1]),
        np.array([0, np.nan, 2, -1.0]),
        np.array([0, -1, 2, -1], np.int8),
        torch.tensor([0, -1, 2, -1]),
        pd.Series([0, None, 2, -1], dtype="Int64"),
        pl.Series([0, None, 2, None]),
    ],
)
def test_minus_one_and_nan_are_unknown_labels(unknown: Any) -> None:
    data = rp.data.from_arrays(TABLE[:4], unknown)
    assert data.labels.tolist() == [0, -1, 2, -1]
    assert data.spec.n_classes == 3


def test_no_known_label_is_no_class() -> None:
    data = rp.data.from_arrays(TABLE[:4], np.full(4, -1))
    assert data.spec.n_classes is None
    with pytest.raises(DataError, match="no labels"):
        data.conditioned("label")


def test_unknown_labels_train_a_semi_supervised_model_and_condition_none() -> None:
    x = (RNG.random((24, 1, 4, 4)) < 0.5).astype(np.float32)
    y = np.where(np.arange(24) % 3 == 0, np.arange(24) % 2, -1)
    make = lambda spec: rp.variants.ss_vae(spec, hidden=[5], latent_dim=2)  # noqa: E731
    run = fitted((x, y), make=make)
    result = run.evaluate((x, y), n_samples=2)
    assert result.accuracy is not None  # of the known labels alone
    assert result.accuracy * 8 == pytest.approx(round(result.accuracy * 8))
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=8)
    fitted(loader, make=make)
    conditioned = lambda spec: rp.variants.cvae(spec, hidden=[5], latent_dim=2)  # noqa: E731
    for data in ((x, y), loader):
        with pytest.raises(DataError, match="no label to condition on"):
            fitted(data, make=conditioned)


def test_labels_beyond_the_classes_of_a_model_that_takes_them() -> None:
    x, y = TABLE, np.arange(30) % 3
    run = fitted((x, y), make=lambda s: rp.variants.cvae(s, hidden=[5], latent_dim=2))
    for given in ((x, y + 1), DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y + 1)))):
        with pytest.raises(ReparamError, match="from 0 to 2"):
            run.encode(given)
    plain = fitted((x, y))  # labels are no input of this one
    assert len(plain.encode((x, y + 1))) == 30


# ---------------------------------------------------------------- a recipe and its data


def test_a_recipe_is_trained_on_data_of_its_own_kind() -> None:
    recipe = rp.variants.vae(rp.DataSpec((3,), "unit"), latent_dim=2, hidden=[5])
    with pytest.raises(DataError, match="built for unit data, and 'data' is real"):
        fitted(TABLE, make=lambda spec: recipe)
    recipe = rp.variants.vae(rp.DataSpec((4,), "real"), latent_dim=2, hidden=[5])
    with pytest.raises(DataError, match=r"shape \(4,\), and 'data' has \(3,\)"):
        fitted(TABLE, make=lambda spec: recipe)


def test_a_decoder_by_hand_describes_its_data() -> None:
    def by_hand() -> rp.LatentModel:
        return rp.LatentModel(
            rp.Conditional(rp.nn.MLP(3, 5), rp.families.Gaussian(2)),
            rp.Conditional(rp.nn.MLP(2, 5), rp.families.Bernoulli(3)),
            rp.priors.StandardNormal(2),
        )

    with pytest.raises(SupportError, match="Bernoulli describes binary data, and 'data' is real"):
        quick_fit(by_hand(), TABLE)
    quick_fit(by_hand(), (TABLE > 0).astype(np.float32))


# ---------------------------------------------------------------- channels last


@pytest.mark.parametrize("shape", [(5, 16, 16, 3), (5, 9, 12, 1), (5, 20, 12, 4)])
def test_images_with_the_channels_last_are_recognized(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 256, shape, dtype=np.uint8)
    loader = DataLoader(TensorDataset(torch.from_numpy(x)), batch_size=5)
    for data in (x, loader):
        with pytest.raises(ShapeError, match=r"channels last.*transpose"):
            rp.data.as_dataset(data)
    assert rp.data.from_arrays(x, shape=shape[1:]).shape == shape[1:]
    finding = rp.diagnostics.examine_data(x)["axes"]
    assert finding.severity == "problem"
    assert "channels last" in finding.message


@pytest.mark.parametrize("shape", [(5, 3, 16, 16), (5, 1, 131, 2), (5, 16, 131, 1)])
def test_other_shapes_are_not_taken_for_them(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 256, shape, dtype=np.uint8)
    assert rp.data.as_dataset(x).shape == shape[1:]
    assert rp.diagnostics.examine_data(x)["axes"].severity == "fine"


# ---------------------------------------------------------------- resume


def stopped(out: Path, data: Any) -> None:
    def stop(event: Any) -> None:
        if event.kind == "epoch":
            raise Stop

    with pytest.raises(Stop):
        quick_fit(vae, data, out=out, epochs=2, callbacks=[stop])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (TABLE[:20], "30 in the run, 20 now"),
        (np.concatenate([TABLE, TABLE]), "30 in the run, 60 now"),
        (TABLE[::-1].copy(), "other values"),
        ((TABLE, np.zeros(30, int)), "other"),
    ],
)
def test_a_run_goes_on_with_the_examples_that_it_began_with(
    tmp_path: Path, other: Any, says: str
) -> None:
    stopped(tmp_path / "run", TABLE)
    how: dict[str, Any] = {"out": tmp_path / "run", "epochs": 2, "resume": True}
    with pytest.raises(RunError, match="cannot go on with other") as error:
        quick_fit(vae, other, **how)
    assert isinstance(other, tuple) or says in str(error.value)
    assert quick_fit(vae, TABLE, **how).rows[-1]["step"] == 2


# ---------------------------------------------------------------- loaders


class RandomAffine(torch.utils.data.Dataset[Any]):
    """Items with augmentation out of three generators."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        import random

        noise = random.random() + np.random.rand()  # noqa: NPY002
        return index + torch.rand(2) + noise


@pytest.mark.parametrize("kind", ["plain", "generator", "sampler", "persistent"])
def test_an_epoch_of_a_loader_follows_from_its_number_alone(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    options: dict[str, Any] = {
        "plain": {"shuffle": True},
        "generator": {"shuffle": True, "generator": generator},
        "sampler": {"sampler": RandomSampler(range(12), generator=generator)},
        "persistent": {"shuffle": True, "num_workers": 1, "persistent_workers": True},
    }[kind]
    stream = rp.data.Stream.from_loader(DataLoader(RandomAffine(), batch_size=4, **options))
    state, python = generator.get_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    batches = StreamBatches(stream, seed=1)

    def epoch(number: int, start: int = 0) -> torch.Tensor:
        return torch.cat([batch.x for batch in batches.epoch(number, start)])

    first, second = epoch(0), epoch(1)
    assert not torch.equal(first, second)
    assert torch.equal(epoch(0), first)
    assert torch.equal(epoch(1, start=1), second[4:])
    assert torch.equal(generator.get_state(), state)
    assert np.array_equal(np.random.get_state()[1], python)  # noqa: NPY002


def test_a_run_is_built_again_for_what_its_recipe_was_built_for(tmp_path: Path) -> None:
    black = (TABLE > 0).astype(np.float32)
    recipe = rp.variants.vae(rp.DataSpec((3,), "unit"), latent_dim=2, hidden=[5])
    run = quick_fit(recipe, black, out=tmp_path / "run")
    assert run.spec.support == "unit"
    expected = run.evaluate(black, n_samples=3).elbo
    assert rp.load(tmp_path / "run").evaluate(black, n_samples=3).elbo == expected


def test_a_recipe_knows_how_many_classes_there_are(tmp_path: Path) -> None:
    y = np.arange(30) % 3
    few = rp.DataSpec((3,), "real", n_classes=2, condition="label")
    with pytest.raises(DataError, match="2 classes, and 'data' has 3"):
        rp.fit(rp.variants.cvae(few, latent_dim=2, hidden=[5]), (TABLE, y), progress=False)
    many = rp.DataSpec((3,), "real", n_classes=5, condition="label")
    recipe = rp.variants.cvae(many, latent_dim=2, hidden=[5])
    run = quick_fit(recipe, (TABLE, y), out=tmp_path / "run")
    loaded = rp.load(tmp_path / "run")
    assert torch.equal(loaded.encode((TABLE, y)), run.encode((TABLE, y)))
    assert loaded.sample(2, label=4).shape == (2, 3)


def test_booleans_are_black_and_white_whatever_the_training_data_were(
    runs: dict[str, rp.Run],
) -> None:
    data = rp.data.load("digits", binarize="dynamic")
    run = fitted(data)
    black = data.split("test").x >= 8
    expected = run.encode(black.float())
    assert torch.equal(run.encode(black), expected)
    assert torch.equal(run.encode(black.numpy()), expected)
    with pytest.raises(DataError, match="bytes 0 and 1 only"):
        run.encode(black.to(torch.uint8))
    grey = GREY > 99
    assert torch.equal(runs["shades"].encode(grey), runs["shades"].encode(grey.astype(float)))
    assert len(runs["shades"].encode(np.zeros((1, 1, 6, 4), np.uint8))) == 1  # black either way
    assert rp.data.from_arrays(grey, support="unit").examples().x.max() == 1


def test_labels_and_conditions_of_a_batch_are_checked() -> None:
    x, y = torch.from_numpy(TABLE), torch.arange(30) % 3
    run = fitted((x, y), make=lambda s: rp.variants.cvae(s, latent_dim=2, hidden=[5]))
    c = torch.nn.functional.one_hot(y, 3).float()
    expected = run.encode((x, y))
    assert torch.allclose(run.encode(rp.Batch(x, y, c)), expected)
    assert torch.allclose(run.encode(rp.Batch(x, y, c.long())), expected)
    for batch, says in (
        (rp.Batch(x, y + 1, c), "from 0 to 2"),
        (rp.Batch(x, y[:4], c), "one label per example"),
        (rp.Batch(x, y, c * torch.nan), "90 NaN"),
        (rp.Batch(x, y, c[:, :2]), "3 numbers for each example"),
    ):
        with pytest.raises(ReparamError, match=says):
            run.encode(batch)


@pytest.mark.parametrize(
    ("spec", "x", "y", "says"),
    [
        (rp.DataSpec((3,), "unit"), 255 * torch.rand(8, 3) + 1, None, "outside support 'unit'"),
        (rp.DataSpec((3,), "real"), torch.full((8, 3), torch.nan), None, "24 NaN"),
        (rp.DataSpec((4,), "real"), torch.rand(8, 3), None, r"shape \(3,\)"),
        (rp.DataSpec((3,), "real", n_classes=2), torch.rand(8, 3), torch.arange(8), "from 0 to 1"),
    ],
)
def test_a_data_set_by_hand_is_held_to_its_spec(
    spec: rp.DataSpec, x: torch.Tensor, y: torch.Tensor | None, says: str
) -> None:
    data = rp.data.Dataset("mine", spec, {"train": rp.data.Split(x, y)})
    with pytest.raises(ReparamError, match=says):
        rp.fit(rp.variants.vae(spec, latent_dim=2, hidden=[5]), data, progress=False)


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be " * 20, encoding="utf-8")
    (tmp_path / "b.txt").write_text("that is the question: " * 20, encoding="utf-8")
    data = rp.data.load("text", path=tmp_path / "a.txt", window=8)
    run = fitted(data, make=lambda s: rp.variants.text_vae(s, latent_dim=2, width=8))
    other = rp.data.load("text", path=tmp_path / "b.txt", window=8)
    with pytest.raises(OptionError, match="numbers its characters in another way"):
        run.encode(other)
    assert len(run.encode(run.dataset(path=tmp_path / "b.txt"))) > 0


def test_flattened_images_keep_the_order_of_training() -> None:
    run = fitted(RNG.random((20, 12)))
    with pytest.raises(ShapeError, match="flatten them in the order"):
        run.encode(RNG.random((5, 2, 2, 3)))
    assert len(run.encode(RNG.random((5, 3, 2, 2)))) == 5


def test_a_loader_may_give_flat_batches(runs: dict[str, rp.Run]) -> None:
    flat = torch.from_numpy(GREY).reshape(30, -1)
    loader = DataLoader(TensorDataset(flat), batch_size=7)
    assert torch.equal(runs["grey"].encode(loader), runs["grey"].encode(GREY))


def test_labels_may_be_a_list_or_masked() -> None:
    y = np.ma.masked_equal(np.array([0, 9, 1, 0]), 9)
    assert rp.data.from_arrays(TABLE[:4], y).labels.tolist() == [0, -1, 1, 0]
    assert rp.data.as_dataset((TABLE[:4], [0, 1, 1, 0])).spec.n_classes == 2
    assert rp.data.as_dataset((TABLE[:4], None)).labels is None


def test_a_transform_of_ones_own_prepares_bytes_too(tmp_path: Path) -> None:
    class Tenth:
        def __call__(self, raw: torch.Tensor, generator: Any = None) -> torch.Tensor:
            return raw / 2550

    spec = rp.DataSpec((24,), "unit")
    stored = torch.from_numpy(GREY).reshape(30, 24)
    data = rp.data.Dataset("mine", spec, {"train": rp.data.Split(stored)}, Tenth())
    run = fitted(data, out=tmp_path / "run")
    assert torch.equal(run.encode(stored), run.encode(stored / 2550))
    loaded = rp.load(tmp_path / "run")
    assert torch.equal(loaded.encode(stored / 2550), run.encode(stored / 2550))
    with pytest.raises(DataError, match="transform of your own"):
        loaded.encode(stored)


def test_a_loader_of_other_batches_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def loader(x: Any, size: int = 10) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.as_tensor(x)), batch_size=size)

    stopped(tmp_path / "run", loader(TABLE))
    how: dict[str, Any] = {"out": tmp_path / "run", "epochs": 2, "resume": True}
    with pytest.raises(RunError, match="batches in an epoch: 3 in the run, 2 now"):
        quick_fit(vae, loader(TABLE, 15), **how)
    capsys.readouterr()
    quick_fit(vae, loader(TABLE[::-1].copy()), **how)
    assert "began with other batches" in capsys.readouterr().err


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog", "cat"],
        np.array(["cat", "dog", "cat"]),
        np.array(["cat", None, "dog"], object),
        pd.Series(["cat", "dog", "cat"]),
        pl.Series(["cat", "dog", "cat"]),
    ],
)
def test_names_of_classes_are_to_be_numbered(names: Any) -> None:
    with pytest.raises(DataError, match=r"labels such as 'cat'.*return_inverse"):
        rp.data.from_arrays(TABLE[:3], names)


def test_none_is_an_unknown_label() -> None:
    assert rp.data.from_arrays(TABLE[:4], [0, 1, None, 1]).labels.tolist() == [0, 1, -1, 1]
    objects = np.array([2, np.nan, 0, None], object)
    assert rp.data.from_arrays(TABLE[:4], objects).labels.tolist() == [2, -1, 0, -1]


def test_a_shape_in_another_order_is_no_reshape() -> None:
    x = RNG.integers(0, 256, (5, 16, 12, 3), dtype=np.uint8)
    with pytest.raises(ShapeError, match="same axes in another order"):
        rp.data.from_arrays(x, shape=(3, 16, 12))
    assert rp.data.from_arrays(x.reshape(5, -1), shape=(3, 16, 12)).shape == (3, 16, 12)


def test_runs_are_compared_and_not_their_paths() -> None:
    with pytest.raises(OptionError, match=r"a str is no run: .*load"):
        rp.compare(["runs/a", "runs/b"])  # type: ignore[list-item]


def test_corrupted_examples_may_lie_outside_the_support(runs: dict[str, rp.Run]) -> None:
    noisy = torch.from_numpy(GREY) / 255 + 0.5
    expected = runs["grey"].denoise(rp.Batch(noisy))
    assert torch.equal(runs["grey"].denoise(noisy), expected)
    assert torch.equal(runs["grey"].denoise(noisy.numpy().reshape(30, -1)), expected)
    with pytest.raises(DataError, match="720 NaN"):
        runs["grey"].denoise(noisy * torch.nan)


@pytest.mark.parametrize("temperature", [1e7, 1e39, 1e300])
def test_a_temperature_has_a_measure(runs: dict[str, rp.Run], temperature: float) -> None:
    with pytest.raises(OptionError, match=r"temperature=1.*must be at most 1e"):
        runs["real"].sample(3, temperature=temperature)
