"""Pictures and plots: sizes, pixels, and files that are whole or not there."""

import errno
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from torch import Tensor

from reparam import pictures, plots
from reparam.errors import DataError, OptionError, RunError, ShapeError
from reparam.plots.figure import class_colors
from reparam.spec import DataSpec
from reparam.utils.files import write_whole


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def test_grid_enlarges_by_whole_factors_and_keeps_every_pixel() -> None:
    images = torch.linspace(0, 1, 4 * 4).reshape(4, 1, 2, 2)
    picture = pixels(pictures.grid(images, n_columns=2, min_side=40))
    factor, gap = 10, 1
    assert picture.shape == (43, 43)
    for index in range(4):
        top = gap + index // 2 * (2 * factor + gap)
        left = gap + index % 2 * (2 * factor + gap)
        tile = picture[top : top + 2 * factor, left : left + 2 * factor]
        expected = (images[index, 0] * 255).round().numpy().astype(np.uint8)
        np.testing.assert_array_equal(tile, expected.repeat(10, 0).repeat(10, 1))
    assert (picture[0] == 255).all()
    assert (picture[:, 21] == 255).all()


@pytest.mark.parametrize(("n", "side", "least"), [(64, 8, 480), (1, 8, 480), (100, 28, 480)])
def test_small_images_become_large_enough_to_see(n: int, side: int, least: int) -> None:
    width, height = pictures.grid(torch.zeros(n, 1, side, side)).size
    assert least <= max(width, height) < 2 * least


def test_grid_clips_and_keeps_color() -> None:
    image = torch.tensor([[-1.0, 2.0, float("nan")]]).reshape(1, 3, 1, 1)
    picture = pixels(pictures.grid(image, min_side=4))
    assert picture.shape[2] == 3
    assert tuple(picture[2, 2]) == (0, 255, 0)


def test_grid_with_an_unfinished_row() -> None:
    picture = pixels(pictures.grid(torch.zeros(5, 1, 4, 4), n_columns=3, min_side=24))
    assert (picture[-5:, -5:] == 255).all()
    assert (picture[:12] == 0).any()


def test_grid_refuses_what_is_no_picture() -> None:
    for shape in ((3, 64), (0, 1, 8, 8), (3, 2, 8, 8)):
        with pytest.raises(ShapeError, match="images of shape"):
            pictures.grid(torch.zeros(shape))
    with pytest.raises(OptionError, match="n_columns=0"):
        pictures.grid(torch.zeros(1, 1, 8, 8), n_columns=0)


def test_side_by_side_has_inputs_above_their_reconstructions() -> None:
    inputs = torch.arange(10.0).div(20).reshape(10, 1, 1, 1).expand(10, 1, 4, 4)
    picture = pixels(pictures.side_by_side(inputs, inputs + 0.5, n_columns=5, min_side=16))
    seen = [row[picture[top] != 255] for top, row in enumerate(picture)]
    rows = [tuple(dict.fromkeys(row.tolist())) for row in seen if len(row)]
    bands = list(dict.fromkeys(rows))
    shades = (inputs[:, 0, 0, 0] * 255).round().int().tolist()
    below = ((inputs[:, 0, 0, 0] + 0.5) * 255).round().int().tolist()
    expected = [shades[:5], below[:5], shades[5:], below[5:]]
    assert bands == [tuple(band) for band in expected]


def test_side_by_side_takes_any_number_of_pairs() -> None:
    for n in range(1, 20):
        pair = torch.zeros(n, 3, 5, 7)
        picture = pixels(pictures.side_by_side(pair, pair))
        assert max(picture.shape) >= 480
    with pytest.raises(ShapeError, match="both must have the same shape"):
        pictures.side_by_side(torch.zeros(2, 1, 4, 4), torch.zeros(3, 1, 4, 4))


def test_what_can_be_pictured() -> None:
    assert pictures.is_picturable(DataSpec((3, 32, 32), "unit"))
    assert not pictures.is_picturable(DataSpec((64,), "binary"))
    assert not pictures.is_picturable(DataSpec((1, 4, 4), "tokens", levels=9))
    pictures.check_picturable(DataSpec((1, 8, 8), "binary"))
    with pytest.raises(OptionError, match="plot their latents instead"):
        pictures.check_picturable(DataSpec((64,), "unit"))


def test_saved_picture_is_a_png_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "grid.png"
    for value in (0.0, 1.0):
        pictures.save(pictures.grid(torch.full((4, 1, 8, 8), value)), path)
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert np.asarray(image).min() == 255
    assert [entry.name for entry in path.parent.iterdir()] == ["grid.png"]
    assert path.stat().st_mode & stat.S_IRUSR
    pictures.save(pictures.grid(torch.zeros(1, 3, 8, 8)), tmp_path / "grid.jpg")


def test_unknown_ending_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"call it 'grid\.png'"):
        pictures.save(pictures.grid(torch.zeros(1, 1, 8, 8)), tmp_path / "grid.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.write_bytes(b"old")

    def fill(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match="no space left on the disk"):
        write_whole(path, fill)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]
    with pytest.raises(RunError, match="cannot write"):
        pictures.save(pictures.grid(torch.zeros(1, 1, 8, 8)), path / "inside.png")


def rows(latent: bool = True) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for epoch in range(1, 6):
        for split in ("train", "validation"):
            row: dict[str, object] = {"epoch": epoch, "step": 10 * epoch, "split": split}
            row["loss"] = 100.0 / epoch
            if latent:
                row |= {"elbo": -100.0 / epoch, "reconstruction": -90.0 / epoch, "kl": 1.0 * epoch}
            if latent and split == "train":
                row["beta"] = epoch / 5
            made.append(row)
    return made


def test_loss_curves_draw_what_the_rows_say() -> None:
    figure = plots.loss_curves(rows())
    elbo, reconstruction, kl, weight = figure.axes
    assert elbo.get_ylabel() == "nats per example"
    assert elbo.get_xlabel() == "epoch"
    assert reconstruction.get_title().startswith("reconstruction")
    for line in elbo.lines:
        np.testing.assert_allclose(line.get_xdata(), [1, 2, 3, 4, 5])
        np.testing.assert_allclose(line.get_ydata(), [-100, -50, -100 / 3, -25, -20])
    labels = [text.get_text() for text in elbo.get_legend().get_texts()]
    assert labels == ["train: -20.00", "validation: -20.00"]
    np.testing.assert_allclose(kl.lines[0].get_ydata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(weight.lines[0].get_ydata(), [0.2, 0.4, 0.6, 0.8, 1.0])


def test_loss_curves_without_latents_and_with_gaps() -> None:
    made = rows(latent=False)
    made[0]["loss"] = float("nan")
    made[2]["loss"] = None
    figure = plots.loss_curves(made)
    assert len(figure.axes) == 1
    assert len(figure.axes[0].lines[0].get_xdata()) == 3
    for empty in ([], [{"step": 1}], [{"step": 1, "elbo": None}]):
        with pytest.raises(DataError, match="train for at least one epoch"):
            plots.loss_curves(empty)


def test_loss_curves_by_step_where_epochs_have_several_rows() -> None:
    made = [{"epoch": 1, "step": step, "split": "train", "elbo": -1.0} for step in (5, 10)]
    figure = plots.loss_curves(made)
    assert figure.axes[0].get_xlabel() == "optimizer step"


def test_latent_scatter_of_two_dimensions_shows_them_as_they_are() -> None:
    means = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 3
    figure = plots.latent_scatter(means, labels, ["cat", "dog", "owl"])
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z₁", "z₂")
    for label, points in enumerate(axes.collections):
        np.testing.assert_allclose(points.get_offsets(), means[labels == label].numpy())
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["cat", "dog", "owl"]


@pytest.mark.parametrize(
    ("dim", "n_classes"),
    [
        (1, 0),
        (2, 10),
        (5, 26),
        *(
            pytest.param(dim, n_classes, marks=pytest.mark.slow)
            for dim, n_classes in [(1, 10), (1, 26), (2, 0), (2, 26), (5, 0), (5, 10)]
        ),
    ],
)
def test_latent_scatter_of_any_size_can_be_saved(tmp_path: Path, dim: int, n_classes: int) -> None:
    means = torch.randn(60, dim, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % n_classes if n_classes else None
    path = tmp_path / "scatter.png"
    plots.save_figure(plots.latent_scatter(means, labels), path)
    with Image.open(path) as image:
        assert min(image.size) > 400


def test_latent_scatter_refuses_labels_of_another_length() -> None:
    with pytest.raises(ShapeError, match="one label each"):
        plots.latent_scatter(torch.zeros(4, 2), torch.zeros(3).long())
    with pytest.raises(ShapeError, match="two or more"):
        plots.latent_scatter(torch.zeros(1, 2))


def test_quantile_grid_lies_as_the_scatter_does() -> None:
    seen: list[Tensor] = []

    def decode(z: Tensor) -> Tensor:
        seen.append(z)
        return torch.special.ndtr(z[:, :1]).reshape(-1, 1, 1, 1)

    picture = pixels(plots.quantile_grid(decode, (1, 1, 1), n=15))
    assert seen[0].shape == (225, 2)
    # First tile: leftmost and highest; the quantiles are evenly spaced in probability.
    torch.testing.assert_close(torch.special.ndtr(seen[0][0]), torch.tensor([0.05, 0.95]))
    torch.testing.assert_close(torch.special.ndtr(seen[0][-1]), torch.tensor([0.95, 0.05]))
    torch.testing.assert_close(
        torch.special.ndtr(seen[0][:15, 0]), torch.linspace(0.05, 0.95, 15), atol=1e-5, rtol=0
    )
    middle = picture[picture.shape[0] // 2]
    shades = list(dict.fromkeys(middle[middle != 255].tolist()))
    assert shades == sorted(shades)
    assert len(shades) == 15
    for options in ({"n": 1}, {"low": 0.0}, {"low": 0.9, "high": 0.1}):
        with pytest.raises(OptionError):
            plots.quantile_grid(decode, (1, 1, 1), **options)


def test_kl_per_dimension_counts_what_is_in_use(tmp_path: Path) -> None:
    figure = plots.kl_per_dimension([0.001, 2.0, 0.5])
    axes = figure.axes[0]
    assert axes.get_title().endswith("2 of 3 in use")
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([2.0, 0.5, 0.001])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "0"]
    plots.save_figure(figure, tmp_path / "kl.png")
    with Image.open(tmp_path / "kl.png") as image:
        assert image.format == "PNG"
    with pytest.raises(DataError, match="factorize"):
        plots.kl_per_dimension([])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figures_are_saved_whole(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "deep" / f"loss.{ending}"
    plots.save_figure(plots.loss_curves(rows()), path)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("n", [1, 10, 11, 20, 21, 140])
def test_no_two_classes_have_one_color(n: int) -> None:
    colors = [np.array(to_rgb(color)) for color in class_colors(n)]
    assert len({tuple(color) for color in colors}) == n
    if n > 20:  # as of one color map: neighbors are near each other, and none is black or white
        light = [rgb_to_luminance(color) for color in colors]
        assert 0.03 < min(light) < max(light) < 0.6


def rgb_to_luminance(color: np.ndarray) -> float:
    """Return the relative luminance of WCAG 2 of a color."""
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
