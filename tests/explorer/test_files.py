"""Uploads and downloads of an explorer: what is taken, what is refused, and what is written."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.data import Dataset
from reparam.errors import DataError, OptionError
from reparam.explorer import fragments
from reparam.explorer.explored import Explored
from reparam.explorer.shown import Looks
from reparam.explorer.uploads import MOST_BYTES, as_image, endings, read_upload
from reparam.spec import DataSpec
from tests.support import Bomb

QUICK = {"steps": 20, "early_stopping": 0, "progress": False, "lr": 0.003}
TEXT = "to be or not to be, that is the question; " * 40


@cache
def looks(kind: str) -> Looks:
    """Return a run of a kind, trained for a few steps."""
    rng = np.random.default_rng(0)
    match kind:
        case "digits":
            data: object = rp.data.load("digits")
        case "label":
            data = rp.data.load("digits").conditioned("label")
        case "color":
            data = rp.data.from_arrays(rng.integers(0, 256, (60, 3, 8, 6), dtype=np.uint8))
        case "numbers":
            data = rp.data.from_arrays(rng.normal(size=(200, 50)))
        case "table":
            data = pd.DataFrame(
                {
                    "day": pd.Timestamp("2024-01-01")
                    + pd.to_timedelta(rng.integers(0, 90, 200), "D"),
                    "pay": rng.gamma(2, 9, 200).round(2),
                    "sex": rng.choice(["F", "M"], 200),
                }
            )
        case _:
            raise AssertionError(kind)
    recipe = rp.variants.cvae if kind == "label" else rp.variants.vae
    run = rp.fit(recipe, data, **QUICK)
    assert isinstance(run.data, Dataset)
    return Looks(Explored(run, run.data))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Looks:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    data = rp.data.load("text", path=str(path), window=16)
    run = rp.fit(rp.variants.text_vae, data, **QUICK)
    return Looks(Explored(run, data))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


# Uploads


def test_a_picture_is_cropped_resized_and_put_on_the_levels_of_the_data() -> None:
    run = looks("digits").explored.run
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)
    found = read_upload(run, "a.PNG", png(pixels))
    expected = np.round(pixels[:, 2:10] / 255 * 16) / 16
    np.testing.assert_allclose(found.x[0, 0].numpy(), expected, atol=1e-6)


def test_a_picture_in_color_has_the_shape_of_the_data() -> None:
    run = looks("color").explored.run
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    found = read_upload(run, "a.png", png(pixels))
    expected = pixels[:, 1:7].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(found.x[0].numpy(), expected, atol=1e-6)


def test_a_dequantized_level_is_in_the_middle_of_its_cell() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    spec = DataSpec((1, 1, 2), "unit", dequantized_from=256)
    assert as_image(pixels, spec).flatten().tolist() == [0.5 / 256, 255.5 / 256]


def test_an_upload_gets_the_condition_that_is_chosen() -> None:
    c = torch.eye(10)[3:4]
    found = read_upload(looks("label").explored.run, "a.png", png(np.zeros((8, 8), np.uint8)), c)
    assert torch.equal(found.c, c)


def test_a_row_of_a_table_is_encoded_as_in_training(tmp_path: Path) -> None:
    found = looks("table").explored.run
    content = b"pay,sex,day\n12.5,M,2024-02-01\n1.0,F,2024-02-02\n"
    row = read_upload(found, "rows.csv", content)
    assert len(row) == 1
    assert found.to_table(row.x).to_pylist()[0] == {
        "day": pd.Timestamp("2024-02-01"),
        "pay": 12.5,
        "sex": "M",
    }


def test_an_array_may_be_one_example_or_several() -> None:
    run = looks("digits").explored.run
    x = torch.rand(3, 1, 8, 8).mul(16).round().div(16)
    for given in (x, x[0]):
        stream = io.BytesIO()
        np.save(stream, given.numpy())
        assert torch.equal(read_upload(run, "x.npy", stream.getvalue()).x, x[:1])


def test_a_text_is_read_from_its_first_characters(text: Looks) -> None:
    found = read_upload(text.explored.run, "a.txt", b"be the question, to be or not")
    assert text.text(found.x[0]) == "be the question,"


def stored(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def huge_png() -> bytes:
    """Return the first bytes of a picture of 90,000 × 90,000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + end

    head = struct.pack(">IIBBBBB", 90_000, 9_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


@pytest.mark.parametrize(
    ("kind", "name", "content", "said"),
    [
        ("digits", "a.png", b"no picture", "upload another picture"),
        ("digits", "a.png", b"", "upload another picture"),
        ("digits", "a.png", b"\0" * (MOST_BYTES + 1), "at most 5 MB"),
        ("digits", "a.svg", b"<svg/>", "ends in .png"),
        ("digits", "a.npy", stored(np.zeros((2, 3))), "a.npy|shape"),
        ("digits", "a.npy", stored(np.float64(3)), "holds no example"),
        ("digits", "a.npy", b"no array", "a.npy cannot be read"),
        ("table", "a.csv", b"day,pay\n2024-02-01,3\n", "a.csv lacks the column"),
        ("table", "a.csv", b"", "a.csv"),
        ("table", "a.csv", b"pay,sex,day\n1,X,2024-02-01\n", "F, M"),
    ],
)
def test_a_file_that_is_no_example_is_refused_by_its_name(
    kind: str, name: str, content: bytes, said: str
) -> None:
    with pytest.raises((DataError, rp.ReparamError), match=said) as error:
        read_upload(looks(kind).explored.run, name, content)
    assert "tmp" not in str(error.value)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(DataError, match="upload a"):
        read_upload(looks("digits").explored.run, "a.png", huge_png())


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    made = tmp_path / "made"
    content = stored(np.array([Bomb(made)], object))
    with pytest.raises(DataError, match="objects are not loaded"):
        read_upload(looks("digits").explored.run, "a.npy", content)
    assert not made.exists()


def test_a_text_that_is_too_short_or_no_text_is_refused(text: Looks) -> None:
    with pytest.raises(DataError, match="the model reads 16 at once"):
        read_upload(text.explored.run, "a.txt", b"to be")
    with pytest.raises(DataError, match="UTF-8"):
        read_upload(text.explored.run, "a.txt", b"\xff\xfe" * 20)
    assert endings(text.explored.run) == (".txt",)


# What is shown and saved


def test_a_picture_has_the_pixels_of_the_example() -> None:
    found = looks("color")
    x = found.explored.view.held.x[:4]
    shown = Image.open(io.BytesIO(_bytes(found.picture(x[0]))))
    np.testing.assert_array_equal(np.asarray(shown), (255 * x[0]).round().permute(1, 2, 0))
    assert Image.open(io.BytesIO(found.file(x, "png"))).format == "PNG"
    assert found.of(x[0]) == {"picture": found.picture(x[0])}


def _bytes(address: str) -> bytes:
    import base64

    return base64.b64decode(address.partition("base64,")[2])


def test_an_array_is_saved_as_it_is() -> None:
    found = looks("numbers")
    x = found.explored.view.held.x[:3]
    assert np.array_equal(np.load(io.BytesIO(found.file(x, "npy"))), x.numpy())
    table = pd.read_csv(io.BytesIO(found.file(x, "csv")))
    np.testing.assert_allclose(table.to_numpy(), x.numpy(), rtol=1e-5)
    with pytest.raises(OptionError, match="csv or npy"):
        found.file(x, "png")


def test_rows_are_shown_and_saved_in_the_units_of_the_table() -> None:
    found = looks("table")
    x = found.explored.run.spec.schema.encode(
        {
            "day": np.array(["2024-02-01"], "datetime64[us]"),
            "pay": np.array([3.1]),
            "sex": np.array(["M"], object),
        }
    )
    row = torch.from_numpy(x).float()
    assert found.values(row) == ["2024-02-01", "3.10", "M"]
    assert found.values(torch.full((3,), torch.nan)) == ["", "", ""]
    saved = pd.read_csv(io.BytesIO(found.file(row, "csv")))
    assert saved.iloc[0].tolist()[1:] == [3.1, "M"]
    assert str(saved.iloc[0, 0]).startswith("2024-02-01")


def test_long_rows_are_cut_and_say_so() -> None:
    found = looks("numbers")
    x = found.explored.view.held.x[0]
    shown = found.of(x)
    assert len(shown["rows"]) == 40
    assert shown["more"] == "and 10 more"
    assert "and 10 more values" in fragments.beside(found, [("one", x)])


def test_texts_and_names_are_escaped(text: Looks) -> None:
    x = text.explored.view.held.x[0]
    assert "<script>" not in fragments.beside(text, [("<script>", x)])
    assert "<script>" not in fragments.beside(looks("digits"), [("<script>", torch.zeros(1, 8, 8))])
    assert text.of(x) == {"text": text.text(x)}
    assert text.file(x[None], "txt").decode() == text.text(x)
