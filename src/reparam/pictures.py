"""Pictures of examples: grids of images, and pairs of inputs and reconstructions."""

from collections.abc import Collection
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reparam.errors import OptionError, ShapeError
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

_PAPER = 255
"""The shade of the background, white."""

_FORMATS = ("png", "jpg", "jpeg", "webp", "gif", "bmp")


def is_picturable(spec: DataSpec) -> bool:
    """Return whether examples can be shown: images whose entries are shades of grey or color.

    >>> is_picturable(DataSpec((1, 8, 8), "binary")), is_picturable(DataSpec((64,), "binary"))
    (True, False)
    """
    return spec.is_image and spec.support in ("binary", "unit", "real")


def check_picturable(spec: DataSpec) -> None:
    """Refuse data that cannot be shown as pictures.

    Raises:
        OptionError: Examples that are not images, or whose entries are not shades.

    Example:
        >>> check_picturable(DataSpec((64,), "unit", name="rows"))
        Traceback (most recent call last):
        reparam.errors.OptionError: 'rows' has unit examples of shape (64,): only images of ...
    """
    if not is_picturable(spec):
        raise OptionError(
            f"{spec.name!r} has {spec.support} examples of shape {spec.shape}: only images of "
            "shades, with shape (1 or 3, height, width), make a picture; plot their latents "
            "instead, or load the data as images"
        )


@numbers(n_columns=1, min_side=0)
def grid(images: Tensor, n_columns: int | None = None, min_side: int = 480) -> "Image":
    """Return a grid of images.

    Images are enlarged by a whole factor, without blurring. Values outside [0, 1] are clipped.

    Arguments:
        images: Images with values in [0, 1], with shape (N, C, H, W), where C is 1 or 3.
        n_columns: The number of images in a row; None for a square grid.
        min_side: The smallest length of the picture's longer side, in pixels.

    Raises:
        ShapeError: No images, or another shape.
        OptionError: Fewer than one column.

    Example:
        >>> grid(torch.rand(64, 1, 8, 8)).size
        (539, 539)
    """
    shades = _shades(images)
    n_columns = min(len(shades), n_columns or ceil(sqrt(len(shades))))
    return _compose(shades, n_columns, min_side)


@numbers(n_columns=1, min_side=0)
def side_by_side(
    inputs: Tensor,
    reconstructions: Tensor,
    n_columns: int | None = None,
    min_side: int = 480,
) -> "Image":
    """Return inputs, each above its reconstruction, in bands of two rows.

    Arguments:
        inputs: Images with values in [0, 1], with shape (N, C, H, W).
        reconstructions: Their reconstructions, in the same order and shape.
        n_columns: The number of pairs in a band; None for a picture that is about square.
        min_side: The smallest length of the picture's longer side, in pixels.

    Raises:
        ShapeError: The shapes differ, or are not those of images.
        OptionError: Fewer than one column.

    Example:
        >>> side_by_side(torch.rand(16, 1, 8, 8), torch.rand(16, 1, 8, 8)).size
        (539, 280)
    """
    if inputs.shape != reconstructions.shape:
        raise ShapeError(
            f"inputs of shape {tuple(inputs.shape)} and reconstructions of shape "
            f"{tuple(reconstructions.shape)}: both must have the same shape"
        )
    pairs = np.stack([_shades(inputs), _shades(reconstructions)])
    _, n, *tile = pairs.shape
    n_columns = min(n, n_columns or _band(n))
    # Rows of inputs and of reconstructions alternate; blank tiles fill the last band.
    blank = np.full((2, -n % n_columns, *tile), _PAPER, np.uint8)
    rows = np.concatenate([pairs, blank], axis=1).reshape(2, -1, n_columns, *tile)
    return _compose(rows.swapaxes(0, 1).reshape(-1, *tile), n_columns, min_side, band=2)


def tile(image: Tensor) -> "Image":
    """Return one image of its own size, without a frame.

    Arguments:
        image: The image with values in [0, 1], with shape (C, H, W), where C is 1 or 3.

    Raises:
        ShapeError: Another shape.

    Example:
        >>> tile(torch.rand(3, 8, 6)).size
        (6, 8)
    """
    from PIL import Image

    shades = _shades(image[None])[0]
    return Image.fromarray(shades[..., 0] if shades.shape[-1] == 1 else shades)


def save(image: "Image", path: str | Path) -> None:
    """Write a picture, complete or not at all; missing folders are created.

    Arguments:
        image: The picture.
        path: The file, whose ending is the format.

    Raises:
        OptionError: The ending is not a format of pictures.
        WriteError: The file cannot be written, as on a full disk.
    """
    path = as_path(path)
    kind = picture_format(path, _FORMATS)
    write_whole(path, lambda file: image.save(file, format="jpeg" if kind == "jpg" else kind))


def picture_format(path: Path, known: Collection[str]) -> str:
    """Return the format of a file by its ending, in lower case.

    Raises:
        OptionError: The ending is not a format of pictures.

    Example:
        >>> picture_format(Path("grid.PNG"), ["png", "pdf"])
        'png'
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in known:
        raise OptionError(
            f"picture file {path.name!r}: its ending must be one of "
            f"{', '.join('.' + name for name in known)}; call it {path.stem + '.png'!r}"
        )
    return ending


def _shades(images: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Return images as uint8 with shape (N, H, W, C)."""
    if images.dim() != 4 or images.shape[0] < 1 or images.shape[1] not in (1, 3):
        raise ShapeError(
            f"images of shape {tuple(images.shape)}: must have the shape (N, 1 or 3, height, "
            "width) of at least one image"
        )
    values = images.detach().float().nan_to_num(0.0).clamp(0, 1).mul(255).round()
    return values.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _band(n: int) -> int:
    """Return the number of pairs in a band, for a picture near a square with few empty places.

    >>> _band(10), _band(16), _band(40), _band(64)
    (5, 8, 10, 16)
    """
    square = ceil(sqrt(2 * n))
    widths = range(max(8, 4 * square // 3), max(5, 2 * square // 3) - 1, -1)
    return min(widths, key=lambda k: (-n % k, abs(k - square)))


def _compose(
    tiles: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]",
    n_columns: int,
    min_side: int,
    band: int = 1,
) -> "Image":
    """Return tiles (N, H, W, C) row by row on a white background, in bands of some rows."""
    from PIL import Image

    n, height, width, channels = tiles.shape
    n_rows = ceil(n / n_columns)
    factor = max(1, ceil(min_side / max(n_columns * width, n_rows * height)))
    # A line between tiles has a twentieth of a tile; between bands of several rows it is wider.
    gap = max(1, factor * width // 20)
    height, width = factor * height, factor * width
    space = gap if band == 1 else 4 * gap
    tops = [gap + row * (height + gap) + row // band * (space - gap) for row in range(n_rows)]
    size = (tops[-1] + height + gap, n_columns * (width + gap) + gap)
    paper = np.full((*size, channels), _PAPER, np.uint8)
    large = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    for index, tile in enumerate(large):
        top = tops[index // n_columns]
        left = gap + index % n_columns * (width + gap)
        paper[top : top + height, left : left + width] = tile
    return Image.fromarray(paper[..., 0] if channels == 1 else paper)
