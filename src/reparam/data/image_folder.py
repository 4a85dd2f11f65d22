"""The contents of a folder of images: the images, their splits and classes, and other files.

Folders named after splits are the splits, other subfolders are classes. Files that are left out are
counted by reason and named in notes, so that nothing is dropped silently.
"""

import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import heappop, heappush
from pathlib import Path

from reparam.data.damaged import counted, listed
from reparam.errors import DataError
from reparam.utils.files import as_path, reason

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".apng", ".webp", ".avif", ".gif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""The endings of the names of image files, in any case."""

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""The names of folders that are splits, in any case."""

SYSTEM_NAMES = (
    *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini"),
)
"""Names of system files and folders without a leading dot, in any case."""

REASONS = {
    "hidden folder": "in hidden folders",
    "hidden": "hidden",
    "ending": "without the ending of an image",
    "broken": "behind broken links",
    "special": "of a special type",
    "again": "there already under another name",
    "beside": "beside the folders of the splits",
}
"""The reasons for leaving files out, as they follow the number of files in a note."""


@dataclass(frozen=True, order=True)
class ImageFile:
    """An image in a folder.

    Arguments:
        parts: The names of its folders, from the folder of the data set on, and its own; see
            ``spelled``.
        path: The file.
    """

    parts: tuple[str, ...]
    path: Path

    @property
    def name(self) -> str:
        """Its path within the folder, for messages."""
        return printable("/".join(self.parts))

    @property
    def digest(self) -> bytes:
        """A hash of its path within the folder, which is the same on every machine."""
        return sha256("/".join(self.parts).encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder by split, and the files that were left out.

    Arguments:
        path: The folder.
        splits: The images by split, in the order of their names; without folders for splits all
            of them are ``train``.
        has_splits: Whether there are folders for splits; they then contain those of the classes.
        left_out: For each of ``REASONS`` the name of every file, or of the hidden folder that it
            is in.
        empty: Folders without images beside those of splits and classes.

    Example:
        >>> def folder(*names):
        ...     images = [ImageFile(tuple(name.split("/")), Path(name)) for name in names]
        ...     return ImageFolder(Path("a"), {"train": images})
        >>> folder("cat/1.png", "dog/old/2.png").classes
        ('cat', 'dog')
        >>> folder("cat/1.png", "dog/2.png", "3.png").notes
        ('no classes, because of 1 image in no subfolder (3.png)',)
    """

    path: Path
    splits: Mapping[str, Sequence[ImageFile]]
    has_splits: bool = False
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    empty: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The name of the folder, for messages."""
        return printable(spelled(Path(os.path.normpath(self.path)).name)) or "images"

    @property
    def images(self) -> list[ImageFile]:
        """The images of all splits."""
        return [image for images in self.splits.values() for image in images]

    @property
    def classes(self) -> tuple[str, ...]:
        """The subfolders that are classes: two or more, which contain all training images."""
        if any(self.class_of(image) is None for image in self.splits["train"]):
            return ()
        names = {name for image in self.images if (name := self.class_of(image)) is not None}
        return tuple(sorted(names)) if len(names) > 1 else ()

    def class_of(self, image: ImageFile) -> str | None:
        """Return the subfolder of an image, below that of its split; None without one."""
        inner = image.parts[1:] if self.has_splits else image.parts
        return inner[0] if len(inner) > 1 else None

    @property
    def omissions(self) -> str:
        """The number of files that were left out, by reason; empty if there are none."""
        parts = [
            f"{len(names):,} {text} ({listed(sorted(set(names)))})"
            for key, text in REASONS.items()
            if (names := self.left_out.get(key))
        ]
        total = sum(map(len, self.left_out.values()))
        return f"left out {counted(total, 'file')}: {', '.join(parts)}" if total else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on files that were left out, and on splits and classes that may surprise."""
        return tuple(note for note in (self.omissions, *self._surprises()) if note)

    def _surprises(self) -> Iterator[str]:
        if self.empty:
            yield f"no images in {listed(self.empty)}"
        classes = self.classes
        trained = {self.class_of(image) for image in self.splits["train"]}
        untrained = [printable(name) for name in classes if name not in trained]
        if untrained:
            yield f"no training images of the classes {listed(untrained)}"
        alone = [image.name for image in self.images if self.class_of(image) is None]
        without_class = f"{counted(len(alone), 'image')} in no subfolder ({listed(alone)})"
        if alone and classes:
            yield f"no class is known of {without_class}"
        elif 0 < len(alone) < len(self.images):
            yield f"no classes, because of {without_class}"
        if not self.has_splits and any(split_of(name) for name in classes):
            name = printable(next(name for name in classes if split_of(name)))
            yield f"{name}/ is taken for a class, as there are other classes beside it"
        deeper = {"/".join(i.parts[:-1]) for i in self.images if any(map(split_of, i.parts[1:-1]))}
        if deeper:
            names = listed([printable(name) for name in sorted(deeper)])
            yield f"folders are splits directly inside the folder only, not deeper ({names})"


def find_images(path: str | os.PathLike[str]) -> ImageFolder:
    """Return the images in a folder and its subfolders.

    Links are followed. Each folder and file counts once, under a name without a link if it has
    one: no image is in two splits, and circular links end.

    Raises:
        DataError: A folder that is missing or cannot be read, or has images for validation or
            test and none to train on.
    """
    folder = as_path(path).absolute()
    found: list[tuple[int, ImageFile, str | tuple[int, int]]] = []
    folders: list[tuple[str, ...]] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    # Places reached through the fewest links come first.
    waiting: list[tuple[int, tuple[str, ...], str]] = [(0, (), str(folder))]
    seen: set[str | tuple[int, int]] = set()
    while waiting:
        n_links, parts, place = heappop(waiting)
        real = os.path.realpath(place)
        if real in seen:
            left_out["again"].append(printable("/".join(parts)))
            continue
        seen.add(real)
        folders.append(parts)
        for entry in _entries(place):
            inner = (*parts, spelled(entry.name))
            name = printable("/".join(inner))
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
                if entry.is_dir(follow_symlinks=False):
                    n_files = sum(len(files) for _, _, files in os.walk(entry.path))
                    left_out["hidden folder"] += [printable(inner[-1])] * n_files
                else:
                    left_out["hidden"].append(name)
                continue
            status = _status(entry)
            links = n_links + entry.is_symlink()
            if status is None:
                left_out["broken"].append(name)
            elif stat.S_ISDIR(status.st_mode):
                heappush(waiting, (links, inner, entry.path))
            elif os.path.splitext(entry.name)[1].lower() not in ENDINGS:
                left_out["ending"].append(name)
            elif not stat.S_ISREG(status.st_mode):
                left_out["special"].append(name)
            else:
                image = ImageFile(inner, Path(entry.path))
                found.append((links, image, _identity(entry, real, status)))
    images = []
    for _, image, identity in sorted(found, key=lambda one: one[:2]):
        if identity in seen:
            left_out["again"].append(image.name)
        else:
            seen.add(identity)
            images.append(image)
    images.sort()
    splits, beside = _in_splits(folder, images)
    left_out["beside"] += [image.name for image in beside]
    empty = _empty(folders, images, bool(splits))
    return ImageFolder(folder, splits or {"train": images}, bool(splits), left_out, empty)


def split_of(name: str) -> str | None:
    """Return the split that a folder of this name is; None for any other name.

    >>> split_of("Train"), split_of("val"), split_of("cat")
    ('train', 'validation', None)
    """
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def spelled(name: str) -> str:
    """Return the name of a file in the spelling that is the same on every machine.

    Bytes are read as UTF-8 in any locale, invalid ones as surrogates. Unicode is in its composed
    form (NFC), which some file systems decompose.

    >>> spelled("cafe\N{COMBINING ACUTE ACCENT}") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    True
    """
    if name.isascii():
        return name
    stored = os.fsencode(name).decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", stored)


def printable(name: str) -> str:
    r"""Return a name in characters that can be stored and shown; others are escaped.

    >>> print(printable(b"caf\xe9\n".decode("utf-8", "surrogateescape")))
    caf\xe9\n
    """
    if name.isprintable():
        return name
    escaped = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)


def unreadable(path: str | os.PathLike[str], error: OSError | ValueError) -> DataError:
    """Return the error for a file or folder in a folder of images that cannot be read."""
    return DataError(
        f"{printable(os.fspath(path))} cannot be read ({reason(error)}): make it readable, or "
        "take it out of the folder"
    )


def _entries(place: str) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder in the order of their names."""
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = "is a file" if isinstance(error, NotADirectoryError) else "does not exist"
        raise DataError(
            f"{printable(place)} {problem}: give the path of a folder of images"
        ) from error
    except OSError as error:
        raise unreadable(place, error) from error


def _status(entry: "os.DirEntry[str]") -> os.stat_result | None:
    """Return the status of a file, or of the target of a link; None for a broken link."""
    try:
        return os.stat(entry.path)
    except OSError as error:
        if entry.is_symlink() and not isinstance(error, PermissionError):
            return None
        raise unreadable(entry.path, error) from error


def _identity(
    entry: "os.DirEntry[str]", real: str, status: os.stat_result
) -> str | tuple[int, int]:
    """Return a key that all names of one file share, given the real path of its folder."""
    if status.st_nlink > 1 and status.st_ino:
        return status.st_dev, status.st_ino
    return os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)


def _in_splits(
    folder: Path, images: Sequence[ImageFile]
) -> tuple[dict[str, list[ImageFile]], list[ImageFile]]:
    """Return the images by the folder of their split, and those in no such folder.

    Without folders for splits there are no splits. ``train`` beside other folders with images and
    without another split is a class, such as the vehicle.

    Raises:
        DataError: Images for validation or test, and none to train on.
    """
    splits: dict[str, list[ImageFile]] = {}
    beside = []
    for image in images:
        split = split_of(image.parts[0]) if len(image.parts) > 1 else None
        if split is None:
            beside.append(image)
        else:
            splits.setdefault(split, []).append(image)
    if not splits or (set(splits) == {"train"} and any(len(i.parts) > 1 for i in beside)):
        return {}, []
    if "train" not in splits:
        held_out = sorted({f"{printable(i.parts[0])}/" for some in splits.values() for i in some})
        raise DataError(
            f"{printable(str(folder))} has images in {listed(held_out)} and none in train/: put "
            "those to train on there, or rename the folder if it is a class"
        )
    return {name: splits[name] for name in SPLITS if name in splits}, beside


def _empty(
    folders: Iterable[tuple[str, ...]], images: Iterable[ImageFile], has_splits: bool
) -> list[str]:
    """Return the folders of splits and of classes that have no images."""
    holds = {image.parts[:depth] for image in images for depth in (1, 2)}
    classes_too = 2 if has_splits else 1
    empty = [
        parts
        for parts in folders
        if 0 < len(parts) <= classes_too
        and parts not in holds
        and (len(parts) == 1 or (split_of(parts[0]) and parts[:1] in holds))
    ]
    return [printable("/".join(parts)) for parts in sorted(empty)]
