r"""A folder of the user's own images of any size, cropped and resized to one size by Pillow."""

import os
import struct
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache as once
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reparam.data.cache import cached, write_rows
from reparam.data.checks import UNLABELED, is_black_and_white
from reparam.data.damaged import counted, left_out, listed
from reparam.data.dataset import Dataset, Split, check_share, validation_size
from reparam.data.image_folder import (
    ENDINGS,
    SPLITS,
    ImageFile,
    ImageFolder,
    find_images,
    printable,
)
from reparam.data.registry import SOURCES, OwnFiles, told
from reparam.data.transforms import Binarization, Pixels
from reparam.errors import DataError, OptionError
from reparam.spec import DataSpec
from reparam.utils.files import reason, stored_path

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

TEST_SHARE = 0.1
"""The default fraction of all images for a test split that the folder lacks."""

Size = tuple[int, int]
"""A height and a width, in pixels."""

SMALLEST, LARGEST, N_OPENED = 8, 64, 100
"""The limits of the default height and width, and the number of images whose sizes decide it."""

WHITE_OF_16_BITS = 65535
"""The largest level of a pixel with 16 bits."""


@dataclass
class Decoding:
    """The pixels of images of one size, one after the other.

    Arguments:
        files: The images.
        size: The height and the width.
        image_channels: 1 for grey, 3 for RGB; when None all have 3.
        skip_damaged: Whether files that cannot be read are left out.

    Raises:
        DataError: Files that are damaged, or whose levels have no known range, after the last one.
    """

    files: Sequence[ImageFile]
    size: Size
    image_channels: int | None
    skip_damaged: bool = False
    grey: list[str] = field(default_factory=list)
    """The names of the images whose pixels are grey."""
    framed: list[str] = field(default_factory=list)
    """The names of the files with further frames."""
    deep: dict[str, int] = field(default_factory=dict)
    """The largest level of each image of 16 bits, by its name."""
    damaged: list[tuple[ImageFile, Exception]] = field(default_factory=list)
    """The images that cannot be read."""

    def __iter__(self) -> Iterator["np.ndarray[Any, np.dtype[np.uint8]]"]:
        """Yield the pixels of each image, with shape (C, height, width)."""
        for file in self.files:
            try:
                with warnings.catch_warnings():
                    # Pillow warns of large images and of damaged metadata.
                    warnings.filterwarnings("ignore", module=r"PIL\.")
                    mode = "L" if self.image_channels == 1 else "RGB"
                    pixels, more, top = _pixels(file, self.size, mode)
            # Decoders raise anything for damaged bytes, from KeyError to MemoryError.
            except Exception as error:
                self.damaged.append((file, error))
                continue
            if (pixels == pixels[..., :1]).all():
                self.grey.append(file.name)
            if more:
                self.framed.append(file.name)
            if top is not None:
                self.deep[file.name] = top
            yield np.moveaxis(pixels, -1, 0)
        if self.damaged and not self.skip_damaged:
            raise _unreadable(self.damaged)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image as it is decoded."""
        return (self.image_channels or 3, *self.size)

    @property
    def is_grey(self) -> bool:
        """Whether all images are grey, and so need one channel only."""
        return self.image_channels is None and len(self.grey) == self.n_read

    @property
    def n_read(self) -> int:
        """The number of images that could be read."""
        return len(self.files) - len(self.damaged)

    @property
    def notes(self) -> list[str]:
        """Notes on damaged files, on frames that were left out, and on grey images among others.

        Raises:
            DataError: More than half of the files are damaged.
        """
        notes = []
        if self.damaged:
            names = sorted(file.name for file, _ in self.damaged)
            folder = printable(str(os.path.commonpath([file.path.parent for file in self.files])))
            notes.append(left_out(names, len(names), len(self.files), "image", folder))
        if self.framed:
            notes.append(
                f"left out all but the first frame or page of {counted(len(self.framed), 'file')} "
                f"({listed(sorted(self.framed))})"
            )
        if self.deep and max(self.deep.values()) < WHITE_OF_16_BITS // 2:
            top = max(self.deep.values())
            notes.append(
                f"{counted(len(self.deep), 'image')} of 16 bits ({listed(sorted(self.deep))}) "
                f"have levels up to {top:,} of {WHITE_OF_16_BITS:,}, of which 8 bits keep "
                f"{top // 257 + 1}: multiply them by {WHITE_OF_16_BITS // top} to keep more"
            )
        if self.image_channels is None and self.grey and not self.is_grey:
            notes.append(
                f"{len(self.grey):,} of {self.n_read:,} images are grey "
                f"({listed(sorted(self.grey))}) and get three channels, as the others have; "
                "image_channels=1 makes all of them grey"
            )
        return notes


@dataclass(frozen=True)
class Images:
    """The pixels of images, and those of them that are damaged.

    Arguments:
        splits: The pixels by split, uint8 with shape (N, C, height, width).
        damaged: The images that were left out.
        notes: Notes on files and frames that were left out, and on grey images among others.
    """

    splits: Mapping[str, Split]
    damaged: Collection[ImageFile]
    notes: Sequence[str]


def read_images(
    splits: Mapping[str, Sequence[ImageFile]],
    size: Size,
    image_channels: int | None = None,
    skip_damaged: bool = False,
) -> Images:
    """Return the pixels of images of one size.

    Arguments:
        splits: The images by split.
        size: The height and the width.
        image_channels: 1 for grey, 3 for RGB; when None 1 if all images are grey, else 3.
        skip_damaged: Whether damaged files are left out, at most half.

    Raises:
        DataError: Files that are damaged, or whose levels have no known range.
        OptionError: A size whose pixels do not fit in memory.
    """
    files = [file for part in splits.values() for file in part]
    found = Decoding(files, size, image_channels, skip_damaged)
    try:
        x = torch.empty(len(files), *found.shape, dtype=torch.uint8)
    except RuntimeError as error:
        raise OptionError(
            f"size={written_size(size)!r}: {len(files):,} images of shape {found.shape} do not fit "
            "in memory: give a smaller size, or cache=True to keep them in a file"
        ) from error
    for row, pixels in zip(x, found, strict=False):
        row.copy_(torch.from_numpy(pixels))
    damaged = {file for file, _ in found.damaged}
    parts = x[: found.n_read].split([len(sound(part, damaged)) for part in splits.values()])
    made = dict(zip(splits, parts, strict=True))
    if found.is_grey:
        made = {name: pixels[:, :1].clone() for name, pixels in made.items()}
    return Images({name: Split(x) for name, x in made.items()}, damaged, found.notes)


def sound(files: Sequence[ImageFile], damaged: Collection[ImageFile]) -> list[ImageFile]:
    """Return the images of a split that are not damaged.

    Raises:
        DataError: None is left.
    """
    kept = [file for file in files if file not in damaged]
    if not kept:
        raise DataError(
            f"none of {counted(len(files), 'image')} of one split can be read "
            f"({listed([file.name for file in files])}): replace them"
        )
    return kept


def cached_images(
    splits: Mapping[str, Sequence[ImageFile]],
    size: Size,
    image_channels: int | None = None,
    skip_damaged: bool = False,
) -> Images:
    """Return what ``read_images`` does, in a file of the cache that is mapped.

    The training images come first in the file, so that the others are not in the part that is
    mapped for training.
    """
    parts = {name: splits[name] for name in ("train", *splits)}
    files = [file for part in parts.values() for file in part]
    stats = [file.path.stat() for file in files]
    key = {
        "size": written_size(size),
        "splits": {name: len(part) for name, part in parts.items()},
        "files": [
            (stored_path(file.path.absolute()), stat.st_size, stat.st_mtime_ns)
            for file, stat in zip(files, stats, strict=True)
        ],
        **({"skip_damaged": True} if skip_damaged else {}),
    }

    def make(path: Path) -> Mapping[str, Any]:
        found, byte = Decoding(files, size, image_channels, skip_damaged), np.dtype(np.uint8)
        # The size of the file is known once the damaged images are.
        n = sum(1 for _ in found) if skip_damaged else len(files)
        damaged, notes = {file for file, _ in found.damaged}, found.notes
        found = Decoding([file for file in files if file not in damaged], size, image_channels)
        write_rows(path, (n, *found.shape), byte, found)
        if found.is_grey:
            color = np.load(path, mmap_mode="r")
            grey = path.with_suffix(".grey")
            write_rows(grey, (n, 1, *size), byte, (row[:1] for row in color))
            grey.replace(path)
        numbers = [i for i, file in enumerate(files) if file in damaged]
        return {"notes": notes if skip_damaged else found.notes, "damaged": numbers}

    def linked(path: Path) -> Mapping[str, Any]:
        path.unlink()
        path.hardlink_to(found.mapped.path)
        return found.facts

    found = cached("images", {**key, "image_channels": image_channels}, make)
    if image_channels is None:
        # The options of the data set state the number that was found.
        found = cached("images", {**key, "image_channels": found.mapped.shape[0]}, linked)
    damaged = {files[i] for i in found.facts.get("damaged", ())}
    sizes = {name: len(sound(part, damaged)) for name, part in parts.items()}
    n_train = sizes.pop("train")
    train = replace(found.mapped, n_held=sum(sizes.values()))
    whole, start = found.mapped.tensor(), n_train
    made = {"train": Split(train.tensor(), mapped=train)}
    for name, n in sizes.items():
        made[name] = Split(whole[start : start + n])
        start += n
    told = (
        f"the decoded images are in {found.mapped.path}, which is mapped: training reads it in "
        "blocks in random order"
    )
    in_order = {name: made[name] for name in splits}
    return Images(in_order, damaged, [*found.facts["notes"], told])


def size_of(size: int | str) -> Size:
    """Return a height and a width; a number stands for both.

    Raises:
        OptionError: Another text, or a length below one.

    Example:
        >>> size_of(64), size_of("28x20")
        ((64, 64), (28, 20))
    """
    lengths = str(size).lower().replace("×", "x").split("x")
    if len(lengths) > 2 or not all(text.strip().isdecimal() and int(text) > 0 for text in lengths):
        raise OptionError(
            f"size={size!r}: give a number of pixels of at least 1, or a height and a width such "
            "as '28x20'"
        )
    return int(lengths[0]), int(lengths[-1])


def written_size(size: Size) -> int | str:
    """Return a height and a width as ``size_of`` reads them.

    >>> written_size((64, 64)), written_size((28, 20))
    (64, '28x20')
    """
    height, width = size
    return height if height == width else f"{height}x{width}"


def cropped(image: "Image", size: Size, mode: str = "RGB") -> "Image":
    """Return the largest central part of an image that has a shape, resized, in a mode of Pillow.

    Arguments:
        image: The image.
        size: The height and the width.
        mode: The mode of Pillow, such as ``L`` for grey.

    Example:
        >>> from PIL import Image
        >>> cropped(Image.new("L", (30, 20), 7), (4, 2)).getpixel((0, 0))
        (7, 7, 7)
    """
    from PIL import Image, ImageOps

    image.load()  # later errors are then of the metadata
    try:
        # The orientation of the camera is in the metadata, not in the pixels.
        upright = ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, LookupError, struct.error):
        upright = image
    height, width = size
    # The largest part with this ratio of its sides.
    scale = min(upright.height / height, upright.width / width)
    part = max(1, round(scale * width)), max(1, round(scale * height))
    left, top = ((have - keep) // 2 for have, keep in zip(upright.size, part, strict=True))
    central = upright.crop((left, top, left + part[0], top + part[1]))
    return in_color(central).convert(mode).resize((width, height), Image.Resampling.LANCZOS)


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


@once
def _lab_to_rgb() -> "ImageCmsTransform":
    """Return the transform from CIELAB to sRGB, which Pillow's convert does not have."""
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, rgb, "LAB", "RGB")


def sizes_of(files: Sequence[ImageFile]) -> list[Size]:
    """Return the sizes of some of the images; none where none can be read.

    Arguments:
        files: The images, of which at most 100 are opened, without their pixels.
    """
    from PIL import Image

    sizes = []
    for file in files[:: -(-len(files) // N_OPENED)]:
        # What cannot be read is an error, or left out, when pixels are read.
        with (
            warnings.catch_warnings(action="ignore"),
            suppress(Exception),
            Image.open(file.path) as image,
        ):
            sizes.append((image.height, image.width))
    return sizes


def default_size(files: Sequence[ImageFile]) -> tuple[Size, list[str]]:
    """Return the height and the width that images get, and a note where they change.

    Images of one size that is small enough keep it. Others become squares.

    Arguments:
        files: The images.
    """
    sizes = sizes_of(files) or [(LARGEST, LARGEST)]
    height, width = (int(median(lengths)) for lengths in zip(*sizes, strict=True))
    if len(set(sizes)) == 1 and all(SMALLEST <= length <= LARGEST for length in (height, width)):
        return (height, width), []
    side = min(LARGEST, max(SMALLEST, min(height, width)))
    if height == width == side:
        return (side, side), []
    return (side, side), [
        f"images of {height} × {width} pixels are cropped and resized to {side} × {side}: "
        "size=... keeps another size"
    ]


def _pixels(
    file: ImageFile, size: Size, mode: str
) -> tuple["np.ndarray[Any, np.dtype[np.uint8]]", bool, int | None]:
    """Return one image, with shape (height, width, C), and what else is known of it.

    Returns:
        The pixels; whether the file has further frames; and the largest level of an image of 16
        bits, None for other images.

    Raises:
        ValueError: Its levels have no known range.
    """
    from PIL import Image

    with Image.open(file.path) as image:
        # Pillow stores the 16 bits of these formats in its mode of 32 bits.
        if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
            raise ValueError(f"Pillow's mode {image.mode} has no known range; 8 and 16 bits have")
        # The further images of a camera's file (MPO) are previews and depth maps. Pillow's classes
        # for formats of one frame do not have the attribute.
        more = image.format != "MPO" and getattr(image, "is_animated", False)
        top = int(np.asarray(image).max()) if image.mode.startswith("I") else None
        # A large JPEG is decoded at a fraction of its size, which is faster.
        image.draft("RGB", (4 * max(size), 4 * max(size)))
        pixels = np.array(cropped(image, size, mode))
    return pixels.reshape(*size, -1), more, top


def _unreadable(damaged: Sequence[tuple[ImageFile, Exception]]) -> DataError:
    """Return the error for images that cannot be read."""
    from PIL import UnidentifiedImageError

    (file, error), *others = sorted(damaged, key=lambda one: one[0])
    why = printable(reason(error)) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        is_empty = os.path.getsize(file.path) == 0
        why = "it is empty" if is_empty else "it is in no format that Pillow reads"
    message, fix = f"{printable(str(file.path))} cannot be read as an image ({why})", "replace it"
    if others:
        names = listed([other.name for other, _ in others])
        message, fix = f"{message}, nor can {len(others):,} more ({names})", "replace them"
    them = fix.split()[-1]
    return DataError(
        f"{message}: {fix}, take {them} out of the folder, or leave {them} out with "
        "skip_damaged=True"
    )


def load_images(
    path: str | os.PathLike[str],
    size: int | str | None = None,
    *,
    image_channels: int | None = None,
    validation: int | float | None = None,
    test_share: float | None = None,
    binarize: Binarization | None = None,
    dequantize: bool = False,
    cache: bool = False,
    skip_damaged: bool = False,
) -> Dataset:
    """Return a data set of a folder of images, each cropped and resized to one size.

    **Files.** All files at any depth whose names end in one of ``ENDINGS``. Hidden files and
    folders (``.ipynb_checkpoints``, ``__MACOSX``, ``Thumbs.db`` …), files with other endings,
    broken links and special files are left out. Links are followed. Each file and folder counts
    once, however many links lead to it: under a name without a link if it has one, else under the
    first of its names. The files that were left out are counted and named in the ``notes`` of the
    data set and on standard error.

    **Splits.** Folders ``train`` (``training``), ``val`` (``valid``, ``validation``, ``dev``) and
    ``test`` (``testing``) directly inside the folder, in any case, are the splits; images beside
    them are left out. Validation or test without train is an error. ``train`` beside other folders
    than these is a class. A missing split is taken out of train. It depends only on the names of
    the files in the folder, so that it is the same on every machine; the bytes of names are read
    as UTF-8, and accents are composed (NFC).

    **Classes.** If all training images are in two or more subfolders, these are the classes, the
    same for all splits; deeper subfolders belong to them. A held-out image in no subfolder has an
    unknown label. Bytes of names that are not UTF-8 are escaped.

    **Pixels.** The central part is resized with an antialiasing filter. The orientation in the
    EXIF data is applied if it can be read; color profiles are not. Of animated files and files of
    several pages the first image counts. Transparent images are blended with white. Palettes,
    CMYK, YCbCr and CIELAB become RGB. In 16 bits, 65535 is white; levels of 32 bits and floats
    have no known range and are an error, as are damaged files. If the pixels of all images are
    grey, there is one channel; otherwise all images have three. If all are black or white, x is
    binary.

    Arguments:
        path: The folder.
        size: The height and the width of each x: a number for both, or text such as ``28x20``. When
            None, the size of the images, where all have one of 8 to 64 pixels a side; and else the
            usual shorter side for both, within these limits.
        image_channels: 1 for grey, 3 for RGB; the images' own when None.
        validation: The number of images that are held out for validation, or as a float their
            fraction of the images outside test; when None a tenth of 500 images or more, and none
            of fewer, so that cross-fitting chooses the length of training. Only 0 or None if the
            folder has this split.
        test_share: The fraction of the images that is the test split; 0.1 when None. Only 0 or
            None if the folder has this split.
        binarize: ``threshold``: x is 1 from half of the levels on, and 0 below. ``dynamic``: a
            fresh draw at each use of an image. ``none``: grey levels. When None ``threshold`` where
            all pixels are black or white, and else ``none``.
        dequantize: Whether uniform noise makes the 256 levels continuous.
        cache: Whether the images are decoded once into a file of the cache, which is mapped, for
            folders that are larger than memory or that are loaded often.
        skip_damaged: Whether images that cannot be read are left out, at most half of all, and
            named in the notes.

    Raises:
        DataError: A folder that is missing, cannot be read or has too few images, or images that
            are damaged.
        OptionError: A size below one, a number of channels other than 1 and 3, an unknown
            binarization, or a fraction out of range or for a split that the folder has.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(20):
        ...         Image.new("RGB", (30, 40), (number, 0, 0)).save(f"{folder}/{number}.png")
        ...     load_images(folder, size=8).splits["train"]
        Split(18 examples of shape (3, 8, 8), no labels)
    """
    if image_channels not in (None, 1, 3):
        raise OptionError(
            f"image_channels={image_channels}: give 1 for grey, 3 for RGB, or None for the images' "
            "own"
        )
    check_share(test_share or 0)
    folder = find_images(path)
    if len(folder.images) < 3:
        omissions = folder.omissions and f" ({folder.omissions})"
        raise DataError(
            f"{printable(str(folder.path))} has {counted(len(folder.images), 'image')} "
            f"({', '.join(ENDINGS)}): a data set needs at least 3, one to train on and one for "
            f"each of validation and test, so give another folder{omissions}"
        )
    parts, division = _divided(folder, validation, test_share)
    of_size: list[str] = []
    if size is None:
        shape, of_size = default_size(folder.images)
    else:
        shape = size_of(size)
    read = cached_images if cache else read_images
    found = read(parts, shape, image_channels, skip_damaged)
    classes = folder.classes
    number_of = {name: number for number, name in enumerate(classes)} | {None: UNLABELED}
    splits = {}
    for name, part in parts.items():
        images = sound(part, found.damaged)
        y = None
        if classes:
            y = torch.tensor([number_of[folder.class_of(image)] for image in images])
        splits[name] = replace(found.splits[name], y=y)
    n_channels = splits["train"].x.shape[1]
    if binarize is None:
        is_binary = all(is_black_and_white(split.x) for split in splits.values())
        binarize = "threshold" if is_binary and not dequantize else "none"
    transform = Pixels(256, binarize, dequantize)
    has_levels = binarize == "none" and not dequantize
    spec = DataSpec(
        (n_channels, *shape),
        "unit" if binarize == "none" else "binary",
        n_classes=len(classes) or None,
        levels=256 if has_levels else None,
        dequantized_from=256 if dequantize else None,
        name=folder.name,
    )
    options = {
        "name": "images",
        "path": stored_path(folder.path),
        "size": written_size(shape),
        "image_channels": n_channels,
        **division,
        "binarize": binarize,
        "dequantize": dequantize,
        "cache": cache,
        "skip_damaged": skip_damaged or None,
    }
    class_names = tuple(map(printable, classes))
    notes = (*folder.notes, *found.notes, *of_size)
    data = Dataset(folder.name, spec, splits, transform, class_names, notes=notes)
    return told(data, options)


def _divided(
    folder: ImageFolder, validation: int | float | None, test_share: float | None
) -> tuple[dict[str, list[ImageFile]], dict[str, Any]]:
    """Return the images by split, and the options that reproduce this division.

    Raises:
        OptionError: A size that is out of range, or of a split that the folder has.
    """
    # In the order of a hash of its name an image keeps its split, whatever the order on disk.
    rest = sorted(folder.splits["train"], key=lambda image: image.digest)
    parts = {name: list(part) for name, part in folder.splits.items() if name != "train"}
    options: dict[str, Any] = {"validation": validation, "test_share": test_share}
    for option, split in (("test_share", "test"), ("validation", "validation")):
        size = options[option]
        if split in parts:
            if size:
                raise OptionError(
                    f"{option}={size}: {printable(str(folder.path))} has a folder for the split "
                    f"{split!r}, so none is taken out of train: leave {option} out, or give a "
                    "folder without that split"
                )
            options[option] = None
            continue
        if split == "test":
            share = options[option] = TEST_SHARE if size is None else size
            n = int(len(rest) * share)
        else:
            n = options[option] = validation_size(size, len(rest))
        parts[split], rest = rest[:n], rest[n:]
    parts["train"] = rest
    return {name: sorted(parts[name]) for name in SPLITS if parts.get(name)}, options


SOURCES.add(
    "images", OwnFiles("a folder of images, cropped and resized to one size", "FOLDER", load_images)
)
