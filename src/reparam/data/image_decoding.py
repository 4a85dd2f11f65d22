"""From files of images of any kind to the pixels of squares of one size."""

import os
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reparam.data.image_folder import ImageFile, listed, printable
from reparam.errors import DataError, OptionError
from reparam.utils.files import reason

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

WHITE_OF_16_BITS = 65535
"""The largest level of a pixel with 16 bits."""


@dataclass(frozen=True)
class Decoded:
    """The pixels of images, and what was noticed about the files.

    Arguments:
        x: The pixels by split, uint8 with shape (N, C, size, size).
        grey: The names of images in which red, green and blue are equal everywhere.
        framed: The names of files with further frames or pages, which are left out.
    """

    x: dict[str, Tensor]
    grey: Sequence[str]
    framed: Sequence[str]


def read_images(
    splits: Mapping[str, Sequence[ImageFile]], size: int, image_channels: int | None = None
) -> Decoded:
    """Return the pixels of images, as squares of one size.

    Arguments:
        splits: The images by split.
        size: The height and width.
        image_channels: 1 for grey, 3 for RGB; None for 1 where all images are grey, else 3.

    Raises:
        DataError: Files that are damaged, or have levels without a known range.
        OptionError: A size whose pixels do not fit in memory.
    """
    files = [file for part in splits.values() for file in part]
    shape = (image_channels or 3, size, size)
    try:
        x = {
            name: torch.empty(len(part), *shape, dtype=torch.uint8) for name, part in splits.items()
        }
    except RuntimeError as error:
        raise OptionError(
            f"size={size}: {len(files):,} images of shape {shape} do not fit in memory: give a "
            "smaller size"
        ) from error
    grey, framed, damaged = [], [], []
    with warnings.catch_warnings():
        # Pillow warns of large images, and of metadata that matter little beside the pixels.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for row, file in zip(chain.from_iterable(x.values()), files, strict=True):
            try:
                pixels, more = _pixels(file, size, "L" if image_channels == 1 else "RGB")
            # What a decoder raises for damaged bytes is anything, from KeyError to MemoryError.
            except Exception as error:
                damaged.append((file, error))
                continue
            row.copy_(torch.from_numpy(pixels).movedim(-1, 0))
            if (pixels == pixels[..., :1]).all():
                grey.append(file.name)
            if more:
                framed.append(file.name)
    if damaged:
        raise _unreadable(damaged)
    if image_channels is None and len(grey) == len(files):
        x = {name: pixels[:, :1].clone() for name, pixels in x.items()}
    return Decoded(x, sorted(grey), sorted(framed))


def squared(image: "Image", size: int, mode: str = "RGB") -> "Image":
    """Return the middle square of an image, in a mode of Pillow, with a side of so many pixels.

    >>> from PIL import Image
    >>> squared(Image.new("L", (30, 20), 7), 4).getpixel((0, 0))
    (7, 7, 7)
    """
    from PIL import Image, ImageOps

    image.load()  # so that an error from here on is one of the metadata
    try:
        # Cameras store how they were held, which the pixels do not show.
        upright = ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, LookupError, struct.error):
        upright = image
    side = min(upright.size)
    left, top = ((length - side) // 2 for length in upright.size)
    square = upright.crop((left, top, left + side, top + side))
    return in_color(square).convert(mode).resize((size, size), Image.Resampling.LANCZOS)


def in_color(image: "Image") -> "Image":
    """Return an image of any mode in RGB, on white where it is transparent.

    >>> from PIL import Image
    >>> in_color(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    from PIL import Image

    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int32)
        levels[levels == image.info.get("transparency")] = WHITE_OF_16_BITS
        eight_bits = (levels + 128) // 257
        return Image.fromarray(eight_bits.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if image.mode == "LAB":
        return _lab_to_rgb().apply(image)
    return image.convert("RGB")


@cache
def _lab_to_rgb() -> "ImageCmsTransform":
    """Return what turns the colors of CIELAB, which Pillow does not convert by itself, into RGB."""
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, rgb, "LAB", "RGB")


def _pixels(
    file: ImageFile, size: int, mode: str
) -> tuple["np.ndarray[Any, np.dtype[np.uint8]]", bool]:
    """Return one image, with shape (size, size, C), and whether the file has further frames.

    Raises:
        ValueError: Its levels have no known range.
    """
    from PIL import Image

    with Image.open(file.path) as image:
        # Pillow brings the 16 bits of these formats into its mode of 32 bits.
        if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
            raise ValueError(f"Pillow's mode {image.mode} has no known range; 8 and 16 bits have")
        # The further pictures of a camera's file are small copies and maps of depth.
        more = image.format != "MPO" and getattr(image, "is_animated", False)
        # A large photograph is decoded at a part of its size, which takes a part of the time.
        image.draft("RGB", (4 * size, 4 * size))
        pixels = np.array(squared(image, size, mode))
    return pixels.reshape(size, size, -1), more


def _unreadable(damaged: Sequence[tuple[ImageFile, Exception]]) -> DataError:
    """Return the error for images that cannot be read."""
    (file, error), *others = sorted(damaged, key=lambda one: one[0])
    path = printable(str(file.path))
    said = f"{path} cannot be read as an image ({_reason(file, error)})"
    if not others:
        return DataError(f"{said}: replace it, or take it out of the folder")
    names = listed([other.name for other, _ in others])
    return DataError(
        f"{said}, nor can {len(others):,} more ({names}): replace them, or take them out of the "
        "folder"
    )


def _reason(file: ImageFile, error: Exception) -> str:
    """Return why an image cannot be read."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return (
            "it is in no format that Pillow reads" if os.path.getsize(file.path) else "it is empty"
        )
    return printable(reason(error)) or type(error).__name__
