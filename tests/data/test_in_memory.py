"""The user's own data: arrays, torch data sets and loaders."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

import reparam as rp
from reparam.data import Stream, StreamBatches, as_dataset, from_arrays, load
from reparam.data.stream import N_LOOKED_AT
from reparam.errors import DataError, OptionError, ReparamError, ShapeError

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- from_arrays


@pytest.mark.parametrize(
    ("x", "support", "levels"),
    [
        (RNG.integers(0, 256, (9, 64), dtype=np.uint8), "unit", 256),
        (RNG.integers(0, 256, (9, 64)) / 255, "unit", 256),
        # Of a short row bytes are numbers, and a share is none of 256 levels.
        (RNG.integers(0, 256, (9, 4), dtype=np.uint8), "real", None),
        (RNG.integers(0, 6, (9, 4)) / 5, "real", None),
        (RNG.integers(0, 2, (9, 4), dtype=np.uint8), "binary", None),
        (RNG.random((9, 4)) < 0.5, "binary", None),
        (RNG.random((9, 4)).round(), "binary", None),
        (RNG.integers(0, 2, (9, 4)), "binary", None),
        (RNG.random((9, 4)), "real", None),
        (RNG.random((9, 4), dtype=np.float32), "real", None),
        (RNG.normal(size=(9, 4)), "real", None),
        (RNG.random((9, 4)) * 255, "real", None),
        (torch.rand(9, 4, dtype=torch.float16), "real", None),
    ],
)
def test_support_is_the_smallest_that_holds_the_values(
    x: np.ndarray, support: str, levels: int | None
) -> None:
    for values in (x, torch.as_tensor(x)):
        data = from_arrays(values)
        assert (data.support, data.spec.levels, data.shape) == (support, levels, x.shape[1:])
        got = data.examples("train").x
        assert got.dtype == torch.float32
        expected = np.asarray(x, np.float64) / (255 if x.dtype == np.uint8 and levels else 1)
        assert np.allclose(got.numpy(), expected, atol=1e-6)


def test_integers_with_a_said_support() -> None:
    x = RNG.integers(0, 7, (50, 3))
    x[0] = 6
    counts = from_arrays(x, support="counts")
    assert (counts.support, counts.spec.levels) == ("counts", None)
    categorical = from_arrays(x, support="categorical")
    assert (categorical.support, categorical.spec.levels) == ("categorical", 7)
    for data in (counts, categorical):
        assert data.examples().x.dtype == torch.float32
        assert data.examples().x.tolist() == x.tolist()


def test_splits_labels_and_shape() -> None:
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    y = np.arange(10) % 3
    data = from_arrays(x, y, test=(x[:2], y[:2]), validation=0.3, shape=(1, 2, 2), name="mine")
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 7, "validation": 3, "test": 2}
    assert (data.spec.n_classes, data.shape, data.name) == (3, (1, 2, 2), "mine")
    assert data.options is None
    for split in data.splits.values():  # labels stay with their examples
        assert split.y.tolist() == [int(v) // 4 % 3 for v in split.x[:, 0, 0, 0]]
    assert from_arrays(x, y, n_classes=5).spec.n_classes == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[::-1],
        lambda x: x.astype(">f8"),
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(np.longdouble),
        lambda x: torch.tensor(x, requires_grad=True),
    ],
)
def test_unusual_memory(change: Callable[[np.ndarray], np.ndarray]) -> None:
    x = change(RNG.normal(size=(5, 3)))
    expected = x.detach().numpy() if isinstance(x, Tensor) else x
    assert np.allclose(from_arrays(x).images.numpy(), expected.astype(np.float64), atol=1e-6)


def test_read_only_arrays_are_taken_without_a_warning() -> None:
    x = RNG.normal(size=(5, 3)).astype(np.float32)
    x.flags.writeable = False
    assert from_arrays(x).images.tolist() == x.tolist()


def with_nan() -> np.ndarray:
    x = np.ones((6, 3))
    x[2, 1] = np.nan
    x[4, 0] = np.inf
    return x


ONES = np.ones((6, 3))


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda: from_arrays(with_nan()), DataError, ["2 NaN", "(2, 1)", "replace them"]),
        (lambda: from_arrays(ONES * 1e300), DataError, ["18 NaN or infinite"]),
        (
            lambda: from_arrays(ONES * 255.0, support="unit"),
            DataError,
            ["from 255 to 255", "in [0, 1]", "divide x by 255", "uint8"],
        ),
        (lambda: from_arrays(-ONES, support="unit"), DataError, ["-1", "support='real'"]),
        (lambda: from_arrays(ONES / 2, support="binary"), DataError, ["0 or 1", "threshold"]),
        (lambda: from_arrays(ONES * 9, support="binary"), DataError, ["binarize x"]),
        (lambda: from_arrays(-ONES, support="counts"), DataError, ["0, 1, 2"]),
        (lambda: from_arrays(ONES / 2, support="categorical"), DataError, ["round x"]),
        (
            lambda: from_arrays(ONES.astype(np.int64) * 300),
            DataError,
            ["300", "support='counts'", "support='categorical'"],
        ),
        (lambda: from_arrays(np.zeros((0, 3))), DataError, ["(0, 3)", "at least one"]),
        (lambda: from_arrays(np.zeros((3, 0))), DataError, ["(3, 0)"]),
        (lambda: from_arrays(np.zeros(3)), ShapeError, ["(3,)", "(N, 1)"]),
        (lambda: from_arrays(np.float64(3)), ShapeError, ["()"]),
        (lambda: from_arrays(ONES, shape=(1, 2, 2)), ShapeError, ["(1, 2, 2)", "change shape"]),
        (lambda: from_arrays(ONES, test=ONES[:, :2]), ShapeError, ["(3,)", "(2,)"]),
        (
            lambda: from_arrays(ONES, test=ONES.astype(np.uint8)),
            ShapeError,
            ["float32", "uint8", "convert"],
        ),
        (lambda: from_arrays(ONES, test=ONES * 3, support="unit"), DataError, ["test x"]),
        (lambda: from_arrays(ONES, support="unitt"), OptionError, ["'unit'"]),
        (lambda: from_arrays(ONES, validation=6), OptionError, ["validation=6"]),
        (lambda: from_arrays(np.array([["a"]])), DataError, ["<U1", "convert"]),
        (lambda: from_arrays(np.array([[None]])), DataError, ["object"]),
        (lambda: from_arrays(torch.ones(2, 2).to_sparse()), DataError, ["sparse"]),
        (lambda: from_arrays(torch.ones(2, 2) * 1j), DataError, ["complex"]),
        (lambda: from_arrays(ONES, np.zeros(5, int)), DataError, ["(5,)", "6 examples", "(6,)"]),
        (lambda: from_arrays(ONES, np.zeros((6, 1), int)), DataError, ["(6, 1)"]),
        (lambda: from_arrays(ONES, np.arange(6) - 2), DataError, ["y[0] is -2", "-1 where"]),
        (lambda: from_arrays(ONES, np.arange(6) / 2), DataError, ["y[1] is 0.5", "integers"]),
        (lambda: from_arrays(ONES, np.arange(6) * 10**6), DataError, ["5000000", "n_classes"]),
        (lambda: from_arrays(ONES, np.full(6, np.inf)), DataError, ["y[0] is inf"]),
        (lambda: from_arrays(ONES, np.array(list("abcdef"))), DataError, ["'a'", "return_inverse"]),
        (
            lambda: from_arrays(ONES, np.arange(6), n_classes=4),
            DataError,
            ["y[4] is 4", "from 0 to 3"],
        ),
        (lambda: from_arrays(ONES, test=(ONES, np.zeros(2, int))), DataError, ["test y"]),
        (lambda: as_dataset([[1.0, 2.0]]), DataError, ["list", "tensor or array", "DataLoader"]),
        (lambda: as_dataset("mnist"), DataError, ["no file", "data.load('mnist')"]),
        (lambda: as_dataset((ONES, None, ONES, ONES)), DataError, ["tuple"]),
        (lambda: as_dataset(Items([])), DataError, ["0 items"]),
        (lambda: as_dataset(Items([{"image": 1}])), DataError, ["dict", "item 0"]),
        (lambda: as_dataset(Items([ONES[0], ONES[0, :2]])), DataError, ["item 1", "(2,)", "crop"]),
        (
            lambda: as_dataset(Items([(ONES[0], 1), ONES[0]])),
            DataError,
            ["1 of 2 items"],
        ),
        (lambda: as_dataset(DataLoader(Items([]))), DataError, ["0 batches"]),
        (lambda: as_dataset(DataLoader(Endless())), DataError, ["no length", "__len__"]),
        (lambda: as_dataset(DataLoader(Items([{"image": 1}]))), DataError, ["dict", "collate_fn"]),
        (lambda: as_dataset(DataLoader(Items([with_nan()[2]]))), DataError, ["1 NaN"]),
    ],
)
def test_bad_data_is_refused_in_one_sentence(
    make: Callable[[], object], kind: type[ReparamError], says: list[str]
) -> None:
    with pytest.raises(kind) as error:
        make()
    message = str(error.value)
    assert "\n" not in message
    assert ". " not in message
    for text in says:
        assert text in message


# ---------------------------------------------------------------- torch data sets


class Items(TorchDataset[object]):
    """A map-style data set of the items given."""

    def __init__(self, items: list[object]) -> None:
        self.items = items

    def __getitem__(self, index: int) -> object:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


class Endless(IterableDataset[Tensor]):
    """An iterable data set without a length."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter([torch.zeros(2), torch.ones(2)])


def test_everything_that_fit_takes() -> None:
    x, y = RNG.normal(size=(8, 3)).astype(np.float32), np.arange(8) % 2
    named = load("digits")
    assert as_dataset(named) is named
    for data in (
        (x, y),
        (torch.tensor(x), torch.tensor(y)),
        TensorDataset(torch.tensor(x), torch.tensor(y)),
        Items([(x[i], int(y[i])) for i in range(8)]),
        Subset(TensorDataset(torch.tensor(x), torch.tensor(y)), range(8)),
        Items([(torch.tensor(x[i]), torch.tensor(y[i])) for i in range(8)]),
    ):
        got = as_dataset(data)
        assert got.images.tolist() == x.tolist()
        assert got.labels.tolist() == y.tolist()
        assert got.spec.n_classes == 2
    part = Subset(TensorDataset(torch.tensor(x)), range(8))
    for data in (x, torch.tensor(x), TensorDataset(torch.tensor(x)), Items(list(x)), part):
        got = as_dataset(data)
        assert got.images.tolist() == x.tolist()
        assert got.labels is None
    assert as_dataset(Endless()).images.tolist() == [[0, 0], [1, 1]]


def test_a_torch_dataset_of_pictures() -> None:
    image = pytest.importorskip("PIL.Image")
    pictures = [image.fromarray(np.full((4, 4), 50 * i, np.uint8)) for i in range(4)]
    data = as_dataset(Items([(p, i) for i, p in enumerate(pictures)]))
    assert (data.shape, data.support, data.spec.levels) == ((1, 4, 4), "unit", 256)
    assert data.images[:, 0, 0, 0].tolist() == [0, 50, 100, 150]


# ---------------------------------------------------------------- loaders


class Noisy(TorchDataset[tuple[Tensor, int]]):
    """Items with random augmentation, as image pipelines have."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(3) / 2, index % 4

    def __len__(self) -> int:
        return 22


def values(batches: Iterator[object]) -> list[list[list[float]]]:
    return [b.x.tolist() for b in batches]


def test_a_loader_is_a_stream() -> None:
    before = torch.get_rng_state()
    stream = as_dataset(DataLoader(Noisy(), batch_size=5, shuffle=True))
    batches = StreamBatches(stream, seed=1)
    assert (stream.support, stream.shape, stream.spec.n_classes) == ("real", (3,), 4)
    assert (len(batches), batches.n_examples) == (5, 22)
    first, second = values(batches.epoch(0)), values(batches.epoch(1))
    assert [len(x) for x in first] == [5, 5, 5, 5, 2]
    assert first != second  # the augmentation is drawn anew
    assert first == values(batches.epoch(0))
    assert torch.equal(torch.get_rng_state(), before)  # and from a stream of its own


def test_a_stream_taken_up_in_the_middle_goes_on_exactly() -> None:
    stream = as_dataset(DataLoader(Noisy(), batch_size=5, shuffle=True))
    whole = values(StreamBatches(stream).epoch(3))
    torch.manual_seed(99)
    assert values(StreamBatches(stream).epoch(3, start=2)) == whole[2:]


def test_a_stream_of_uint8_is_scaled() -> None:
    x = torch.arange(256, dtype=torch.uint8).repeat(16).reshape(64, 64)
    stream = as_dataset(DataLoader(TensorDataset(x), batch_size=64))
    assert (stream.support, stream.spec.levels) == ("unit", 256)
    assert torch.equal(stream.examples(limit=9).x, x[:9].float() / 255)
    assert len(stream.examples()) == 64
    with pytest.raises(OptionError):
        stream.examples("test")


def test_a_stream_checks_every_batch() -> None:
    n = 4 * (N_LOOKED_AT + 2)  # two batches more than what the spec is read off
    x = torch.full((n, 64), 0.5)
    x[-2, 1] = 7.0
    y = (torch.arange(n) >= n - 4).long() * 4
    loader = DataLoader(TensorDataset(x, y.clamp(max=3)), batch_size=4)
    stream = as_dataset(loader)
    assert (stream.support, stream.spec.n_classes) == ("unit", 1)
    batches = StreamBatches(Stream.from_loader(loader, n_classes=4)).epoch(0)
    assert len([next(batches) for _ in range(N_LOOKED_AT + 1)]) == N_LOOKED_AT + 1
    with pytest.raises(DataError, match="outside support 'unit'"):
        next(batches)
    x[-2, 1] = 0.5
    batches = StreamBatches(
        Stream.from_loader(DataLoader(TensorDataset(x, y), batch_size=4), n_classes=4)
    )
    with pytest.raises(DataError, match=r"is 4: labels must be integers from 0 to 3"):
        list(batches.epoch(0))


def test_a_stream_is_seen_over_several_batches() -> None:
    x = torch.zeros(12, 2)  # a first batch of zeros says little
    x[5], x[9] = 0.5, -3.0
    y = torch.tensor([-1] * 4 + [0] * 4 + [6] * 4)
    stream = as_dataset(DataLoader(TensorDataset(x, y), batch_size=4))
    assert (stream.support, stream.spec.n_classes) == ("real", 7)
    bytes_ = (torch.arange(12)[:, None] * 20).to(torch.uint8).repeat(1, 64)
    bytes_[:4] = 0
    stream = as_dataset(DataLoader(TensorDataset(bytes_), batch_size=4))
    assert (stream.support, stream.spec.levels) == ("unit", 256)
    assert torch.equal(stream.examples().x, bytes_.float() / 255)


def test_a_stream_of_tokens_ends_at_the_last() -> None:
    n = N_LOOKED_AT + 1
    x = torch.zeros(n, 3, dtype=torch.long)
    x[0], x[-1] = 4, 5
    loader = DataLoader(TensorDataset(x), batch_size=1)
    stream = Stream.from_loader(loader, support="tokens")
    with pytest.raises(DataError, match=r"is 5: the model has 5 values, from 0 to 4"):
        stream.examples()


def test_a_stream_is_conditioned_on_its_labels() -> None:
    stream = as_dataset(DataLoader(Noisy(), batch_size=5))
    batch = next(StreamBatches(stream.conditioned("label")).epoch(0))
    assert batch.c.argmax(1).tolist() == batch.y.tolist()
    bare = as_dataset(DataLoader(torch.rand(6, 2)))
    with pytest.raises(DataError, match="no labels"):
        StreamBatches(bare.conditioned("label"))


def test_later_tables_are_matched_by_the_names_of_their_columns(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [0.1, 2.0, 3.3], "b": [10.0, 30.5, 20.0], "y": ["u", "v", "u"]})
    data = rp.data.from_arrays(table, "y", test=table[["y", "b", "a"]])
    assert data.spec.columns == ("a", "b")
    assert torch.equal(data.splits["test"].x, data.splits["train"].x)
    assert rp.DataSpec.from_dict(data.spec.to_dict()) == data.spec
    run = rp.fit(rp.variants.vae, data, epochs=1, progress=False, out=tmp_path / "run")
    expected = run.encode(table[["a", "b"]].to_numpy())
    for found in (run, rp.load(tmp_path / "run")):
        assert torch.equal(found.encode(table[["b", "a"]]), expected)
        assert torch.equal(found.encode(table), expected)  # further columns are left out
    with pytest.raises(DataError, match="x lacks the column 'b', and has a, c"):
        run.encode(table.rename(columns={"b": "c"})[["a", "c"]])
    other = rp.data.from_arrays(table[["b", "a"]])
    with pytest.raises(OptionError, match="trained on a, b: give the same in the same order"):
        run.encode(other, split="train")
    recipe = rp.variants.vae(data.spec)
    with pytest.raises(DataError, match="built for the columns a, b, and 'data' has b, a"):
        rp.fit(recipe, other, epochs=1, progress=False)


def test_a_column_that_float32_cannot_hold_is_refused() -> None:
    """Seconds of one hour: the spacing of float32 is 128 seconds there."""
    seconds = 1.6e9 + np.arange(50.0)
    rows = np.column_stack([np.arange(50.0) / 7, seconds])
    with pytest.raises(DataError, match=r"column 1 of x: .* subtract 1600000000.0 from them"):
        rp.data.from_arrays(rows)
    with pytest.raises(DataError, match="column 'time' of x"):
        rp.data.from_arrays(pd.DataFrame(rows, columns=["a", "time"]))
    with pytest.raises(DataError, match="column 0 of x"):
        rp.data.from_arrays(np.arange(10.0)[:, None] * 1e-300)
    rows[:, 1] -= rows[0, 1]
    assert rp.data.from_arrays(rows).support == "real"
    year = np.column_stack([1.6e9 + 1e6 * np.arange(50.0), np.full(50, 0.1)])
    assert rp.data.from_arrays(year).support == "real"


def test_scaled_columns_are_real_and_pixels_are_intensities() -> None:
    """Columns between 0 and 1 have a scale each, pixels have one unit."""
    assert from_arrays(RNG.random((9, 63))).support == "real"
    assert from_arrays(RNG.random((9, 64))).support == "unit"
    assert from_arrays(RNG.random((9, 1, 4, 4))).support == "unit"
    names = [f"c{i}" for i in range(100)]
    assert from_arrays(pd.DataFrame(RNG.random((9, 100)), columns=names)).support == "real"
    recipe = rp.variants.vae(rp.DataSpec((3,), "unit"), latent_dim=2, hidden=[4])
    run = rp.fit(recipe, RNG.random((20, 3)), steps=1, progress=False)
    assert run.spec.support == "unit"


def test_bytes_that_are_black_and_white_are_binary() -> None:
    x = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (20, 8, 8))
    data = rp.data.from_arrays(x)
    assert (data.spec.support, data.spec.shape) == ("binary", (1, 8, 8))
    examples = data.examples("train").x
    expected = torch.from_numpy(x)[:, None]
    order = [int((expected == 255 * each).flatten(1).all(1).nonzero()[0]) for each in examples]
    assert sorted(order) == list(range(20))
    run = rp.fit(rp.variants.vae, data, steps=2, progress=False)
    assert torch.equal(run.encode(x), run.encode((x > 0)[:, None]))
    x[0, 0, 0] = 7
    assert rp.data.from_arrays(x).spec.levels == 256
