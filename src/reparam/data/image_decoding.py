"""The pixels of image files of any kind, as squares of one size, read by Pillow."""

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
    """The pixels of images, and remarks on their files.

    Arguments:
        x: The pixels by split, uint8 with shape (N, C, size, size).
        grey: The names of images in which red, green and blue are equal everywhere.
        framed: The names of files with further frames or pages, which were left out.
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
        image_channels: 1 for grey, 3 for RGB; when None 1 if all images are grey, else 3.

    Raises:
        DataError: Files that are damaged, or whose levels have no known range.
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
        # Pillow warns of large images and of damaged metadata.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for row, file in zip(chain.from_iterable(x.values()), files, strict=True):
            try:
                pixels, more = _pixels(file, size, "L" if image_channels == 1 else "RGB")
            # Decoders raise anything for damaged bytes, from KeyError to MemoryError.
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
    """Return the central square of an image, resized to ``size`` pixels, in a mode of Pillow.

    >>> from PIL import Image
    >>> squared(Image.new("L", (30, 20), 7), 4).getpixel((0, 0))
    (7, 7, 7)
    """
    from PIL import Image, ImageOps

    image.load()  # later errors are then of the metadata
    try:
        # The orientation of the camera is in the metadata, not in the pixels.
        upright = ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, LookupError, struct.error):
        upright = image
    side = min(upright.size)
    left, top = ((length - side) // 2 for length in upright.size)
    square = upright.crop((left, top, left + side, top + side))
    return in_color(square).convert(mode).resize((size, size), Image.Resampling.LANCZOS)


def in_color(image: "Image") -> "Image":
    """Return an image of any mode in RGB, blended with white by its transparency.

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
    """Return the transform from CIELAB to sRGB, which Pillow's convert does not have."""
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
        # Pillow stores the 16 bits of these formats in its mode of 32 bits.
        if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
            raise ValueError(f"Pillow's mode {image.mode} has no known range; 8 and 16 bits have")
        # The further images of a camera's file (MPO) are previews and depth maps.
        more = image.format != "MPO" and getattr(image, "is_animated", False)
        # A large JPEG is decoded at a fraction of its size, which is faster.
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
