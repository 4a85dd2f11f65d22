"""Images and tables that are encoded once into a file of the cache, and mapped."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import feather, parquet
from torch import Tensor

import reparam as rp
from reparam.data import Dataset, encoded, load_images, load_table
from reparam.data.sources import images as images_module
from reparam.errors import DataError, OptionError, WriteError
from tests.support import fit_until, require_exact_resume, sentence

N = 300


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the cache."""
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 40 images of two classes."""
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        where = tmp_path / "pictures" / ("ab"[number % 2])
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(where / f"{number}.png")
    return tmp_path / "pictures"


def same_examples(one: Dataset, other: Dataset) -> bool:
    """Return whether two data sets have the same splits, examples and labels."""
    return list(one.splits) == list(other.splits) and all(
        torch.equal(one.splits[name].x, split.x)
        and (split.y is None or torch.equal(one.splits[name].y, split.y))  # type: ignore[arg-type]
        for name, split in other.splits.items()
    )


def files_in(place: Path) -> list[str]:
    return sorted(path.suffix for path in place.rglob("*") if path.is_file())


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("image_channels", [None, 1, 3])
def test_cached_images_are_those_in_memory(folder: Path, image_channels: int | None) -> None:
    known = load_images(folder, size=4, image_channels=image_channels, validation=5)
    data = load_images(folder, size=4, image_channels=image_channels, validation=5, cache=True)
    assert data.spec == known.spec
    assert same_examples(data, known)
    assert (data.class_names, data.split("train").mapped is not None) == (("a", "b"), True)
    assert data.options is not None
    assert rp.data.load(**data.options) == data


def test_images_are_decoded_once(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_images(folder, size=4, cache=True)

    def fail(*args: object) -> None:
        raise AssertionError("an image is decoded again")

    monkeypatch.setattr(images_module, "_pixels", fail)
    assert load_images(folder, size=4, cache=True) == first
    # One more name of the file tells the number of channels.
    assert files_in(place) == [".json", ".json", ".npy", ".npy"]
    assert len({path.stat().st_ino for path in place.rglob("*.npy")}) == 1


def test_images_that_changed_are_decoded_again(folder: Path) -> None:
    load_images(folder, size=4, cache=True)
    Image.new("RGB", (6, 6), (1, 2, 3)).save(folder / "a" / "0.png")
    again = load_images(folder, size=4, cache=True)
    assert same_examples(again, load_images(folder, size=4))


@pytest.mark.parametrize("damage", ["{", '{"sha256": 1}'])
def test_a_damaged_cache_is_made_again(folder: Path, place: Path, damage: str) -> None:
    options: dict[str, Any] = {"size": 4, "image_channels": 3}
    load_images(folder, cache=True, **options)
    (record,) = place.rglob("*.json")
    record.write_text(damage)
    assert same_examples(load_images(folder, cache=True, **options), load_images(folder, **options))
    assert "sha256" in json.loads(record.read_text())


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    for number in range(10):
        Image.new("L", (5, 5), 20 * number).save(tmp_path / "grey" / f"{number}.png")
    data = load_images(tmp_path / "grey", size=4, cache=True)
    assert data.spec.shape == (1, 4, 4)
    assert same_examples(data, load_images(tmp_path / "grey", size=4))


def test_a_damaged_image_is_named_and_leaves_nothing(folder: Path, place: Path) -> None:
    (folder / "a" / "4.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"4\.png cannot be read as an image"):
        load_images(folder, size=4, cache=True)
    assert files_in(place) == []


def test_a_disk_that_is_full_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})()
    monkeypatch.setattr("reparam.data.cache.shutil.disk_usage", lambda path: usage)
    with pytest.raises(WriteError) as error:
        load_images(folder, size=4, cache=True)
    assert "REPARAM_CACHE" in sentence(error)


# ---------------------------------------------------------------- tables


def columns(n: int = N) -> dict[str, Any]:
    """Return columns of every kind, whose last rows have classes and extremes of their own."""
    random = np.random.default_rng(0)
    size = random.normal(size=n)
    size[n - 3] = 40.0
    few = random.integers(0, 3, n).astype(float)
    few[n - 1] = 7.0
    count = random.poisson(20, n).astype(float)
    count[n - 2] = 17.5
    income = random.lognormal(size=n)
    began = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    return {
        "size": size,
        "few": few,
        "count": count,
        "income": pa.array([None if i == n - 4 else float(v) for i, v in enumerate(income)]),
        "city": ["Rome", "Oslo", "Bern"][:2] * (n // 2 - 1) + ["Bern", "Rome"],
        "flag": [bool(v) for v in random.random(n) < 0.5],
        "day": [began + timedelta(days=int(v)) for v in random.integers(0, 900, n)],
        "number": np.arange(n),
        "class": [None if i == 5 else "uvw"[i % 2 + (i > n - 3)] for i in range(n)],
    }


def written(folder: Path, kind: str = "parquet", **change: Any) -> Path:
    table = pa.table({**columns(), **change})
    file = folder / f"t.{kind}"
    if kind == "parquet":
        parquet.write_table(table, file, row_group_size=70)
    elif kind == "arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=70)
    else:
        feather.write_feather(table, file, chunksize=70)
    return file


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read 64 rows at once, and describe the columns by the first 100 rows."""
    monkeypatch.setattr(encoded, "BATCH", 64)
    monkeypatch.setattr(encoded, "HEAD", 100)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather"])
def test_an_encoded_table_is_that_in_memory(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path, kind)
    known = load_table(file, target="class", test_share=0.0)
    data = load_table(file, target="class", test_share=0.0, cache=True)
    assert known.spec.schema is not None
    assert data.spec.schema is not None
    assert [c.kind for c in data.spec.schema.columns] == [c.kind for c in known.spec.schema.columns]
    # How frequent a value is, and what the cycles of dates are, is known of the first rows alone.
    one_has, other_has = (
        [replace(c, atoms=(), cycles=(), step=0.0) for c in schema.features]
        for schema in (data.spec.schema, known.spec.schema)
    )
    assert one_has == other_has
    assert (data.class_names, data.spec.n_classes) == (("u", "v", "w"), 3)
    one, other = data.split("train"), known.split("train")
    assert torch.equal(one.x.nan_to_num(-99), other.x.nan_to_num(-99))
    assert one.y is not None
    assert other.y is not None
    assert torch.equal(one.y, other.y)
    assert one.mapped is not None


@pytest.mark.usefixtures("small_batches")
def test_a_table_is_encoded_once_and_again_when_it_changes(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path)
    first = load_table(file, target="class", cache=True)
    assert first.options is not None
    assert rp.data.load(**first.options) == first
    assert len(first.split("test")) == N // 10
    monkeypatch.setattr(encoded, "telling_rows", lambda source: pytest.fail("it is read again"))
    assert load_table(file, target="class", cache=True) == first
    monkeypatch.undo()
    monkeypatch.setenv("REPARAM_CACHE", str(place))
    changed = written(tmp_path, size=np.arange(N) / 7)
    assert load_table(changed, target="class", cache=True) != first


def test_a_schema_of_the_user_counts(tmp_path: Path) -> None:
    said = tmp_path / "schema.yaml"
    said.write_text("few: count\ncity: ignored\n")
    data = load_table(written(tmp_path), schema=said, cache=True)
    assert data.spec.schema is not None
    kinds = {column.name: column.kind for column in data.spec.schema.columns}
    assert (kinds["few"], kinds["city"]) == ("count", "ignored")


@pytest.mark.usefixtures("small_batches")
def test_an_infinite_value_is_named(tmp_path: Path) -> None:
    size = columns()["size"]
    size[200] = np.inf
    with pytest.raises(DataError) as error:
        load_table(written(tmp_path, size=size), cache=True)
    # Batches of Parquet end at row groups of 70 rows or at 64 rows.
    assert "'size'" in sentence(error)
    assert "is infinite in row" in sentence(error)


def test_text_is_not_encoded_in_batches(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n" + "1,2\n3,4\n" * 20)
    with pytest.raises(OptionError) as error:
        load_table(file, cache=True)
    assert "convert it to Parquet" in sentence(error)


def test_a_large_table_is_encoded_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path)
    monkeypatch.setattr("reparam.data.mapped.available", lambda: 1000.0)
    data = load_table(file)
    assert data.split("train").mapped is not None
    assert data.options is not None
    assert data.options["cache"] is True


@pytest.mark.usefixtures("small_batches")
def test_a_run_on_an_encoded_table_goes_on_to_identical_weights(tmp_path: Path) -> None:
    file = written(tmp_path)

    def train(out: Path | None, step: int | None) -> dict[str, Tensor]:
        data = rp.data.read(file, cache=True, target="class", validation=30)
        variant = partial(rp.variants.vae, hidden=[8], latent_dim=2)
        return fit_until(step, variant, data, out, batch_size=64, device="cpu")

    require_exact_resume(train, tmp_path, (2,))
