"""A folder of images of the user's own, end to end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.cli.main import main
from reparam.data.images import load_images
from reparam.errors import DataError, OptionError


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
    data = rp.data.load("faces", path=write(tmp_path), size=4, test_share=0.2, validation=3)
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
    assert data.spec.dequantized_from == 256
    assert load_images(tmp_path, 4, dequantize=False).spec.levels == 256


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
    with pytest.raises(DataError, match="name it as path"):
        rp.data.load("faces")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has 0 images .*at least 3"):
        load_images(tmp_path / "empty")
    with pytest.raises(OptionError, match="size=0"):
        load_images(folder, 0)
    with pytest.raises(OptionError, match="test_share=1"):
        load_images(folder, test_share=1)
    with pytest.raises(OptionError, match="unknown option of data 'faces' 'binarize'"):
        rp.data.load("faces", path=folder, binarize="dynamic")
    with pytest.raises(OptionError, match="unknown option of data 'faces' 'window'"):
        rp.data.load("faces", path=folder, window=3)


@pytest.mark.parametrize("damage", ["empty", "text", "short png", "short jpg", "flipped", "16 bit"])
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
        "16 bit": content,
    }
    file.write_bytes(changed[damage])
    if damage == "16 bit":
        Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(file)
    with pytest.raises(DataError, match=rf"{file.name} (cannot be read|has more than 256)"):
        load_images(folder, 8)


def test_the_deep_convolutional_vae_of_faces_trains_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = tmp_path / "images", str(tmp_path / "run")
    folder.mkdir()
    for i in range(8):
        picture(i, (70, 80)).save(folder / f"{i}.jpg")
    network = [
        "--channels",
        "32",
        "64",
        "128",
        "256",
        "512",
        "--latent-dim",
        "512",
        "--norm",
        "batch",
    ]
    options = ["--epochs", "1", "--batch-size", "3", "--test-share", "0.25", "--validation", "0"]
    data = ["--data", "faces", "--path", str(folder)]
    main(["train", "conv-vae", *data, *network, *options, "--device", "cpu", "--out", run])
    main(["evaluate", run, "--n-samples", "2", "--device", "cpu"])
    assert "bits_per_dim" in capsys.readouterr().out
    model = rp.load(run).latent_model
    assert model.sample(2).shape == (2, 3, 64, 64)
    assert sum(layer.weight.dim() == 4 for layer in model.encoder.network.layers[::3]) == 5
