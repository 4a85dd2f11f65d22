"""Data sets of the Hugging Face hub, as the library ``datasets`` reads them from a folder."""

from pathlib import Path

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.data.files import is_place, kind_of_file
from reparam.errors import DataError, OptionError
from tests.support import quick_fit

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def images(n: int, sizes: tuple[int, ...] = (6,)) -> "datasets.Dataset":
    """Return images of two classes, dark and bright, whose first pixel is their number."""
    from PIL import Image

    def pixels(i: int) -> Image.Image:
        size = sizes[i % len(sizes)]
        values = np.full((size, size), 200 * (i % 2), np.uint8)
        values[0, 0] = i
        return Image.fromarray(values)

    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dark", "bright"])}
    )
    columns = {"image": [pixels(i) for i in range(n)], "label": [i % 2 for i in range(n)]}
    return datasets.Dataset.from_dict(columns, features=kinds)


def people(n: int) -> "datasets.Dataset":
    """Return a table of numbers, text and classes."""
    kinds = datasets.Features(
        {
            "age": datasets.Value("int64"),
            "town": datasets.Value("string"),
            "sick": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    towns = ["Ulm", "Bonn", "Köln"]
    columns = {
        "age": [20 + 7 * i % 31 for i in range(n)],
        "town": [None if i == 4 else towns[i % 3] for i in range(n)],
        "sick": [int(i % 5 == 0) for i in range(n)],
    }
    return datasets.Dataset.from_dict(columns, features=kinds)


def test_images_keep_splits_classes_and_bytes(tmp_path: Path) -> None:
    images(40).to_parquet(tmp_path / "faces" / "data" / "train-00000-of-00001.parquet")
    images(10).to_parquet(tmp_path / "faces" / "data" / "test-00000-of-00001.parquet")
    data = rp.data.read(f"hf:{tmp_path / 'faces'}", validation=8)
    assert data.shape == (1, 6, 6)
    assert data.class_names == ("dark", "bright")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 32,
        "validation": 8,
        "test": 10,
    }
    for split in ("train", "validation", "test"):
        batch = data.examples(split)
        assert batch.y is not None
        # The corner has the number of the image, whose parity is its class and its brightness.
        corner = (255 * batch.x[:, 0, 0, 0]).round()
        assert (corner % 2 == batch.y).all()
        assert np.allclose(255 * batch.x[:, 0, 3, 3], 200 * batch.y)
    assert (255 * data.examples("test").x[:, 0, 0, 0]).round().tolist() == list(range(10))


def test_images_of_several_sizes_need_one(tmp_path: Path) -> None:
    images(12, (6, 8)).to_parquet(tmp_path / "faces" / "train.parquet")
    with pytest.raises(DataError, match=r"row 1 of .* 8 x 8 pixels.*size="):
        rp.data.read(f"hf:{tmp_path / 'faces'}")
    assert rp.data.read(f"hf:{tmp_path / 'faces'}", size=4).shape == (1, 4, 4)


def test_a_table_keeps_its_rows_and_loads_again(tmp_path: Path) -> None:
    people(60).to_parquet(tmp_path / "people" / "train.parquet")
    people(9).to_parquet(tmp_path / "people" / "validation.parquet")
    place = f"hf:{tmp_path / 'people'}"
    data = rp.data.read(place, target="sick")
    assert data.class_names == ("no", "yes")
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 54, "test": 6, "validation": 9}
    run = quick_fit(rp.variants.vae, data, out=tmp_path / "run")
    again = rp.load(tmp_path / "run").dataset()
    assert torch.allclose(again.images, data.images, equal_nan=True)
    assert run.read(place).spec.schema == data.spec.schema
    table = run.to_table(data.examples("validation").x).to_pydict()
    assert table["age"][:3] == [20, 27, 34]
    assert table["town"][:3] == ["Ulm", "Bonn", "Köln"]


def test_what_cannot_be_loaded_is_one_sentence(tmp_path: Path) -> None:
    people(20).to_parquet(tmp_path / "people" / "train.parquet")
    assert kind_of_file("hf:owner/name") == "hub"
    assert is_place("hf:owner/name")
    with pytest.raises(DataError, match="cannot be loaded from the hub"):
        rp.data.read(f"hf:{tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="no name of a data set of the hub"):
        rp.data.read("hf:")
    with pytest.raises(OptionError, match=r"unknown column .* did you mean 'sick'"):
        rp.data.read(f"hf:{tmp_path / 'people'}", target="sic")
    with pytest.raises(DataError, match="path='hf:OWNER/NAME'"):
        rp.data.load("hub")
