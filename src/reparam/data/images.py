"""A folder of images of any size: squares of one size, in color, of the user's own files."""

import os
import struct
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reparam.data.dataset import Dataset, Split, validation_size
from reparam.data.transforms import Pixels
from reparam.errors import DataError, OptionError
from reparam.files import as_path, stored_path
from reparam.spec import DataSpec

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
"""The names of files that are taken for images end so, in small letters or capitals."""


def load_images(
    path: str | os.PathLike[str] | None,
    size: int = 64,
    *,
    validation: int | float | None = None,
    test_share: float = 0.1,
    dequantize: bool = True,
) -> Dataset:
    """Return a data set of a folder of images, each cut to a square and brought to one size.

    The middle square of an image is resized with a filter against aliasing, to RGB. Which images
    are for validation and test follows from the names of the files in the folder alone, so that
    it is the same on every machine. Where all images lie in two or more subfolders, these are the
    classes; subfolders of subfolders belong to them.

    Arguments:
        path: The folder; it is searched to any depth for files that end in ``ENDINGS``.
        size: The height and width of each x.
        validation: How many images of those that are no test, or as a float which fraction of
            them, are held out for validation; 5 % when None.
        test_share: The fraction of the images that is the test split.
        dequantize: Whether uniform noise makes the 256 levels continuous.

    Raises:
        DataError: A folder that is missing or has too few images, or an image that is damaged.
        OptionError: A size below one, or a fraction out of range.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(20):
        ...         Image.new("RGB", (30, 40), (number, 0, 0)).save(f"{folder}/{number}.png")
        ...     load_images(folder, size=8).splits["train"]
        Split(18 examples of shape (3, 8, 8), no labels)
    """
    if size < 1:
        raise OptionError(f"size={size}: the side of an image must be at least 1 pixel")
    if not 0 <= test_share < 1:
        raise OptionError(
            f"test_share={test_share}: the share of the images must be at least 0 and below 1"
        )
    folder, files = _found(path)
    # Sorted by a hash of its name an image keeps its place, whatever the order of the disk.
    by_hash = sorted(files, key=lambda file: sha256(_name(folder, file).encode()).digest())
    n_test = int(len(files) * test_share)
    n_validation = validation_size(0.05 if validation is None else validation, len(files) - n_test)
    parts = {
        "train": by_hash[n_test + n_validation :],
        "validation": by_hash[n_test : n_test + n_validation],
        "test": by_hash[:n_test],
    }
    names = class_names(folder, files)
    splits = {
        name: Split(_read(part, size), _labels(folder, part, names))
        for name, part in ((name, sorted(part)) for name, part in parts.items())
        if part
    }
    spec = DataSpec(
        (3, size, size),
        "unit",
        n_classes=len(names) or None,
        levels=None if dequantize else 256,
        dequantized_from=256 if dequantize else None,
        name=folder.name,
    )
    options: dict[str, Any] = {
        "name": "faces",
        "path": stored_path(folder.absolute()),
        "size": size,
        "validation": n_validation,
        "test_share": test_share,
        "dequantize": dequantize,
    }
    return Dataset(folder.name, spec, splits, Pixels(256, dequantize=dequantize), names, options)


def class_names(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Return the subfolders of a folder that are classes of its files; () where there are none.

    >>> class_names(Path("a"), [Path("a/cat/1.png"), Path("a/dog/old/2.png")])
    ('cat', 'dog')
    >>> class_names(Path("a"), [Path("a/cat/1.png"), Path("a/2.png")])
    ()
    """
    parts = [file.relative_to(folder).parts for file in files]
    names = sorted({part[0] for part in parts})
    if len(names) < 2 or min(map(len, parts)) < 2:
        return ()
    return tuple(names)


def squared(image: "Image", size: int) -> "Image":
    """Return the middle square of an image, in RGB, with a side of so many pixels.

    >>> from PIL import Image
    >>> squared(Image.new("L", (30, 20), 7), 4).getpixel((0, 0))
    (7, 7, 7)
    """
    from PIL import Image, ImageOps

    # Cameras store how they were held, which the pixels do not show.
    upright = ImageOps.exif_transpose(image)
    # Pillow warns of a palette that has transparent colors, unless it goes through RGBA.
    color = upright.convert("RGBA") if "transparency" in upright.info else upright
    side = min(color.size)
    left, top = ((length - side) // 2 for length in color.size)
    square = color.convert("RGB").crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _found(path: str | os.PathLike[str] | None) -> tuple[Path, list[Path]]:
    """Return the folder and the images in it, in the order of their names."""
    if path is None:
        raise DataError("data 'faces' are a folder of your own: name it as path (--path FOLDER)")
    folder = as_path(path).absolute()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}: give the path of a folder of images")
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()
    )
    if len(files) < 3:
        raise DataError(
            f"{folder} has {len(files)} images ({', '.join(ENDINGS)}): a data set needs at least "
            "3, one to train on and one for each of validation and test, so give another folder"
        )
    return folder, files


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def _read(files: Sequence[Path], size: int) -> Tensor:
    """Return images, uint8 with shape (N, 3, size, size)."""
    x = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    for row, file in zip(x, files, strict=True):
        row.copy_(torch.from_numpy(_pixels(file, size)).movedim(-1, 0))
    return x


def _pixels(file: Path, size: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return one image, with shape (size, size, 3).

    Raises:
        DataError: It is damaged, or has more than 256 levels.
    """
    from PIL import Image

    damage = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
    try:
        with Image.open(file) as image:
            # A large photograph is decoded at a part of its size, which takes a part of the time.
            image.draft("RGB", (4 * size, 4 * size))
            if image.mode[0] not in "IF":
                return np.array(squared(image, size))
    except (*damage, Image.DecompressionBombError) as error:
        raise DataError(
            f"{file} cannot be read as an image ({error}): replace it, or take it out of the folder"
        ) from error
    raise DataError(
        f"{file} has more than 256 levels of grey: store it with 8 bits, or take it out of the "
        "folder"
    )


def _labels(folder: Path, files: Sequence[Path], names: Sequence[str]) -> Tensor | None:
    """Return the numbers of the classes, int64 with shape (N,); None without classes."""
    if not names:
        return None
    return torch.tensor([names.index(file.relative_to(folder).parts[0]) for file in files])
