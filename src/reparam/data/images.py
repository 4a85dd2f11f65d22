"""A folder of images of any size: squares of one size, of the user's own files."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reparam.data.checks import UNLABELED
from reparam.data.dataset import Dataset, Split, validation_size
from reparam.data.decode import Decoded, read_images
from reparam.data.folder import (
    ENDINGS,
    SPLITS,
    ImageFile,
    ImageFolder,
    counted,
    find_images,
    listed,
    printable,
)
from reparam.data.transforms import Pixels
from reparam.errors import DataError, OptionError
from reparam.spec import DataSpec
from reparam.utils.arguments import as_float, as_int, numbers
from reparam.utils.files import stored_path
from reparam.utils.terminal import note

TEST_SHARE, VALIDATION = 0.1, 0.05
"""The fractions of the images, and of those left, that become splits the folder does not have."""


@numbers()
def load_images(
    path: str | os.PathLike[str] | None,
    size: int = 64,
    *,
    image_channels: int | None = None,
    validation: int | float | None = None,
    test_share: float | None = None,
    dequantize: bool = True,
) -> Dataset:
    """Return a data set of a folder of images, each cut to a square and brought to one size.

    **Files.** All files whose names end in one of ``ENDINGS``, at any depth. Hidden files and
    folders (``.ipynb_checkpoints``, ``__MACOSX``, ``Thumbs.db`` …), files with other endings,
    broken links and what is no regular file are left out. Links are followed. Each file and
    folder counts once, whatever links lead to it: under a name without a link if it has one, else
    under the first of its names. What was left out is counted and named in the ``notes`` of the
    data set, which are printed on standard error too.

    **Splits.** Folders ``train``, ``val`` (``valid``, ``validation``, ``dev``) and ``test``
    directly inside the folder are the splits, in small letters or capitals, with ``training`` and
    ``testing`` as other names; images beside them are left out. Validation or test without train
    is an error. Beside other folders than these, ``train`` alone is a class. A split that is not
    there is taken out of train. Which images are taken follows from the names of the files in the
    folder alone, so that it is the same on every machine; the bytes of names are read as UTF-8,
    and accents are composed (NFC).

    **Classes.** Where all training images lie in two or more subfolders, these are the classes,
    the same for all splits; subfolders of subfolders belong to them. A held-out image in no
    subfolder has an unknown label. Bytes of names that are not UTF-8 are escaped.

    **Pixels.** The middle square is resized with a filter against aliasing. The orientation that
    a camera stored (EXIF) is applied where it can be read; color profiles are not. Of animated
    files and files of several pages the first image counts. Transparent images are laid on white.
    Palettes, CMYK, YCbCr and CIELAB become RGB. Of 16 bits, 65535 is white; levels of 32 bits and
    floats have no known range and are an error, as are damaged files. Where all images are grey,
    by their pixels and not by the kind of the file, there is one channel; where only some are, all
    have three.

    Arguments:
        path: The folder.
        size: The height and width of each x.
        image_channels: 1 for grey, 3 for RGB; what the images are when None.
        validation: How many images of those that are no test, or as a float which fraction of
            them, are held out for validation; 5 % when None. Only 0 or None where the folder has
            this split.
        test_share: The fraction of the images that is the test split; 0.1 when None. Only 0 or
            None where the folder has this split.
        dequantize: Whether uniform noise makes the 256 levels continuous.

    Raises:
        DataError: A folder that is missing, cannot be read or has too few images, or images that
            are damaged.
        OptionError: A size below one, a number of channels other than 1 and 3, or a fraction out
            of range or for a split that the folder has.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(20):
        ...         Image.new("RGB", (30, 40), (number, 0, 0)).save(f"{folder}/{number}.png")
        ...     load_images(folder, size=8).splits["train"]
        Split(18 examples of shape (3, 8, 8), no labels)
    """
    size = as_int("size", size, minimum=1)
    if image_channels is not None:
        image_channels = as_int("image_channels", image_channels)
        if image_channels not in (1, 3):
            raise OptionError(
                f"image_channels={image_channels}: give 1 for grey, 3 for RGB, or None for what "
                "the images are"
            )
    if test_share is not None:
        test_share = as_float("test_share", test_share, minimum=0)
        if test_share >= 1:
            raise OptionError(
                f"test_share={test_share:g}: the share of the images must be at least 0 and below 1"
            )
    if path is None:
        raise DataError("data 'faces' are a folder of your own: name it as path (--path FOLDER)")
    folder = find_images(path)
    _require_enough(folder)
    parts, division = _divided(folder, validation, test_share)
    decoded = read_images(parts, size, image_channels)
    classes = folder.classes
    splits = {
        name: Split(decoded.x[name], _labels(folder, part, classes)) for name, part in parts.items()
    }
    n_channels = splits["train"].x.shape[1]
    spec = DataSpec(
        (n_channels, size, size),
        "unit",
        n_classes=len(classes) or None,
        levels=None if dequantize else 256,
        dequantized_from=256 if dequantize else None,
        name=folder.name,
    )
    options = {
        "name": "faces",
        "path": stored_path(folder.path),
        "size": size,
        "image_channels": n_channels,
        **division,
        "dequantize": dequantize,
    }
    notes = (*folder.notes, *_notes_of_pixels(decoded, image_channels))
    for said in notes:
        note(said)
    transform = Pixels(256, dequantize=dequantize)
    class_names = tuple(map(printable, classes))
    return Dataset(folder.name, spec, splits, transform, class_names, options, notes)


def _require_enough(folder: ImageFolder) -> None:
    n = len(folder.images)
    if n < 3:
        omissions = f" ({folder.omissions})" if folder.left_out else ""
        raise DataError(
            f"{printable(str(folder.path))} has {counted(n, 'image')} ({', '.join(ENDINGS)}): a "
            "data set needs at least 3, one to train on and one for each of validation and test, "
            f"so give another folder{omissions}"
        )


def _divided(
    folder: ImageFolder, validation: int | float | None, test_share: float | None
) -> tuple[dict[str, list[ImageFile]], dict[str, Any]]:
    """Return the images by split, and the options that divide them again in the same way.

    Raises:
        OptionError: A share that is out of range, or for a split that the folder has.
    """
    for option, split, value in (
        ("validation", "validation", validation),
        ("test_share", "test", test_share),
    ):
        if value and split in folder.splits:
            raise OptionError(
                f"{option}={value}: {printable(str(folder.path))} has a folder for the split "
                f"{split!r}, so none is taken out of train: leave {option} out, or give a folder "
                "without that split"
            )
    # Sorted by a hash of its name an image keeps its place, whatever the order of the disk.
    rest = sorted(folder.splits["train"], key=lambda image: image.digest)
    own = {name: list(part) for name, part in folder.splits.items() if name != "train"}
    options: dict[str, Any] = {"validation": None, "test_share": None}
    taken: dict[str, list[ImageFile]] = {}
    if "test" not in own:
        options["test_share"] = TEST_SHARE if test_share is None else test_share
        n_test = int(len(rest) * options["test_share"])
        taken["test"], rest = rest[:n_test], rest[n_test:]
    if "validation" not in own:
        n = validation_size(VALIDATION if validation is None else validation, len(rest))
        options["validation"] = n
        taken["validation"], rest = rest[:n], rest[n:]
    parts = {"train": rest, **taken, **own}
    return {name: sorted(parts[name]) for name in SPLITS if parts[name]}, options


def _labels(
    folder: ImageFolder, images: Sequence[ImageFile], classes: Sequence[str]
) -> Tensor | None:
    """Return the numbers of the classes, int64 with shape (N,); None without classes."""
    if not classes:
        return None
    numbers = {name: number for number, name in enumerate(classes)}
    found = (folder.class_of(image) for image in images)
    return torch.tensor(
        [UNLABELED if name is None else numbers[name] for name in found], dtype=torch.int64
    )


def _notes_of_pixels(decoded: Decoded, image_channels: int | None) -> list[str]:
    """Return what was left out of the files that are read, and what became of grey images."""
    notes = []
    n = sum(map(len, decoded.x.values()))
    if decoded.framed:
        files = counted(len(decoded.framed), "file")
        notes.append(
            f"left out all but the first frame or page of {files} ({listed(decoded.framed)})"
        )
    if image_channels is None and 0 < len(decoded.grey) < n:
        notes.append(
            f"{len(decoded.grey):,} of {n:,} images are grey ({listed(decoded.grey)}) and get "
            "three channels, as the others have; image_channels=1 makes all of them grey"
        )
    return notes
