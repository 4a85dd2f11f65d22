"""A folder of images of the user's own, end to end."""

import json
import os
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import reparam as rp
from reparam.data.image_folder import ENDINGS, find_images
from reparam.data.sources.images import load_images
from reparam.errors import DataError, OptionError
from reparam.runs.config import up_to_date
from reparam.runs.resume import differences
from reparam.runs.run import Run
from tests.support import reparam

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")


def picture(seed: int, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def write(folder: Path, n: int = 20, where: str = "") -> Path:
    """Write so many flat images, whose colors are their numbers, into a subfolder."""
    (folder / where).mkdir(parents=True, exist_ok=True)
    for number in range(n):
        Image.new("RGB", (12, 10), (number, 0, 0)).save(folder / where / f"{number}.png")
    return folder


def colors(data: rp.data.Dataset, split: str) -> set[int]:
    return set(data.split(split).x[:, 0, 0, 0].tolist())


def test_every_image_is_in_one_split_and_stays_there(tmp_path: Path) -> None:
    data = rp.data.load("images", path=write(tmp_path), size=4, test_share=0.2, validation=3)
    parts = {name: colors(data, name) for name in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [13, 3, 4]
    assert set().union(*parts.values()) == set(range(20))
    # The disk lists files in the order in which they came; the split knows their names only.
    for file in sorted(tmp_path.iterdir(), reverse=True):
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
    again = load_images(tmp_path, 4, test_share=0.2, validation=3)
    assert {name: colors(again, name) for name in parts} == parts
    assert data.spec.shape == (3, 4, 4)
    assert (data.spec.levels, data.spec.dequantized_from) == (256, None)
    assert load_images(tmp_path, 4, dequantize=True).spec.dequantized_from == 256


def test_the_middle_square_is_taken(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16, 1] = 200
    tall = wide.transpose(1, 0, 2)
    for i, pixels in enumerate((wide, tall, wide)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    data = load_images(tmp_path, 4, test_share=0, validation=0)
    expected = torch.tensor([0, 200, 0], dtype=torch.uint8)[None, :, None, None]
    assert torch.equal(data.images, expected.expand(3, 3, 4, 4))


def test_shrinking_averages_instead_of_skipping(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    for i in range(3):
        Image.fromarray(stripes).save(tmp_path / f"{i}.png")
    middle = load_images(tmp_path, 8, test_share=0, validation=0).images[..., 2:6, 2:6].float()
    # One column in two is white: every other pixel of the image would be all white or all black.
    assert (middle - 127.5).abs().max() < 6


def test_a_size_that_is_there_already_is_kept(tmp_path: Path) -> None:
    for i in range(3):
        picture(i).save(tmp_path / f"{i}.png")
    x = load_images(tmp_path, 20, test_share=0, validation=0).images
    expected = [torch.from_numpy(np.array(picture(i))).movedim(-1, 0) for i in range(3)]
    assert torch.equal(x, torch.stack(expected))


def test_every_kind_of_file_and_of_color(tmp_path: Path) -> None:
    for i, (mode, ending) in enumerate(
        [
            ("L", "jpg"),
            ("RGB", "JPEG"),
            ("CMYK", "jpg"),
            ("P", "png"),
            ("RGBA", "webp"),
            ("1", "PNG"),
        ]
    ):
        picture(i, (40 + i, 30), mode).save(tmp_path / f"{i}.{ending}")
    transparent = picture(9).convert("P")
    transparent.save(tmp_path / "palette.png", transparency=bytes(range(256)))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    data = load_images(tmp_path, 8, test_share=0, validation=0)
    assert data.images.shape == (7, 3, 8, 8)
    assert data.images.dtype == torch.uint8


def test_an_image_is_turned_as_the_camera_was(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # the top of the scene is on the right of what is stored
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png", exif=turned)
    (x, *_) = load_images(tmp_path, 8, test_share=0, validation=0).images
    assert x[:, :, 5:].min() == 255
    assert x[:, :, :3].max() == 0


def test_subfolders_are_classes(tmp_path: Path) -> None:
    write(tmp_path, 10, "cat/young")
    write(tmp_path, 10, "dog")
    data = load_images(tmp_path, 4, validation=2, test_share=0.2)
    assert data.class_names == ("cat", "dog")
    assert data.spec.n_classes == 2
    labels = torch.cat([split.y for split in data.splits.values() if split.y is not None])
    assert labels.bincount().tolist() == [10, 10]
    # One subfolder, or images beside subfolders, say nothing of classes.
    write(tmp_path, 3)
    assert load_images(tmp_path, 4).spec.n_classes is None
    assert load_images(tmp_path / "cat", 4, test_share=0.2).labels is None


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "some", 5)
    with pytest.raises(DataError, match="does not exist"):
        load_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file"):
        load_images(folder / "0.png")
    with pytest.raises(DataError, match="is a folder of your own: give its place as path="):
        rp.data.load("images")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has 0 images .*at least 3"):
        load_images(tmp_path / "empty")
    with pytest.raises(OptionError, match="size=0"):
        load_images(folder, 0)
    with pytest.raises(OptionError, match="test_share=1"):
        load_images(folder, test_share=1)
    with pytest.raises(OptionError, match=r"window=3: .* of data 'text' and not of 'images'"):
        rp.data.load("images", path=folder, window=3)


@pytest.mark.parametrize("damage", ["empty", "text", "short png", "short jpg", "flipped", "floats"])
def test_a_damaged_image_is_named(tmp_path: Path, damage: str) -> None:
    folder = write(tmp_path, 5)
    file = folder / ("bad.jpg" if damage == "short jpg" else "bad.png")
    picture(0, (50, 50)).save(file)
    content = file.read_bytes()
    changed = {
        "empty": b"",
        "text": b"no image at all",
        "short png": content[: len(content) // 2],
        "short jpg": content[: len(content) // 2],
        "flipped": content[:60] + bytes(255 - byte for byte in content[60:200]) + content[200:],
        "floats": content,
    }
    file.write_bytes(changed[damage])
    if damage == "floats":
        Image.fromarray(np.full((9, 9), 0.5, np.float32)).save(file, "TIFF")
    with pytest.raises(DataError, match=f"{file.name} cannot be read"):
        load_images(folder, 8)


def test_several_damaged_images_are_counted(tmp_path: Path) -> None:
    folder = write(tmp_path, 9)
    for number in range(5):
        (folder / f"{number}.png").write_bytes(b"" if number else b"no image")
    with pytest.raises(DataError, match=r"0\.png .*, nor can 4 more \(1\.png, 2\.png, 3\.png, …\)"):
        load_images(folder, 8)


def everything(folder: Path, size: int = 4, **options: object) -> torch.Tensor:
    """Return all images of a folder, in the order of their names."""
    return load_images(folder, size, test_share=0, validation=0, **options).images


def test_what_is_no_image_of_the_set_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "dog"):
        write(tmp_path, 10, name)
    plain = load_images(tmp_path, 4, validation=2)
    assert plain.notes == (
        "2 of 20 images are grey (cat/0.png, dog/0.png) and get three channels, "
        "as the others have; image_channels=1 makes all of them grey",
    )
    for place in (".ipynb_checkpoints", "cat/.thumbnails/small", "__MACOSX/cat"):
        write(tmp_path, 3, place)
    for name in ("._1.png", "dog/Thumbs.db", "labels.csv", "cat/photo.heic"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "round.png").symlink_to("round.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "mouse").mkdir()
    capsys.readouterr()
    data = load_images(tmp_path, 4, validation=2)
    assert data.class_names == ("cat", "dog")
    assert {name: colors(data, name) for name in data.splits} == {
        name: colors(plain, name) for name in plain.splits
    }
    assert data.notes[:2] == (
        "left out 16 files: 9 in hidden folders (.ipynb_checkpoints, .thumbnails, __MACOSX), "
        "2 hidden (._1.png, dog/Thumbs.db), 2 without the ending of an image (cat/photo.heic, "
        "labels.csv), 2 behind broken links (gone.png, round.png), 1 of a special type (pipe.png)",
        "no images in mouse",
    )
    assert capsys.readouterr().err == "".join(f"reparam: {note}\n" for note in data.notes)


def test_what_hides_is_below_the_folder_not_above_it(tmp_path: Path) -> None:
    assert len(everything(write(tmp_path / ".cache" / "faces", 5))) == 5
    with pytest.raises(DataError, match=r"has 0 images .* \(left out 5 files: 5 in hidden folders"):
        load_images(tmp_path, 4)


def test_links_are_followed_and_each_file_counts_once(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere", 5)
    data = write(tmp_path / "data", 6, "cat")
    (data / "dog").symlink_to(elsewhere)
    assert load_images(data, 4).class_names == ("cat", "dog")
    (data / "cat" / "back").symlink_to(data)
    (elsewhere / "loop").symlink_to(elsewhere)
    (data / "a linked cat").symlink_to(data / "cat")
    (data / "dog" / "a cat.png").symlink_to(data / "cat" / "1.png")
    (data / "cat" / "hard.png").hardlink_to(elsewhere / "2.png")
    found = find_images(data)
    # A name without a link comes before any other.
    assert [image.name for image in found.images] == [
        *(f"cat/{number}.png" for number in range(6)),
        "cat/hard.png",
        *(f"dog/{number}.png" for number in (0, 1, 3, 4)),
    ]
    assert {why: len(files) for why, files in found.left_out.items() if files} == {"again": 5}
    both = tmp_path / "both"
    both.mkdir()
    for name in ("cat", "dog"):
        (both / name).symlink_to(data / "cat" if name == "cat" else elsewhere)
    assert find_images(both).classes == ("cat", "dog")


def test_folders_full_of_links_to_each_other_end(tmp_path: Path) -> None:
    folders = [tmp_path / f"{number}" for number in range(12)]
    for folder in folders:
        write(folder, 1)
    for folder in folders:
        for other in folders:
            (folder / f"to {other.name}").symlink_to(other)
    # There are more than 12! ways along these links.
    found = find_images(tmp_path)
    assert len(found.images) == 12
    assert len(found.left_out["again"]) == 144


def splits_of(folder: Path, *tops: str, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for top in tops:
        for name in classes:
            write(folder, 10, f"{top}/{name}")
    return folder


@pytest.mark.parametrize(
    ("tops", "sizes"),
    [
        (("train", "test"), {"train": 20, "test": 20}),
        (("Train", "VAL"), {"train": 18, "validation": 20, "test": 2}),
        (("training", "dev", "testing"), {"train": 20, "validation": 20, "test": 20}),
        (("train", "valid", "validation"), {"train": 18, "validation": 40, "test": 2}),
        (("train",), {"train": 18, "test": 2}),
    ],
)
def test_folders_of_splits(tmp_path: Path, tops: tuple[str, ...], sizes: dict[str, int]) -> None:
    data = load_images(splits_of(tmp_path, *tops), 4)
    assert {name: len(split) for name, split in data.splits.items()} == sizes
    assert data.class_names == ("cat", "dog")
    assert data.options is not None
    again = rp.data.load(**data.options)
    assert again.options == data.options
    assert all(torch.equal(again.split(name).x, data.split(name).x) for name in sizes)


def test_each_image_stays_in_the_split_of_its_folder(tmp_path: Path) -> None:
    for top, color in (("train", 50), ("val", 100), ("test", 150)):
        for number in range(3):
            (tmp_path / top / f"{number}").mkdir(parents=True)
            image = Image.new("RGB", (4, 4), (color, number, 0))
            image.save(tmp_path / top / f"{number}" / "a.png")
    write(tmp_path, 2)
    write(tmp_path, 4, "unlabeled")
    data = load_images(tmp_path, 4)
    for split, color in (("train", 50), ("validation", 100), ("test", 150)):
        assert colors(data, split) == {color}
        assert data.split(split).y.tolist() == [0, 1, 2]
    assert data.notes == (
        "left out 6 files: 6 beside the folders of the splits (0.png, 1.png, unlabeled/0.png, …)",
    )


def test_classes_are_the_same_in_all_splits(tmp_path: Path) -> None:
    splits_of(tmp_path, "train", "test")
    write(tmp_path, 2, "test/bird")
    write(tmp_path, 1, "test")
    (tmp_path / "train" / "fish").mkdir()
    (tmp_path / "val").mkdir()
    data = load_images(tmp_path, 4, validation=0)
    assert data.class_names == ("bird", "cat", "dog")
    assert data.split("train").y.bincount().tolist() == [0, 10, 10]
    assert data.split("test").y.tolist() == [-1] + [0] * 2 + [1] * 10 + [2] * 10
    assert data.notes[:3] == (
        "no images in train/fish, val",
        "no training images of the classes bird",
        "no class is known of 1 image in no subfolder (test/0.png)",
    )
    write(tmp_path, 1, "train")
    data = load_images(tmp_path, 4)
    assert data.labels is None
    assert "no classes, because of 2 images in no subfolder (train/0.png, test/0.png)" in data.notes


def test_what_splits_are_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has images in Test/, val/ and none in train/"):
        load_images(splits_of(tmp_path / "no train", "Test", "val"), 4)
    vehicles = write(write(write(tmp_path / "1", 4, "bus"), 4, "car"), 4, "train")
    data = load_images(vehicles, 4)
    assert data.class_names == ("bus", "car", "train")
    assert data.notes[0] == "train/ is taken for a class, as there are other classes beside it"
    deep = load_images(splits_of(tmp_path / "2", "cat/train", "cat/test"), 4)
    assert deep.labels is None
    assert "not deeper (cat/test/cat, cat/test/dog, cat/train/cat, …)" in deep.notes[0]


def test_a_split_that_is_there_is_not_taken_out_of_train(tmp_path: Path) -> None:
    folder = splits_of(tmp_path, "train", "val", "test")
    assert len(load_images(folder, 4, validation=0, test_share=0).images) == 20
    with pytest.raises(OptionError, match=r"validation=2: .* folder for the split 'validation'"):
        load_images(folder, 4, validation=2)
    with pytest.raises(OptionError, match=r"test_share=0.5: .* folder for the split 'test'"):
        load_images(folder, 4, test_share=0.5)


@on_linux
def test_names_of_any_bytes(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    names = [
        top + b"/%d\xff.png" % number for top in (b"\xfe", b"d\xc3\xa9") for number in range(5)
    ]
    for number, name in enumerate(names):
        os.makedirs(os.path.dirname(place + b"/" + name), exist_ok=True)
        Image.new("RGB", (4, 4), (number, 9, 0)).save(os.fsdecode(place + b"/" + name))
    data = load_images(os.fsdecode(place), 4, test_share=0.5, validation=0)
    first = sorted(range(10), key=lambda number: sha256(names[number]).digest())[:5]
    assert colors(data, "test") == set(first)
    assert data.name == r"caf\xe9"
    assert data.class_names == ("dé", r"\xfe")
    assert yaml.safe_load(yaml.safe_dump(dict(data.options or {}))) == data.options
    words = ["--hidden", "4", "--latent-dim", "2", "--epochs", "1", "--size", "4"]
    run = str(tmp_path / "run")
    folder = ["--data", "images", "--path", os.fsdecode(place), "--test-share", "0.5"]
    reparam("train vae", *folder, *words, "--device cpu --out", run)
    again = rp.load(run).dataset()
    assert torch.equal(again.split("test").x, data.split("test").x)
    (tmp_path / "caf.png").mkdir()
    Path(os.fsdecode(place + b"/" + names[0])).write_bytes(b"")
    assert r"caf\xe9/\xfe/0\xff.png cannot be read as an image (it is empty)" in (
        reparam("doctor", os.fsdecode(place), code=1).err
    )


def test_the_form_of_unicode_changes_no_split(tmp_path: Path) -> None:
    parts = {}
    for form in ("NFC", "NFD"):
        for number in range(12):
            # On Linux these are two names, on macOS the second is what becomes of the first.
            name = unicodedata.normalize(form, f"é{number}ñ")
            folder = tmp_path / form / unicodedata.normalize(form, "ü" if number % 2 else "a")
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (number, 9, 0)).save(folder / f"{name}.png")
        data = load_images(tmp_path / form, 4, test_share=0.5)
        parts[form] = {name: colors(data, name) for name in data.splits}, data.class_names
    assert parts["NFC"] == parts["NFD"]


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    alphas = (0, 51, 128, 255)
    expected = []
    for number, alpha in enumerate(alphas):
        Image.new("RGBA", (4, 4), (100, 20, 255, alpha)).save(tmp_path / f"a{number}.png")
        expected.append([255 - (255 - level) * alpha / 255 for level in (100, 20, 255)])
    for number, alpha in enumerate(alphas):
        Image.new("LA", (4, 4), (60, alpha)).save(tmp_path / f"b{number}.png")
        expected.append([255 - (255 - 60) * alpha / 255] * 3)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([9, 9, 9, 200, 100, 50])
    palette.save(tmp_path / "c.png", transparency=bytes([255, 51]))
    expected.append([255 - (255 - level) / 5 for level in (200, 100, 50)])
    palette.save(tmp_path / "d.gif", transparency=1)
    palette.save(tmp_path / "e.png", transparency=0)
    Image.new("L", (4, 4), 7).save(tmp_path / "f.png", transparency=7)
    Image.new("1", (4, 4), 0).save(tmp_path / "g.png", transparency=0)
    Image.fromarray(np.full((4, 4), 514, np.uint16)).save(tmp_path / "h.png", transparency=514)
    white = [255] * 3
    expected += [white, [200, 100, 50], white, white, white]
    x = everything(tmp_path).double()
    target = torch.tensor(expected, dtype=torch.float64)[..., None, None].expand(-1, -1, 4, 4)
    assert (x - target).abs().max() <= 1


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    levels = np.array([0, 1, 128, 129, 257, 32768, 40000, 65279, 65535], np.uint16)
    wanted = torch.from_numpy(np.round(levels / 257).astype(np.uint8))
    square = np.broadcast_to(levels[:, None], (9, 9)).copy()
    Image.fromarray(square).save(tmp_path / "0.png")
    Image.fromarray(square).save(tmp_path / "1.tif")
    Image.fromarray(square.astype(">u2")).save(tmp_path / "2.tiff")
    Image.fromarray(square).save(tmp_path / "3.pgm")
    x = everything(tmp_path, 9)
    assert torch.equal(x, wanted[None, None, :, None].expand(4, 1, 9, 9))
    # A file of 12 bits that says so has its white at 4095.
    (tmp_path / "3.pgm").write_bytes(b"P5 9 9 4095\n" + np.full(81, 4095, ">u2").tobytes())
    assert (everything(tmp_path, 9)[3] == 255).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_levels_without_a_range_are_refused(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(write(tmp_path, 3) / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif .*mode [FI] has no known range; 8 and 16 bits"):
        load_images(tmp_path, 4)


def rgb_of_lab(lightness: float, a: float, b: float) -> list[float]:
    """Return sRGB from 0 to 1 of CIELAB under D50, by the formulas of CIE 15 and IEC 61966-2-1."""
    y = (lightness + 16) / 116
    white = np.array([0.96422, 1.0, 0.82521])
    f = np.array([y + a / 500, y, y - b / 200])
    xyz = white * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    # From D50 to the primaries of sRGB, adapted to its white by Bradford's method.
    to_rgb = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    linear = to_rgb @ xyz
    return np.where(
        linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear
    ).tolist()


def test_colors_of_other_spaces_become_rgb(tmp_path: Path) -> None:
    lab = [(60, 20, -30), (50, -30, 30), (70, 5, 40)]
    for number, (lightness, a, b) in enumerate(lab):
        pixel = bytes([round(lightness * 2.55), a % 256, b % 256])
        Image.frombytes("LAB", (4, 4), pixel * 16).save(tmp_path / f"{number}.tif")
    for number, ink in enumerate([(0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0)]):
        Image.new("CMYK", (4, 4), ink).save(tmp_path / f"{number + 3}.tif")
    for number in range(3):
        pure = Image.new("RGB", (4, 4), tuple(255 * (number == i) for i in range(3)))
        pure.convert("P").save(tmp_path / f"{number + 6}.bmp")
    x = everything(tmp_path).double()[..., 0, 0]
    expected = torch.tensor([rgb_of_lab(*values) for values in lab])
    assert (x[:3] - 255 * expected).abs().max() < 3
    assert torch.equal(x[3:], 255 * torch.eye(3, dtype=torch.float64).repeat(2, 1))


def test_all_orientations_of_a_camera(tmp_path: Path) -> None:
    stored = np.array(picture(0, (8, 8)))
    undone: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda x: x,
        np.fliplr,
        lambda x: np.rot90(x, 2),
        np.flipud,
        lambda x: x.swapaxes(0, 1),
        lambda x: np.rot90(x, -1),
        lambda x: np.rot90(x, 2).swapaxes(0, 1),
        np.rot90,
    ]
    for number in range(8):
        exif = Image.Exif()
        exif[0x0112] = number + 1
        for ending in ("png", "tif"):
            folder = tmp_path / ending
            folder.mkdir(exist_ok=True)
            Image.fromarray(stored).save(folder / f"{number}.{ending}", exif=exif)
    expected = np.stack([turn(stored) for turn in undone])
    Image.fromarray(stored).save(tmp_path / "png" / "0.png", exif=b"Exif\0\0 damaged")
    for ending in ("png", "tif"):
        assert np.array_equal(everything(tmp_path / ending, 8).movedim(1, -1).numpy(), expected)


def test_dark_images_of_16_bits_are_told(tmp_path: Path) -> None:
    levels = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels // 2).save(tmp_path / "b.png")
    Image.fromarray(levels // 3).save(tmp_path / "c.png")
    data = load_images(tmp_path, 8, test_share=0, validation=0)
    assert data.notes == (
        "3 images of 16 bits (a.png, b.png, c.png) have levels up to 4,095 of 65,535, of which 8 "
        "bits keep 16: multiply them by 16 to keep more",
    )
    Image.fromarray(levels * 16).save(tmp_path / "b.png")
    assert load_images(tmp_path, 8, test_share=0, validation=0).notes == ()


def test_the_first_frame_or_page_counts(tmp_path: Path) -> None:
    first, *others = (Image.new("RGB", (8, 8), (level, 0, 0)) for level in (200, 100, 50))
    for ending in ("gif", "png", "webp", "tif"):
        options = {"lossless": True} if ending == "webp" else {}
        file = tmp_path / f"a.{ending}"
        first.save(file, save_all=True, append_images=others, **options)
    first.save(tmp_path / "b.gif")
    data = load_images(tmp_path, 4, test_share=0, validation=0)
    assert (data.images[:, 0] == 200).all()
    assert data.notes == (
        "left out all but the first frame or page of 4 files (a.gif, a.png, a.tif, …)",
    )


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    for number, (mode, ending) in enumerate(
        [("L", "png"), ("L", "jpg"), ("RGB", "jpg"), ("RGB", "png"), ("P", "gif"), ("1", "tif")]
    ):
        picture(number, (20, 20), "L").convert(mode).save(tmp_path / f"{number}.{ending}")
    data = load_images(tmp_path, 20, test_share=0, validation=0)
    assert data.spec.shape == (1, 20, 20)
    assert torch.equal(data.images[0, 0], torch.from_numpy(np.array(picture(0, mode="L"))))
    assert torch.equal(everything(tmp_path, 20, image_channels=1), data.images)
    assert torch.equal(
        everything(tmp_path, 20, image_channels=3), data.images.expand(-1, 3, -1, -1)
    )
    assert data.options is not None
    assert data.options["image_channels"] == 1
    assert data.notes == ()
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "6.png")
    mixed = load_images(tmp_path, 20, test_share=0, validation=0)
    assert torch.equal(mixed.images[:6], data.images.expand(-1, 3, -1, -1))
    assert mixed.notes[0].startswith("6 of 7 images are grey (0.png, 1.jpg, 2.jpg, …)")
    luma = everything(tmp_path, 20, image_channels=1)[6]
    assert (luma.double() - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)).abs().max() <= 1
    for wrong in (2, 0, "grey"):
        with pytest.raises(OptionError, match="image_channels="):
            everything(tmp_path, 20, image_channels=wrong)


def test_every_ending_is_a_format_that_pillow_reads(tmp_path: Path) -> None:
    Image.init()
    formats = {ending: Image.registered_extensions().get(ending) for ending in ENDINGS}
    written = [ending for ending, name in formats.items() if name in Image.SAVE]
    assert {".jpg", ".png", ".gif", ".bmp", ".tif", ".ppm"} <= set(written)
    assert all(name in Image.OPEN for name in formats.values() if name)
    for ending in written:
        for number, name in enumerate((ending, ending.upper())):
            mode = "1" if ending == ".pbm" else "L" if ending == ".pgm" else "RGB"
            Image.new(mode, (1 + number, 1), 1).save(tmp_path / f"{number}{name}")
    (tmp_path / "folder.png").mkdir()
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "folder.png" / "one pixel.png")
    assert everything(tmp_path).shape == (2 * len(written) + 1, 3, 4, 4)


def test_large_images_are_read_and_bombs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns from here on: of all
    assert len(everything(folder)) == 4
    Image.new("RGB", (20, 20)).save(folder / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png cannot be read .*exceeds limit of 200 pixels"):
        load_images(folder, 4)


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = write(tmp_path, 4, "locked") / "locked"
    (tmp_path / "link").symlink_to("x" * 20)
    list_folder, status = os.scandir, os.stat

    # The user that runs tests may read everything, so that the system's answer is made up.
    def refuse_folder(path: object) -> object:
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return list_folder(path)

    def refuse_file(path: object, **options: object) -> object:
        if str(path).endswith("2.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return status(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse_folder)
        for path in (tmp_path, locked):
            with pytest.raises(
                DataError, match=r"locked cannot be read \(Permission denied\): make"
            ):
                load_images(path, 4)
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse_file)
        with pytest.raises(DataError, match=r"2\.png cannot be read \(Permission denied\)"):
            load_images(tmp_path, 4)
    with pytest.raises(DataError, match="cannot be read"):
        load_images("x" * 300, 4)
    with pytest.raises(OptionError, match="cannot contain a NUL"):
        load_images("a\0b", 4)


def test_the_same_pixels_have_one_default_from_all_entrances(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (12, 6, 6), dtype=np.uint8)
    for i, one in enumerate(x):
        Image.fromarray(one).save(tmp_path / f"{i:02}.png")
    scaled = torch.from_numpy(x) / 255
    given = [
        *(x, x[:, None], scaled, scaled[:, None].double(), scaled.numpy()),
        *(TensorDataset(torch.from_numpy(x)), TensorDataset(scaled)),
        *(DataLoader(TensorDataset(values), 4) for values in (torch.from_numpy(x), scaled)),
    ]
    sets = [rp.data.load("images", path=tmp_path, size=6), *map(rp.data.as_dataset, given)]
    expected = rp.DataSpec((1, 6, 6), "unit", levels=256, name="x")
    specs = [replace(data.spec, name="x") for data in sets]
    assert specs == [expected] * len(sets)
    pixels = [data.examples("train").x for data in sets]
    for found in pixels[1:]:
        torch.testing.assert_close(found, scaled[:, None])
    recipe = rp.variants.conv_vae(specs[0], padding=1)
    assert recipe.source.options["likelihood"] == "discretized-logistic"
    assert rp.families.default_likelihood(specs[0]) == "discretized-logistic"


def test_two_axes_are_an_image_unless_the_shape_is_given() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 4), dtype=np.uint8)
    assert rp.data.from_arrays(x).shape == (1, 8, 4)
    assert rp.data.from_arrays(x > 99).shape == (1, 8, 4)
    assert rp.data.from_arrays(x, shape=(8, 4)).shape == (8, 4)
    assert rp.data.from_arrays(x / 200).shape == (8, 4)


def test_floats_between_the_levels_have_no_levels() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2000, 64), dtype=np.uint8) / 255
    assert rp.data.from_arrays(x).spec.levels == 256
    x[-1, -1] = 0.5
    assert rp.data.from_arrays(x).spec.levels is None
    assert rp.data.from_arrays(x, test=x[:5] * 0.999).spec.levels is None


def test_runs_on_folders_from_before_are_dequantized(tmp_path: Path) -> None:
    spec = rp.DataSpec((3, 4, 4), "unit", dequantized_from=256, name="some")
    stored = {"name": "images", "path": str(write(tmp_path)), "size": 4}
    run = Run(torch.nn.Linear(1, 1), spec, up_to_date({"recorded": {"data": stored}}))
    assert run.dataset().spec.dequantized_from == 256


def test_runs_from_before_there_was_grey_keep_three_channels(tmp_path: Path) -> None:
    for number in range(6):
        picture(number, mode="L").save(tmp_path / f"{number}.png")
    stored = {"name": "faces", "path": str(tmp_path), "size": 4, "test_share": 0.1}
    spec = rp.DataSpec((3, 4, 4), "unit", dequantized_from=256, name="some")
    run = Run(torch.nn.Linear(1, 1), spec, up_to_date({"recorded": {"data": stored}}))
    assert run.dataset().shape == (3, 4, 4)
    asked = {"data": "faces", "image_channels": 3}
    assert differences({"data": "faces"}, asked) == []
    assert differences({"data": "faces"}, asked | {"image_channels": 1}) == [
        "image_channels (3 in the run, 1 now)"
    ]
    # Another folder has its own splits, whatever share was that of the first.
    other = run.dataset(path=splits_of(tmp_path / "other", "train", "test"))
    assert len(other.split("test")) == 20


def test_runs_from_before_faces_were_named_images_go_on(tmp_path: Path) -> None:
    folder, run = write(tmp_path / "some"), tmp_path / "run"
    model = ["--hidden", "4", "--latent-dim", "2", "--epochs", "1", "--device", "cpu"]
    words = ["--data", "images", "--path", str(folder), "--size", "4", "--out", str(run)]
    reparam("train vae", *words, *model)
    expected = rp.load(run).dataset().images
    config = run / "config.yaml"
    older = config.read_text()
    for key in ("data", "name"):
        assert f"{key}: images\n" in older
        older = older.replace(f"{key}: images\n", f"{key}: faces\n")
    config.write_text(older)
    assert torch.equal(rp.load(run).dataset().images, expected)
    reparam("train --resume", run)
    data = rp.data.load("faces", path=folder, size=4)
    assert data.options is not None
    assert data.options["name"] == "images"


def test_commands_say_once_what_is_left_out(tmp_path: Path) -> None:
    folder = write(write(tmp_path / "images", 20), 2, ".thumbnails")
    said = "reparam: left out 2 files: 2 in hidden folders (.thumbnails)\n"
    data = ["--data", "images", "--path", str(folder), "--size", "4", "--image-channels", "1"]
    model = ["--hidden", "4", "--latent-dim", "2", "--epochs", "1", "--device", "cpu"]
    assert reparam("train vae", *data, *model, "--out", tmp_path / "run").err.count(said) == 1
    assert rp.load(tmp_path / "run").spec.shape == (1, 4, 4)
    assert reparam("train --resume", tmp_path / "run").err.count(said) == 1
    out, err = reparam("doctor", folder, "--json")
    assert "findings" in json.loads(out[out.index("{") :])
    assert err.count(said) == 1
    said = reparam("doctor", write(tmp_path / "hidden", 5, ".git"), code=2)
    assert "holds no run (no config.yaml) and no images" in said.err


def test_the_deep_convolutional_vae_of_faces_trains_from_the_command_line(tmp_path: Path) -> None:
    folder, run = tmp_path / "images", tmp_path / "run"
    folder.mkdir()
    for i in range(8):
        picture(i, (70, 80)).save(folder / f"{i}.jpg")
    network = "--channels 32 64 128 256 512 --latent-dim 512 --norm batch"
    options = "--epochs 1 --batch-size 3 --test-share 0.25 --validation 0 --device cpu"
    reparam(f"train conv-vae --data images --path {folder} {network} {options} --out", run)
    assert "bits_per_dim" in reparam("evaluate", run, "--n-samples 2 --device cpu").out
    model = rp.load(run).latent_model
    assert model.sample(2).shape == (2, 3, 64, 64)
    assert sum(layer.weight.dim() == 4 for layer in model.encoder.network.layers[::3]) == 5


@pytest.mark.parametrize(
    ("sides", "size", "told"),
    [
        ((32, 32), (32, 32), ""),
        ((30, 40), (40, 30), ""),
        ((200, 90), (64, 64), "90 × 200"),
        ((4, 4), (8, 8), "4 × 4"),
    ],
)
def test_the_default_size_is_that_of_the_images(
    sides: tuple[int, int], size: tuple[int, int], told: str, tmp_path: Path
) -> None:
    for number in range(5):
        Image.new("L", sides, 20 * number).save(tmp_path / f"{number}.png")
    data = rp.data.load("images", path=tmp_path)
    assert data.shape == (1, *size)
    assert any("cropped and resized" in note for note in data.notes) == bool(told)
    assert told in "".join(data.notes)


def test_images_of_several_sizes_become_squares(tmp_path: Path) -> None:
    for number, sides in enumerate([(30, 40), (30, 40), (31, 40)]):
        Image.new("L", sides, 20 * number).save(tmp_path / f"{number}.png")
    assert rp.data.load("images", path=tmp_path).shape == (1, 30, 30)


def test_a_height_and_a_width_keep_the_central_part(tmp_path: Path) -> None:
    for i in range(3):
        picture(i, (40, 30)).save(tmp_path / f"{i}.png")
    pixels = torch.stack([torch.from_numpy(np.array(picture(i, (40, 30)))) for i in range(3)])
    x = load_images(tmp_path, "30x20", test_share=0, validation=0).images
    assert torch.equal(x, pixels[:, :, 10:30].movedim(-1, 1))
    x = load_images(tmp_path, "10x40", test_share=0, validation=0).images
    assert torch.equal(x, pixels[:, 10:20].movedim(-1, 1))
    with pytest.raises(OptionError, match="size='20x': give"):
        load_images(tmp_path, "20x")


def test_images_that_are_no_squares_are_learned(tmp_path: Path) -> None:
    for i in range(12):
        picture(i, (12, 16), "L").save(tmp_path / f"{i}.png")
    run = str(tmp_path / "run")
    options = "--size 16x10 --steps 2 --latent-dim 2 --device cpu --out"
    reparam("train conv-vae --data", str(tmp_path), options, run)
    trained = rp.load(run)
    assert trained.sample(2).shape == (2, 1, 16, 10)
    assert trained.dataset().options["size"] == "16x10"


def test_black_and_white_pixels_are_binary(tmp_path: Path) -> None:
    for i in range(12):
        picture(i, (12, 16), "1").save(tmp_path / f"{i}.png")
    data = rp.data.load("images", path=tmp_path)
    assert (data.spec.support, data.spec.levels, data.options["binarize"]) == (
        "binary",
        None,
        "threshold",
    )
    x = data.examples("train").x
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x, data.split("train").x.float() / 255)
    assert rp.data.load("images", path=tmp_path, binarize="none").spec.levels == 256
    run = rp.fit(rp.variants.vae, data, steps=2, progress=False)
    assert run.config["likelihood"] == "bernoulli"
    pixels = np.array(picture(3, (12, 16), "1")).astype(np.uint8)[None, None]
    assert torch.equal(run.encode(255 * pixels), run.encode(pixels.astype(np.float32)))


def test_grey_pixels_can_be_made_binary(tmp_path: Path) -> None:
    for i in range(12):
        picture(i, (12, 16), "L").save(tmp_path / f"{i}.png")
    data = rp.data.load("images", path=tmp_path, binarize="threshold")
    assert torch.equal(data.examples("train").x, (data.split("train").x >= 128).float())
    with pytest.raises(OptionError, match="static"):
        rp.data.load("images", path=tmp_path, binarize="static")
