"""Named data sets: the files they are read from, and what becomes of their values."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam.data as rd
from reparam.batch import Batch
from reparam.data.idx import read_idx
from reparam.data.registry import SOURCES
from reparam.data.sources import cifar10
from reparam.errors import DataError, OptionError
from tests.support import idx, sentence, write_mnist

RECORDS = 6


def cifar_files() -> dict[str, bytes]:
    """Return six small files in CIFAR-10's binary layout; a pixel is its record's number."""
    files = {}
    for k, name in enumerate([f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]):
        records = []
        for i in range(RECORDS):
            red, green, blue = [bytes([k * RECORDS + i + 100 * c]) * 1024 for c in range(3)]
            records.append(bytes([i % 10]) + red + green + blue)
        files[name] = b"".join(records)
    return files


def packed(files: dict[str, bytes]) -> bytes:
    """Return the tar.gz archive of files in the official folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _no_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPARAM_DATA_DIR", raising=False)
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    for name, source in SOURCES.items():
        if isinstance(source, rd.ImageSet) and source.remote is not None:
            remote = replace(source.remote, url="http://127.0.0.1:1/")
            monkeypatch.setitem(SOURCES._entries, name, replace(source, remote=remote))
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_holds_what_was_written(tmp_path: Path, zipped: bool) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    path = tmp_path / "images"  # the name says nothing of the compression
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    assert read_idx(path, n_axes=3).tolist() == array.tolist()


GOOD = idx(np.zeros((4, 3, 2), np.uint8))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "begin with 0x00000803"),
        (GOOD[:7], "header of 16 bytes"),
        (GOOD[:-1], "cut short"),
        (GOOD + b"\0", "too long"),
        (b"\0\0\x0d\x03" + GOOD[4:], "0x00000d03"),
        (idx(np.zeros(24, np.uint8)), "0x00000801"),
        (gzip.compress(GOOD)[:-12], "gzip"),
        (gzip.compress(GOOD)[:-8] + b"\1\2\3\4\5\6\7\0", "gzip"),
        (gzip.compress(bytes(range(256)) * 50)[:60] + b"garbage" * 40, "gzip"),
        (b"<html>404</html>" * 10, "0x3c68746d"),
    ],
    ids=[
        "empty",
        "half a header",
        "cut short",
        "too long",
        "other type",
        "other axes",
        "cut gzip",
        "gzip with another checksum",
        "garbage in gzip",
        "a web page",
    ],
)
def test_damaged_idx_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_idx(path, n_axes=3)
    message = sentence(error)
    assert str(path) in message
    assert says in message
    assert "delete it so that it is downloaded again" in message


def test_missing_idx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_idx(tmp_path / "none", n_axes=1)
    assert "No such file" in sentence(error)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_mnist_layout(tmp_path: Path, name: str, zipped: bool) -> None:
    write_mnist(tmp_path / name, zipped=zipped)
    data = rd.load(name, data_dir=tmp_path, validation=0)
    assert data.images.shape == (40, 1, 28, 28)
    assert data.images.dtype == torch.uint8
    assert data.images[:, 0, 0, 0].tolist() == list(range(40))
    assert data.split("test").y.tolist() == list(range(10))
    assert "validation" not in data.splits
    assert (data.support, data.shape, data.spec.n_classes) == ("binary", (1, 28, 28), 10)


def test_mnist_files_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "mnist")
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(np.zeros(39, np.uint8))))
    with pytest.raises(DataError) as error:
        rd.load("mnist", data_dir=tmp_path)
    assert "39 labels" in sentence(error)
    labels.write_bytes(gzip.compress(idx(np.full(40, 11, np.uint8))))
    with pytest.raises(DataError) as error:
        rd.load("mnist", data_dir=tmp_path)
    assert "label 11" in sentence(error)


@pytest.mark.parametrize("layout", ["cifar-10-batches-bin", ".", "archive"])
def test_cifar_layouts(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "cifar10"
    (folder / layout).mkdir(parents=True)
    if layout == "archive":
        (folder / "cifar-10-binary.tar.gz").write_bytes(packed(cifar_files()))
    else:
        for name, content in cifar_files().items():
            (folder / layout / name).write_bytes(content)
    data = rd.load("cifar10", data_dir=tmp_path, validation=0)
    assert data.images.shape == (5 * RECORDS, 3, 32, 32)
    assert data.images[:, 0, 5, 7].tolist() == list(range(5 * RECORDS))
    assert data.images[3, :, 31, 31].tolist() == [3, 103, 203]
    assert data.split("test").x[:, 0, 0, 0].tolist() == list(range(30, 36))
    assert data.labels.tolist() == list(range(RECORDS)) * 5
    assert (data.support, data.spec.levels) == ("unit", 256)


def damaged(files: dict[str, bytes], kind: str) -> dict[str, bytes]:
    """Return the files with the third one damaged."""
    name = "data_batch_3.bin"
    if kind == "label":
        return files | {name: b"\x0b" + files[name][1:]}
    if kind == "missing":
        return {k: v for k, v in files.items() if k != name}
    return files | {name: files[name][:-1] if kind == "short" else files[name] + b"\0"}


@pytest.mark.parametrize("kind", ["short", "long", "label", "missing"])
@pytest.mark.parametrize("archived", [True, False])
def test_damaged_cifar_is_refused(tmp_path: Path, kind: str, archived: bool) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    files = damaged(cifar_files(), kind)
    if archived:
        (folder / "cifar-10-binary.tar.gz").write_bytes(packed(files))
    else:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        rd.load("cifar10", data_dir=tmp_path)
    message = sentence(error)
    assert str(folder) in message
    assert ("data_batch_3.bin" in message) or (kind == "missing" and not archived)


@pytest.mark.parametrize("cut", [slice(0, -6), slice(0, 200), slice(0, 0), slice(5, None)])
def test_damaged_archive_is_refused(tmp_path: Path, cut: slice) -> None:
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    path.write_bytes(packed(cifar_files())[cut])
    with pytest.raises(DataError) as error:
        rd.load("cifar10", data_dir=tmp_path)
    assert str(path) in sentence(error)


# ---------------------------------------------------------------- load


def test_digits() -> None:
    data = rd.load("digits")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 1366,
        "validation": 71,
        "test": 360,
    }
    stored = torch.cat([split.x for split in data.splits.values()])
    from sklearn.datasets import load_digits

    # The splits are a partition: together they are the whole data set, in another order.
    ours = sorted(map(tuple, stored.flatten(1).tolist()))
    assert ours == sorted(map(tuple, load_digits().data.astype(int).tolist()))
    assert data.class_names[3] == "3"
    assert data.spec.n_classes == 10


@pytest.mark.parametrize("binarize", ["static", "threshold", "dynamic"])
def test_binarized_digits_are_binary(binarize: str) -> None:
    data = rd.load("digits", binarize=binarize)
    grey = rd.load("digits", binarize="none").examples("test").x
    x = data.examples("test", seed=1).x
    assert data.support == "binary"
    assert data.spec.levels is None
    assert set(x.unique().tolist()) == {0.0, 1.0}
    again = data.examples("test", seed=2).x
    assert torch.equal(x, again) == (binarize != "dynamic")
    if binarize == "threshold":
        assert torch.equal(x, (grey >= 0.5).float())
    else:
        # Entries are independent Bernoulli draws, so their mean has a known standard error.
        stderr = (grey * (1 - grey)).sum().sqrt() / grey.numel()
        assert abs(x.mean() - grey.mean()) < 4 * stderr


def test_static_is_one_draw_of_its_seed() -> None:
    a, b, c = (rd.load("digits", binarize="static", seed=s).split("test").x for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_grey_digits() -> None:
    data = rd.load("digits", binarize="none")
    assert (data.support, data.spec.levels, data.spec.dequantized_from) == ("unit", 17, None)
    x = data.examples("train").x
    assert torch.equal((x * 16).round().to(torch.uint8), data.images)
    assert x.min() == 0
    assert x.max() == 1


def test_dequantized_digits() -> None:
    data = rd.load("digits", dequantize=True)
    assert (data.support, data.spec.levels, data.spec.dequantized_from) == ("unit", None, 17)
    x = data.examples("train").x
    assert torch.equal((x * 17).floor().to(torch.uint8), data.images)
    assert x.max() < 1


def test_options_make_the_same_data_again() -> None:
    data = rd.load("digits", binarize="static", validation=0.1, seed=3)
    again = rd.load(**data.options)
    assert again.options == data.options
    assert again.spec == data.spec
    for name, split in data.splits.items():
        assert torch.equal(split.x, again.split(name).x)
        assert torch.equal(split.y, again.split(name).y)


def test_validation_is_out_of_train_and_leaves_test_alone() -> None:
    whole = rd.load("digits", validation=0)
    data = rd.load("digits", validation=100, seed=5)
    assert len(whole.split("train")) == 1437
    assert len(data.split("validation")) == 100
    assert torch.equal(whole.split("test").x, data.split("test").x)
    parts = torch.cat([data.split("train").x, data.split("validation").x]).flatten(1)
    assert sorted(parts.tolist()) == sorted(whole.images.flatten(1).tolist())
    other = rd.load("digits", validation=100, seed=6)
    assert not torch.equal(other.split("validation").x, data.split("validation").x)
    with pytest.raises(OptionError) as error:
        data.with_validation(10)
    sentence(error)


@pytest.mark.parametrize("size", [-1, 1437, 1.0, -0.1, True, float("nan")])
def test_impossible_validation_sizes(size: float) -> None:
    with pytest.raises(OptionError) as error:
        rd.load("digits", validation=size)
    assert f"validation={size}" in sentence(error)


def test_examples_are_one_frozen_draw() -> None:
    data = rd.load("digits")
    before = torch.get_rng_state()
    full = data.examples("train", seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert full.x.shape == (1366, 1, 8, 8)
    assert full.x.dtype == torch.float32
    for limit in (1, 1000, 1025, 9999):
        part = data.examples("train", seed=4, limit=limit)
        assert torch.equal(part.x, full.x[:limit])
        assert torch.equal(part.y, full.y[:limit])
    with pytest.raises(OptionError) as error:
        data.examples(limit=0)
    sentence(error)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "mnits"}, "'mnist'"),
        ({"name": "digits", "binarize": "dinamic"}, "'dynamic'"),
        ({"name": "digits", "binarize": "static", "dequantize": True}, "one of the two"),
        ({"name": "digits", "binarize": "dynamic", "dequantize": True}, "one of the two"),
        ({"name": "cifar10", "binarize": "threshold"}, "binarize='none'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError) as error:
        rd.load(**options)
    assert says in sentence(error)


def test_unknown_split_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="'validation'"):
        rd.load("digits").split("valid")


def test_registry_says_what_load_gives() -> None:
    assert set(rd.SOURCES) == {
        *("digits", "mnist", "fashion-mnist", "cifar10"),
        *("text", "images", "table", "array", "anndata", "hub"),
    }
    entry, data = rd.SOURCES["digits"], rd.load("digits", validation=0)
    assert isinstance(entry, rd.ImageSet)
    assert (entry.n_train, entry.n_test) == (len(data.split("train")), len(data.split("test")))
    assert (entry.shape, entry.class_names) == (data.shape, data.class_names)
    assert "scikit-learn" in entry.where
    assert "downloaded" in rd.SOURCES["mnist"].where


def test_import_brings_torch_and_numpy_only() -> None:
    code = (
        "import sys, reparam.data\n"
        "print([m for m in ('sklearn', 'scipy', 'pooch', 'requests', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- transforms


def test_threshold_is_half_the_range() -> None:
    for levels in (2, 3, 4, 17, 256):
        raw = torch.arange(levels, dtype=torch.uint8)
        x = rd.Pixels(levels, binarize="threshold")(raw)
        assert x.tolist() == [float(v / (levels - 1) >= 0.5) for v in range(levels)]


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_dynamic_mean_is_the_grey_value(levels: int) -> None:
    n = 4000
    raw = torch.arange(levels, dtype=torch.uint8).expand(n, -1)
    x = rd.Pixels(levels, binarize="dynamic")(raw, torch.Generator().manual_seed(0))
    p = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    z = (x.double().mean(0) - p).abs() / (p * (1 - p) / n).sqrt().clamp(min=1e-9)
    assert z.max() < 4.5  # the largest of 256
    assert x[:, 0].sum() == 0
    assert x[:, -1].sum() == n


def test_dequantized_values_are_uniform_within_their_level() -> None:
    raw = torch.full((200_000,), 255, dtype=torch.uint8)
    x = rd.Pixels(256, dequantize=True)(raw, torch.Generator().manual_seed(0))
    assert x.max() < 1  # rounding to float32 reaches 1.0 now and then without the clamp
    assert x.min() >= 255 / 256
    u = x.double() * 256 - 255
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / len(u)) ** 0.5
    assert abs(u.var() - 1 / 12) < 4 * (1 / 180 / len(u)) ** 0.5


@pytest.mark.parametrize(
    "options", [{"levels": 1}, {"levels": 257}, {"levels": 256, "binarize": "dynamik"}]
)
def test_impossible_pixels(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        rd.Pixels(**options)


# ---------------------------------------------------------------- batches


def digits_batches(**options: object) -> rd.Batches:
    data = rd.load("digits", binarize="dynamic")
    return rd.Batches(data.split("train"), data.transform, 100, **options)


def seen(batches: list[Batch]) -> list[tuple[bytes, int]]:
    return [(b.x.numpy().tobytes(), int(b.y.sum())) for b in batches]


def test_an_epoch_is_every_example_once() -> None:
    data = rd.load("digits", binarize="none")
    batches = rd.Batches(data.split("train"), data.transform, 100, seed=1)
    epochs = [list(batches.epoch(e)) for e in range(2)]
    assert len(batches) == len(epochs[0]) == 14
    assert batches.n_examples == 1366
    assert [len(b) for b in epochs[0]] == [100] * 13 + [66]
    whole = data.examples("train")
    for epoch in epochs:
        x, y = torch.cat([b.x for b in epoch]), torch.cat([b.y for b in epoch])
        key = sorted(zip(x.flatten(1).tolist(), y.tolist(), strict=True))
        assert key == sorted(zip(whole.x.flatten(1).tolist(), whole.y.tolist(), strict=True))
        assert not torch.equal(x, whole.x)
    assert not torch.equal(epochs[0][0].x, epochs[1][0].x)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    data = rd.load("digits", binarize="none")

    def order(seed: int, epoch: int) -> list[tuple[bytes, int]]:
        torch.manual_seed(np.random.default_rng().integers(2**31))
        batches = rd.Batches(data.split("train"), data.transform, 500, seed=seed)
        return seen(list(batches.epoch(epoch)))

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(s, e)) for s, e in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_without_shuffling_the_order_is_kept() -> None:
    data = rd.load("digits", binarize="none")
    batches = rd.Batches(data.split("train"), data.transform, 300, shuffle=False)
    for epoch in (0, 3):
        x = torch.cat([b.x for b in batches.epoch(epoch)])
        assert torch.equal(x, data.examples("train").x)


def test_an_epoch_taken_up_in_the_middle_goes_on_exactly() -> None:
    torch.manual_seed(0)
    batches, states, whole = digits_batches(), [], []
    for batch in batches.epoch(2):
        whole.append(batch)
        states.append(torch.get_rng_state())  # after batch k, before batch k + 1
    for start in (1, 7, 13):
        torch.set_rng_state(states[start - 1])
        rest = list(digits_batches().epoch(2, start=start))
        assert seen(rest) == seen(whole[start:])
    assert list(batches.epoch(2, start=14)) == []


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n", "size"), [(1366, 7), (1365, 7), (1366, 8), (10, 5), (1366, 2000)])
def test_any_number_of_processes_shares_the_batches_of_one(
    n: int, size: int, shuffle: bool, world_size: int
) -> None:
    split = rd.Split(torch.arange(float(n))[:, None])
    options: dict[str, Any] = {"shuffle": shuffle, "seed": 3}
    whole = rd.Batches(split, rd.Identity(), size, **options)
    ranks = [
        rd.Batches(split, rd.Identity(), size, rank=rank, world_size=world_size, **options)
        for rank in range(world_size)
    ]
    assert {len(each) for each in ranks} == {len(whole)}
    for parts in zip(whole.epoch(1), *(each.epoch(1) for each in ranks), strict=True):
        joint, *shares = parts
        assert sum(share.weight for share in shares) == pytest.approx(world_size)
        # A process without an example of its own has another one, with the weight 0.
        counted = [share.x for share in shares if share.weight]
        assert torch.equal(torch.cat(counted).sort(0).values, joint.x.sort(0).values)
        mean = sum(share.weight * share.x.mean() for share in shares) / world_size
        assert float(mean) == pytest.approx(float(joint.x.mean()), rel=1e-5)
    # An epoch that another number of processes has begun goes on with the same batches.
    start = len(whole) - 1
    rest = [next(each.epoch(1, start=start)) for each in ranks]
    (last,) = whole.epoch(1, start=start)
    found = torch.cat([each.x for each in rest if each.weight])
    assert torch.equal(found.sort(0).values, last.x.sort(0).values)
    assert list(map(len, ranks[-1].unshared().epoch(1))) == list(map(len, whole.epoch(1)))


def test_binarization_is_fresh_each_epoch() -> None:
    batches = digits_batches(shuffle=False)
    first, second = (torch.cat([b.x for b in batches.epoch(e)]) for e in range(2))
    assert not torch.equal(first, second)


def test_condition() -> None:
    spec = rd.load("digits").spec.conditioned("label")
    batch = next(digits_batches(spec=spec).epoch(0))
    assert batch.c.argmax(1).tolist() == batch.y.tolist()
    assert next(digits_batches().epoch(0)).c is None
    with pytest.raises(DataError) as error:
        rd.Batches(rd.Split(torch.ones(3, 2)), rd.Identity(), 2, spec=spec)
    assert "give y" in sentence(error)


def test_indexed_batches_are_those_of_the_epoch() -> None:
    split = rd.Split(torch.arange(10.0), torch.tensor([0, -1] * 5))
    batches = rd.Batches(split, rd.Identity(), 3, seed=2)
    indexed = batches.indexed()
    assert indexed is not None
    order = indexed.order(4)
    assert order is not None
    parts = [indexed.at(part).x.tolist() for part in order.split(3)]
    assert parts == [batch.x.tolist() for batch in batches.epoch(4)]
    # With labeled examples repeated, or shared among processes, a batch is more or less than that.
    assert rd.Batches(split, rd.Identity(), 4, repeat_labeled=True).indexed() is None
    assert rd.Batches(split, rd.Identity(), 4, world_size=2).indexed() is None


def test_batch_size_below_one() -> None:
    with pytest.raises(OptionError) as error:
        rd.Batches(rd.Split(torch.ones(3, 2)), rd.Identity(), 0)
    assert "batch_size=0" in sentence(error)


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(128, [128]), (130, [65, 65]), (191, [96, 95]), (192, [128, 64]), (301, [101, 101, 99])],
)
def test_no_batch_is_smaller_than_half_of_the_others(n: int, sizes: list[int]) -> None:
    batches = rd.Batches(rd.Split(torch.arange(float(n))), rd.Identity(), 128)
    found = list(batches.epoch(0))
    assert [len(batch) for batch in found] == sizes
    assert torch.equal(torch.cat([b.x for b in found]).sort().values, torch.arange(float(n)))


# ---------------------------------------------------------------- the real MNIST


# Read at import: the fixture above hides it from every test.
REAL = os.environ.get("REPARAM_DATA_DIR")


@pytest.mark.skipif(not REAL, reason="REPARAM_DATA_DIR, which would hold mnist/, is not set")
def test_real_mnist() -> None:
    if not Path(REAL, "mnist").is_dir():
        pytest.skip(f"there is no folder mnist in REPARAM_DATA_DIR={REAL}")
    data = rd.load("mnist", data_dir=REAL, validation=0)
    assert data.images.shape == (60_000, 1, 28, 28)
    assert data.split("test").x.shape == (10_000, 1, 28, 28)
    assert data.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.split("test").y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert float(data.images.double().mean()) / 255 == pytest.approx(0.13066, abs=5e-6)
    sizes = {k: len(v) for k, v in rd.load("mnist", data_dir=REAL).splits.items()}
    assert sizes == {"train": 57_000, "validation": 3_000, "test": 10_000}
