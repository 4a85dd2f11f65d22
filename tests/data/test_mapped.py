"""Files larger than memory: mapped, checked in one pass, and shuffled by blocks."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import reparam as rp
from reparam.data import Batches, Dataset, Split, from_arrays, load_array
from reparam.data import blocks as blocks_module
from reparam.data import mapped as mapped_module
from reparam.data.blocks import BlockOrder, order_of
from reparam.data.mapped import Mapped, header_of
from reparam.data.preparation import fingerprint
from reparam.errors import DataError, OptionError, ReparamError, RunError
from reparam.utils.seeding import random_rows
from tests.support import Stop, fit_until, require_exact_resume, sentence

RNG = np.random.default_rng(0)
N = 500


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 4 bytes are read in blocks of 7, and buffers of 5 blocks."""
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 4 * 7)
    monkeypatch.setattr(blocks_module, "BUFFER_BYTES", 4 * 35)
    monkeypatch.setattr(mapped_module, "CHUNK_BYTES", 4 * 64)


def saved(folder: Path, x: NDArray[Any], name: str = "x.npy") -> Path:
    np.save(folder / name, x)
    return folder / name


def numbered(n: int = N) -> NDArray[np.uint8]:
    """Return rows of four bytes that hold the number of the row in base 256, with shape (n, 4)."""
    return np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 4)


def numbers_of(x: Tensor) -> list[int]:
    """Return the numbers of rows that ``numbered`` made."""
    digits = x.round().long()
    return (digits * 256 ** torch.arange(4)).sum(1).tolist()


def numbered_batches(folder: Path, size: int = 16, **options: Any) -> Batches:
    file = folder / "x.npy"
    data = load_array(
        file if file.exists() else saved(folder, numbered()),
        mapped=True,
        test_share=0.0,
        validation=0,
    )
    return Batches(data.split("train"), data.transform, size, **options)


# ---------------------------------------------------------------- the order


@pytest.mark.parametrize(
    ("n", "block", "n_blocks"), [(1, 1, 1), (100, 7, 3), (99, 200, 2), (64, 4, 4)]
)
def test_an_order_covers_each_row_once_in_bounded_buffers(
    n: int, block: int, n_blocks: int
) -> None:
    order = BlockOrder(n, block, n_blocks)
    for epoch in range(3):
        buffers = order.buffers(epoch)
        places = [place for parts in buffers for part in parts for place in part]
        assert sorted(places) == list(range(n))
        assert max(len(part) for parts in buffers for part in parts) <= block
        assert max(map(len, buffers)) <= n_blocks
        for number, parts in enumerate(buffers):
            n_rows = sum(map(len, parts))
            assert sorted(order.within(epoch, number, n_rows).tolist()) == list(range(n_rows))


def test_orders_differ_by_seed_and_epoch() -> None:
    made = [BlockOrder(100, 7, 3, seed).buffers(epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(a != b for i, a in enumerate(made) for b in made[:i])
    assert BlockOrder(100, 7, 3, 1).buffers(1) == made[3]


def test_blocks_and_buffers_have_their_size(tmp_path: Path) -> None:
    mapped = header_of(saved(tmp_path, np.zeros((N, 4), np.uint8)))
    assert order_of(mapped, 3) == BlockOrder(N, block=7, n_blocks=5, seed=3)
    wide = header_of(saved(tmp_path, np.zeros((9, 1000), np.uint8), "wide.npy"))
    assert order_of(wide, 0) == BlockOrder(9, block=1, n_blocks=1)


def test_the_batches_of_an_epoch_hold_each_row_once(tmp_path: Path) -> None:
    batches = numbered_batches(tmp_path)
    epochs = [[numbers_of(batch.x) for batch in batches.epoch(epoch)] for epoch in (0, 0, 1)]
    for found in epochs:
        assert [len(each) for each in found] == [16] * 31 + [4]
        assert sorted(number for each in found for number in each) == list(range(N))
    assert epochs[0] == epochs[1] != epochs[2]


def test_the_order_is_that_of_the_docstring(tmp_path: Path) -> None:
    """The epoch is the permuted rows of buffer 0, then those of buffer 1, and so on."""
    batches = numbered_batches(tmp_path, seed=2)
    order = BlockOrder(N, 7, 5, seed=2)
    expected: list[int] = []
    for number, parts in enumerate(order.buffers(epoch=4)):
        rows = [row for part in parts for row in part]
        expected += [rows[place] for place in order.within(4, number, len(rows)).tolist()]
    assert [n for batch in batches.epoch(4) for n in numbers_of(batch.x)] == expected


@pytest.mark.parametrize("start", [0, 1, 2, 7, 30, 31])
def test_an_epoch_goes_on_at_any_batch_without_reading_what_was_before(
    tmp_path: Path, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = numbered_batches(tmp_path)
    whole = [numbers_of(batch.x) for batch in batches.epoch(3)]
    n_read = 0
    read = Mapped.read

    def counted(self: Mapped, parts: list[range], x: Tensor) -> Tensor:
        nonlocal n_read
        n_read += sum(map(len, parts))
        return read(self, parts, x)

    monkeypatch.setattr(Mapped, "read", counted)
    assert [numbers_of(batch.x) for batch in batches.epoch(3, start)] == whole[start:]
    n_left = N - start * batches.size
    assert n_left <= n_read < n_left + 35


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_batches_of_one_process(tmp_path: Path, world_size: int) -> None:
    alone = numbered_batches(tmp_path, size=18)
    shared = [
        numbered_batches(tmp_path, size=18, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for whole, *parts in zip(alone.epoch(1), *(each.epoch(1) for each in shared), strict=True):
        found = [numbers_of(part.x) for part in parts]
        lengths = [len(each) for each in found]
        assert max(lengths) - min(lengths) <= 1
        assert sorted(number for part in found for number in part) == sorted(numbers_of(whole.x))


def test_labels_and_labeled_extras_stay_beside_their_rows(tmp_path: Path) -> None:
    y = torch.where(torch.arange(N) % 50 == 0, torch.arange(N), -1)
    data = load_array(saved(tmp_path, numbered()), mapped=True, test_share=0.0, validation=0)
    split = replace(data.split("train"), y=y)
    plain = Batches(split, data.transform, 20)
    extra = Batches(split, data.transform, 20, repeat_labeled=True)
    for one, two in zip(plain.epoch(0), extra.epoch(0), strict=True):
        assert one.y is not None
        assert two.y is not None
        assert one.y.tolist() == [n if n % 50 == 0 else -1 for n in numbers_of(one.x)]
        assert torch.equal(two.x[:20], one.x)
        assert two.y[20:].tolist() == numbers_of(two.x[20:])
        assert len(two) == 25


def test_without_shuffling_batches_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    batches = numbered_batches(tmp_path, shuffle=False)
    assert [n for batch in batches.epoch(0) for n in numbers_of(batch.x)] == list(range(N))
    assert batches.indexed() is None


# ---------------------------------------------------------------- held-out rows


def test_held_out_rows_are_not_trained_on_and_no_row_is_lost(tmp_path: Path) -> None:
    data = load_array(saved(tmp_path, numbered()), mapped=True, validation=0.2, seed=1)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 360, "validation": 90, "test": 50}
    assert [data.splits[name].mapped is not None for name in ("train", "validation", "test")] == [
        True,
        False,
        False,
    ]
    train = Batches(data.split("train"), data.transform, 16)
    trained = [n for batch in train.epoch(0) for n in numbers_of(batch.x)]
    # What a slice of the mapping says is what is read from the file.
    assert sorted(trained) == sorted(numbers_of(data.examples("train").x))
    held = [n for name in ("validation", "test") for n in numbers_of(data.examples(name).x)]
    assert sorted(trained + held) == list(range(N))
    assert np.array_equal(np.load(tmp_path / "x.npy"), numbered())  # the file is not written to
    assert "90 for validation and 50 for test" in data.notes[0]


def test_taking_rows_apart_leaves_the_first_data_as_they_were(tmp_path: Path) -> None:
    data = load_array(saved(tmp_path, numbered()), mapped=True)
    before = data.examples("train").x
    data.with_validation(0.5)
    assert torch.equal(data.examples("train").x, before)


def test_at_most_so_many_rows_are_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reparam.data.dataset.MOST_HELD", 20)
    data = load_array(saved(tmp_path, numbered()), mapped=True, validation=100)
    assert (len(data.split("test")), len(data.split("validation"))) == (20, 20)
    assert data.options is not None
    assert rp.data.load(**data.options) == data


def test_some_rows_are_taken_without_a_permutation_of_all() -> None:
    few = random_rows(100, 10, seed=0)
    assert torch.equal(few, torch.randperm(100, generator=torch.Generator().manual_seed(0))[:10])
    many = random_rows(10**15, 1000, seed=0)
    assert len(many.unique()) == 1000
    # The mean of uniform numbers in [0, 1) is 1/2, with a standard error of 1/sqrt(12 n).
    assert abs(float((many / 1e15).mean()) - 0.5) < 4 / (12 * 1000) ** 0.5


# ---------------------------------------------------------------- the same values as in memory

KINDS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "bytes": (RNG.integers(0, 256, (N, 64), dtype=np.uint8), {}),
    "bytes of a table": (RNG.integers(0, 256, (N, 4), dtype=np.uint8), {}),
    "images": (RNG.integers(0, 256, (N, 2, 2), dtype=np.uint8), {}),
    "bits": (RNG.integers(0, 2, (N, 4), dtype=np.uint8), {}),
    "booleans": (RNG.random((N, 4)) < 0.5, {}),
    "float64": (RNG.normal(size=(N, 4)), {}),
    "float16": (RNG.normal(size=(N, 4)).astype(np.float16), {}),
    "float32": (RNG.normal(size=(N, 4)).astype(np.float32), {}),
    "levels": (RNG.integers(0, 256, (N, 64)) / 255, {}),
    "shares": (RNG.integers(0, 6, (N, 4)) / 5, {}),
    "row of a table": (RNG.random((N, 4)), {}),
    "unit": (RNG.random((N, 4)), {"support": "unit"}),
    "counts": (RNG.poisson(3, (N, 4)).astype(np.int32), {"support": "counts"}),
    "categories": (RNG.integers(0, 5, (N, 4)), {"support": "categorical"}),
    "tokens": (RNG.integers(0, 5, (N, 4)).astype(np.int16), {"support": "tokens"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapped_file_is_described_as_its_values_in_memory(tmp_path: Path, kind: str) -> None:
    x, options = KINDS[kind]
    data = load_array(saved(tmp_path, x), mapped=True, test_share=0.0, validation=0, **options)
    known = from_arrays(x, name="x", **options)
    assert data.spec == known.spec
    assert data.split("train").mapped is not None
    one, other = data.examples("train"), known.examples("train")
    assert one.x.dtype == other.x.dtype
    assert torch.equal(one.x, other.x)
    batch = next(iter(Batches(data.split("train"), data.transform, 8).epoch(0)))
    assert (batch.x.dtype, batch.x.shape[1:]) == (other.x.dtype, known.spec.shape)


def in_memory(data: Dataset) -> Dataset:
    """Return the same splits, with copies of mapped values."""
    splits = {name: Split(s.x.clone(), s.y, s.covariates) for name, s in data.splits.items()}
    return replace(data, splits=splits)


@pytest.mark.parametrize("kind", ["bytes", "float64", "counts"])
def test_a_model_says_the_same_of_mapped_values_as_of_values_in_memory(
    tmp_path: Path, kind: str
) -> None:
    x, options = KINDS[kind]
    data = load_array(saved(tmp_path, x), mapped=True, validation=50, **options)
    run = rp.fit(
        rp.variants.vae(data.spec, hidden=[8], latent_dim=2), data, steps=3, progress=False
    )
    other = in_memory(data)
    for split in ("train", "test"):
        assert torch.equal(run.encode(data, split=split), run.encode(other, split=split))
        given: dict[str, Any] = {"split": split, "n_samples": 5}
        assert run.evaluate(data, **given) == run.evaluate(other, **given)


def test_the_likelihood_starts_at_the_same_rows_as_in_memory(tmp_path: Path) -> None:
    data = load_array(saved(tmp_path, KINDS["float64"][0]), mapped=True)
    for part in (data, in_memory(data)):
        recipe = rp.variants.vae(data.spec, hidden=[8], latent_dim=2)
        run = rp.fit(recipe, part, steps=1, lr=1e-9, progress=False)
        layer = run.latent_model.decoder.family.standardize
        x = data.examples("train").x
        assert torch.allclose(layer.loc, x.mean(0), atol=1e-5)


# ---------------------------------------------------------------- damaged values


@pytest.mark.parametrize(
    ("value", "options", "says"),
    [
        (np.nan, {}, ["1 NaN or infinite", "(433, 2)"]),
        (np.inf, {}, ["1 NaN or infinite", "(433, 2)"]),
        (1e300, {}, ["float32 ends at 3.4e38", "(433, 2)"]),
        (-0.5, {"support": "unit"}, ["-0.5", "support 'unit'", "(433, 2)"]),
    ],
)
def test_a_damaged_value_is_found_and_its_row_named(
    tmp_path: Path, value: float, options: dict[str, Any], says: list[str]
) -> None:
    x = RNG.random((N, 4))
    x[433, 2] = value
    with pytest.raises(DataError) as error:
        load_array(saved(tmp_path, x), mapped=True, **options)
    said = sentence(error)
    assert "x.npy" in said
    assert all(each in said for each in says), said


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.asfortranarray(RNG.random((N, 4))), "another order"),
        (RNG.random((N, 4)).astype(">f8"), "another order"),
        (np.arange(N, dtype=np.uint16)[:, None], "uint16"),
        (np.ones((N, 1), complex), "complex"),
        (np.zeros((0, 4)), "no rows"),
        (np.zeros(N), "shape"),
        (np.arange(N)[:, None] + 1e9, "float32 cannot tell apart"),
        (np.arange(N)[:, None], "support='counts'"),
    ],
)
def test_what_cannot_be_mapped_is_refused(tmp_path: Path, x: NDArray[Any], says: str) -> None:
    with pytest.raises(ReparamError) as error:
        load_array(saved(tmp_path, x), mapped=True)
    assert says in sentence(error)


def test_only_npy_is_mapped(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 2)))
    with pytest.raises(DataError, match=r"it is no \.npy"):
        load_array(tmp_path / "x.npz", mapped=True)
    with pytest.raises(OptionError, match="mapped=True"):
        rp.data.load("digits", mapped=True)


def test_a_large_file_is_mapped_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path, numbered())
    assert load_array(file).split("train").mapped is None
    monkeypatch.setattr(mapped_module, "available", lambda: 1000.0)
    data = load_array(file)
    assert data.split("train").mapped is not None
    # What was decided is an option, so that it is the same on another machine.
    assert data.options is not None
    assert data.options["mapped"] is True
    assert load_array(file, mapped=False).split("train").mapped is None


def test_all_rows_at_once_are_refused_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_array(saved(tmp_path, numbered()), mapped=True)
    monkeypatch.setattr("reparam.utils.memory.available", lambda device=None: 1000.0)
    with pytest.raises(OptionError, match="limit=450"):
        data.examples("train")
    assert len(data.examples("train", limit=10)) == 10


# ---------------------------------------------------------------- a run that goes on


def loaded(file: Path) -> Dataset:
    return rp.data.read(file, mapped=True, validation=0.1)


def train(file: Path, out: Path | None, step: int | None) -> dict[str, Tensor]:
    variant = partial(rp.variants.vae, hidden=[8], latent_dim=2)  # built under the seed of the run
    return fit_until(step, variant, loaded(file), out, epochs=2, batch_size=64)


def test_a_run_that_is_stopped_goes_on_to_identical_weights(tmp_path: Path) -> None:
    file = saved(tmp_path, KINDS["bytes"][0])
    require_exact_resume(lambda out, step: train(file, out, step), tmp_path, (1, 3, 6, 7, 9))


@pytest.fixture
def stopped(tmp_path: Path) -> tuple[Path, Path]:
    """Return the file and the folder of a run that was stopped."""
    file = saved(tmp_path, KINDS["bytes"][0])
    with pytest.raises(Stop):
        train(file, tmp_path / "run", 3)
    return file, tmp_path / "run"


def test_a_file_that_changed_is_not_trained_on_further(stopped: tuple[Path, Path]) -> None:
    file, run = stopped
    x = np.load(file)
    x[17, 2] ^= 1
    np.save(file, x)
    with pytest.raises(RunError) as error:
        train(file, run, None)
    assert "other training examples: other values" in sentence(error)


def test_a_file_that_was_removed_is_named(stopped: tuple[Path, Path]) -> None:
    file, run = stopped
    file.unlink()
    with pytest.raises(DataError) as error:
        train(file, run, None)
    assert f"{file} is no file or folder" in sentence(error)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_file_that_changes_in_the_middle_is_refused(tmp_path: Path, is_removed: bool) -> None:
    batches = numbered_batches(tmp_path)
    found = batches.epoch(0)
    next(found)
    if is_removed:
        (tmp_path / "x.npy").unlink()
    else:
        saved(tmp_path, numbered(N + 1))
    with pytest.raises(DataError) as error:
        list(found)
    assert "cannot be read further" in sentence(error)
    assert "x.npy" in sentence(error)


def test_the_fingerprint_is_that_of_all_rows_without_reading_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = numbered()
    x[433, 3] = 1
    one = load_array(saved(tmp_path, numbered()), mapped=True).split("train")
    other = load_array(saved(tmp_path, x, "other.npy"), mapped=True).split("train")
    moved = load_array(saved(tmp_path, numbered(), "moved.npy"), mapped=True).split("train")
    for name in ("read", "tensor", "_read"):
        monkeypatch.delattr(Mapped, name)
    assert fingerprint(one) == fingerprint(moved) != fingerprint(other)
