"""Pictures of examples: grids large enough to see, and inputs above their reconstructions."""

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
_FORMATS = ("png", "jpg", "jpeg", "webp", "gif", "bmp")


def is_picturable(spec: DataSpec) -> bool:
    """Return whether examples can be shown: images whose entries are shades.

    >>> is_picturable(DataSpec((1, 8, 8), "binary")), is_picturable(DataSpec((64,), "binary"))
    (True, False)
    """
    return spec.is_image and spec.support in ("binary", "unit", "real")


def check_picturable(spec: DataSpec) -> None:
    """Refuse data that no picture can show.

    Raises:
        OptionError: Examples that are no images, or whose entries are no shades.

    Example:
        >>> check_picturable(DataSpec((64,), "unit", name="rows"))
        Traceback (most recent call last):
        reparam.errors.OptionError: 'rows' has unit examples of shape (64,): only images of ...
    """
    if not is_picturable(spec):
        raise OptionError(
            f"{spec.name!r} has {spec.support} examples of shape {spec.shape}: only images of "
            "shades, with shape (1 or 3, height, width), make a picture; look at their latents "
            "instead (reparam plot, reparam encode), or load the data as images"
        )


@numbers(n_columns=1, min_side=0)
def grid(images: Tensor, n_columns: int | None = None, min_side: int = 480) -> "Image":
    """Return images side by side, enlarged until small ones can be seen.

    Every pixel becomes a square of whole size, so that nothing is blurred. Values outside [0, 1]
    are clipped.

    Arguments:
        images: Images with values in [0, 1], with shape (N, C, H, W), where C is 1 or 3.
        n_columns: How many in a row; about as many as there are rows when None.
        min_side: The picture's longer side in pixels, at least.

    Raises:
        ShapeError: No images, or another shape.
        OptionError: Fewer than one column.

    Example:
        >>> grid(torch.rand(64, 1, 8, 8)).size
        (539, 539)
    """
    shades = _shades(images)
    n, height, width = shades.shape[:3]
    if n_columns is not None and n_columns < 1:
        raise OptionError(f"n_columns={n_columns}: a row holds at least one image")
    n_columns = min(n, n_columns or ceil(sqrt(n)))
    n_rows = ceil(n / n_columns)
    factor = _factor(max(n_columns * width, n_rows * height), min_side)
    gap = _gap(factor, width)
    tops = [gap + row * (factor * height + gap) for row in range(n_rows)]
    return _compose(shades, n_columns, tops, factor, gap)


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
        reconstructions: What the model made of them, in the same order and shape.
        n_columns: How many pairs in a band; None for a picture of pleasant proportions.
        min_side: The picture's longer side in pixels, at least.

    Raises:
        ShapeError: Shapes that differ, or are not those of images.
        OptionError: Fewer than one column.

    Example:
        >>> side_by_side(torch.rand(16, 1, 8, 8), torch.rand(16, 1, 8, 8)).size
        (539, 280)
    """
    if inputs.shape != reconstructions.shape:
        raise ShapeError(
            f"inputs of shape {tuple(inputs.shape)} beside reconstructions of shape "
            f"{tuple(reconstructions.shape)}: they must be pairs, in the same shape"
        )
    if n_columns is not None and n_columns < 1:
        raise OptionError(f"n_columns={n_columns}: a row holds at least one image")
    above, below = _shades(inputs), _shades(reconstructions)
    n, height, width = above.shape[:3]
    n_columns = min(n, n_columns or _band(n))
    n_bands = ceil(n / n_columns)
    factor = _factor(max(n_columns * width, 2 * n_bands * height), min_side)
    gap = _gap(factor, width)
    tops: list[int] = []
    top = gap
    for _ in range(n_bands):
        tops += [top, top + factor * height + gap]
        top += 2 * factor * height + 5 * gap
    # Rows of inputs and of reconstructions in turn; blank tiles fill the last band.
    blank = np.full((n_bands * n_columns - n, *above.shape[1:]), _PAPER, np.uint8)
    rows = [
        np.concatenate([part, blank]).reshape(n_bands, n_columns, *above.shape[1:])
        for part in (above, below)
    ]
    tiles = np.stack(rows, axis=1).reshape(-1, *above.shape[1:])
    return _compose(tiles, n_columns, tops, factor, gap)


def save(image: "Image", path: str | Path) -> None:
    """Write a picture, whole or not at all; missing folders are made.

    Arguments:
        image: The picture.
        path: The file; its ending tells the format.

    Raises:
        OptionError: An ending that is no format of pictures.
        RunError: The file cannot be written, as on a full disk.
    """
    path = as_path(path)
    kind = picture_format(path, _FORMATS)
    write_whole(path, lambda file: image.save(file, format="jpeg" if kind == "jpg" else kind))


def picture_format(path: Path, known: Collection[str]) -> str:
    """Return the format that a file's ending names, in lower case.

    Raises:
        OptionError: An ending that is no format of pictures.

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
            f"images of shape {tuple(images.shape)}: a picture needs at least one image, given "
            "as (N, 1 or 3, height, width)"
        )
    values = images.detach().float().nan_to_num(0.0).clamp(0, 1).mul(255).round()
    return values.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _factor(side: int, min_side: int) -> int:
    return max(1, ceil(min_side / side))


def _band(n: int) -> int:
    """Return how many of n pairs to put in a band: near a square picture, with few places empty.

    >>> _band(10), _band(16), _band(40), _band(64)
    (5, 8, 10, 16)
    """
    square = ceil(sqrt(2 * n))
    widths = range(max(8, 4 * square // 3), max(5, 2 * square // 3) - 1, -1)
    return min(widths, key=lambda k: (-n % k, abs(k - square)))


def _gap(factor: int, width: int) -> int:
    """Return a thin line: about a twentieth of a tile, at least one pixel."""
    return max(1, factor * width // 20)


def _compose(
    tiles: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]",
    n_columns: int,
    tops: list[int],
    factor: int,
    gap: int,
) -> "Image":
    """Return tiles (N, H, W, C) on white paper, row by row, each row at its top."""
    from PIL import Image

    height, width, channels = (factor * tiles.shape[1], factor * tiles.shape[2], tiles.shape[3])
    size = (tops[-1] + height + gap, n_columns * (width + gap) + gap)
    paper = np.full((*size, channels), _PAPER, np.uint8)
    large = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    for index, tile in enumerate(large):
        top = tops[index // n_columns]
        left = gap + index % n_columns * (width + gap)
        paper[top : top + height, left : left + width] = tile
    return Image.fromarray(paper[..., 0] if channels == 1 else paper)
