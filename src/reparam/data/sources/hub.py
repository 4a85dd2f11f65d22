"""Data sets of the Hugging Face hub: tables and images, as ``hf:OWNER/NAME``."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from reparam.data.dataset import Dataset, Split, check_share, validation_size
from reparam.data.in_memory import from_arrays
from reparam.data.infer import GivenSchema, given_schema
from reparam.data.mixed import from_table
from reparam.data.registry import SOURCES, Missing, OwnFiles, told
from reparam.data.sources.array import TEST_SHARE
from reparam.data.sources.images import cropped, in_color, size_of
from reparam.data.tables import of_arrow
from reparam.errors import DataError, unknown
from reparam.schema import Schema
from reparam.utils.arguments import numbers
from reparam.utils.files import reason
from reparam.utils.optional import optional_module

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from PIL.Image import Image

_NAME = re.compile(r"hf:(?P<path>[^@:]+)(:(?P<config>[^@:]+))?(@(?P<revision>[^@:]+))?")

_HELD = ("validation", "test")
"""The splits beside ``train`` that are taken as they are."""

Parts = Mapping[str, "datasets.Dataset"]
"""The examples of each split."""


@numbers(seed=0)
def load_hub(
    path: str,
    *,
    target: str | None = None,
    size: int | str | None = None,
    schema: Schema | str | os.PathLike[str] | None = None,
    missing: Missing = "left-out",
    validation: int | float | None = None,
    test_share: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of the Hugging Face hub: images, where it has some, or else a table.

    It is downloaded once, into the cache of the library ``datasets``, which executes nothing of it.
    The splits ``train``, ``validation`` and ``test`` stay as they are. Without ``test`` random
    examples are the test split.

    Arguments:
        path: ``hf:OWNER/NAME``, with ``:CONFIG`` for one of several configurations and
            ``@REVISION`` for a branch, tag or commit.
        target: The column that holds the labels, which is then no part of x. When None, that of
            images is their only column of classes, and a table has none.
        size: The height and the width to which images are brought, as for ``load_images``; needed
            where they have several.
        schema: The columns of a table, or a YAML file with the kinds of some: see ``load_table``.
        missing: ``left-out`` or ``as-value``: what missing values of a table are.
        validation: The number of training examples that are held out for validation, or as a float
            their fraction; the split of the data set when None.
        test_share: The fraction of the examples that is the test split, where the data set has
            none; 0.1 when None.
        seed: The seed of the choice of examples.

    Raises:
        MissingPackageError: datasets is not installed.
        DataError: A data set that does not exist or cannot be reached, images of several sizes, or
            a table that cannot be understood.
        OptionError: A column that does not exist, or a fraction out of range.
    """
    if missing not in get_args(Missing):
        raise unknown("missing", str(missing), get_args(Missing))
    share = TEST_SHARE if test_share is None else test_share
    check_share(share)
    given = given_schema(schema)
    parts = _with_held(_downloaded(path), validation, share, seed)
    columns = parts["train"].features
    if target is not None and target not in columns:
        raise unknown(f"column of {path}", target, columns)
    name = path.rsplit("/", 1)[-1].partition("@")[0].replace(":", "-")
    image = next((column for column, kind in columns.items() if _kind(kind) == "Image"), None)
    if image is not None:
        data = _images(path, name, parts, image, target, size)
    else:
        data = _table(name, parts, target, given, missing == "as-value")
    options = {
        "name": "hub",
        "path": path,
        "target": target,
        "size": size,
        "schema": given.place,
        "missing": missing,
        "validation": validation,
        "test_share": share,
        "seed": seed,
    }
    return told(data, options)


def _downloaded(path: str) -> Parts:
    """Return the splits of a data set of the hub.

    Raises:
        MissingPackageError: datasets is not installed.
        DataError: A data set that cannot be loaded.
    """
    named = _NAME.fullmatch(path)
    if named is None:
        raise DataError(f"{path!r} is no name of a data set of the hub: give hf:OWNER/NAME")
    datasets = optional_module("datasets", "datasets", path)
    progress, level = datasets.is_progress_bar_enabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        found = datasets.load_dataset(
            named["path"], named["config"], revision=named["revision"] or None
        )
    # The library has errors of its own, of the hub's client, of Arrow and of the network.
    except Exception as error:
        why = reason(error)
        raise DataError(
            f"{path} cannot be loaded from the hub ({why}): check the name and the network"
        ) from error
    finally:
        datasets.logging.set_verbosity(level)
        if progress:
            datasets.enable_progress_bars()
    if "train" in found:
        return {name: found[name] for name in ("train", *_HELD) if name in found}
    if len(found) > 1:
        raise DataError(
            f"{path} has the splits {', '.join(found)} and no split 'train': save the rows that "
            "you want as a file, and give its path"
        )
    return {"train": next(iter(found.values()))}


def _with_held(parts: Parts, validation: int | float | None, share: float, seed: int) -> Parts:
    """Return the splits, with examples held out for those that do not exist.

    Arguments:
        parts: The splits of the data set.
        validation: The number or fraction of training examples for validation; the split of the
            data set when None.
        share: The fraction of the examples for test, where no such split exists.
        seed: The seed of the choice of examples.
    """
    train = parts["train"]
    held = {k: v for k, v in parts.items() if k == "test" or (k in _HELD and validation is None)}
    n_test = 0 if "test" in parts else int(len(train) * share)
    n_validation = 0 if "validation" in held else validation_size(validation, len(train) - n_test)
    order = np.random.default_rng(seed).permutation(len(train))
    chosen = np.split(order, [n_test, n_test + n_validation])
    rows = dict(zip(("test", "validation", "train"), map(np.sort, chosen), strict=True))
    return {name: train.select(some) for name, some in rows.items() if len(some)} | held


def _table(
    name: str, parts: Parts, target: str | None, given: GivenSchema, missing_as_value: bool
) -> Dataset:
    """Return the rows of all splits as a table."""
    import pyarrow as pa

    whole = pa.concat_tables([_rows(part) for part in parts.values()])
    ends = np.cumsum([len(part) for part in parts.values()])
    places = np.split(np.arange(ends[-1]), ends[:-1])
    return from_table(
        of_arrow(whole, name),
        target=target,
        schema=given.known,
        overrides=given.overrides,
        missing_as_value=missing_as_value,
        splits=dict(zip(parts, places, strict=True)),
        name=name,
    )


def _rows(part: "datasets.Dataset") -> "pa.Table":
    """Return the rows of a split, with the names of classes in place of their numbers."""
    import pyarrow as pa

    table: pa.Table = part.with_format("arrow")[:]
    for i, (column, kind) in enumerate(part.features.items()):
        if _kind(kind) == "ClassLabel":
            numbers = table.column(column).to_pylist()
            unknown_label = {None, -1}
            names = [None if n in unknown_label else kind.names[n] for n in numbers]
            table = table.set_column(i, column, pa.array(names, pa.string()))
    return table.replace_schema_metadata(None)


def _images(
    path: str, name: str, parts: Parts, image: str, target: str | None, size: int | str | None
) -> Dataset:
    """Return the images of all splits, as bytes.

    Arguments:
        path: The data set in messages.
        name: The name of the data.
        parts: The splits.
        image: The column of the images.
        target: The column of the labels; when None the only column of classes.
        size: The height and width of the images; their own when None.

    Raises:
        DataError: Images of several sizes, or labels that are no classes.
    """
    columns = parts["train"].features
    classes = [column for column, kind in columns.items() if _kind(kind) == "ClassLabel"]
    label = target or (classes[0] if len(classes) == 1 else None)
    if label is not None and label not in classes:
        raise DataError(
            f"target={label!r}: the column of {path} has no classes; those of images are "
            f"{', '.join(classes) or 'none'}"
        )
    pixels = {split: _pixels(path, part[image], size) for split, part in parts.items()}
    if all((x == x[:, :1]).all() for x in pixels.values()):
        pixels = {split: x[:, :1] for split, x in pixels.items()}
    names = () if label is None else tuple(columns[label].names)
    labels = {
        split: None if label is None else np.array(part[label]) for split, part in parts.items()
    }
    data = from_arrays(pixels["train"], labels["train"], n_classes=len(names) or None, name=name)
    held = {
        split: Split(torch.from_numpy(x), None if y is None else torch.from_numpy(y))
        for (split, x), y in zip(pixels.items(), labels.values(), strict=True)
        if split != "train"
    }
    return replace(data, splits={**data.splits, **held}, class_names=names)


def _pixels(
    path: str, column: Iterable["Image | None"], size: int | str | None
) -> NDArray[np.uint8]:
    """Return images as bytes, with shape (N, 3, H, W).

    Raises:
        DataError: An image that is missing, or images of several sizes.
    """
    rows: list[NDArray[np.uint8]] = []
    shape = None if size is None else size_of(size)
    for i, image in enumerate(column):
        if image is None:
            raise DataError(f"row {i} of {path} has no image: give a data set whose rows have one")
        pixels = in_color(image) if shape is None else cropped(image, shape)
        rows.append(np.array(pixels, np.uint8))
        if rows[-1].shape != rows[0].shape:
            height, width, _ = rows[0].shape
            raise DataError(
                f"row {i} of {path} has an image of {image.height} x {image.width} pixels, and the "
                f"first has {height} x {width}: give the size to which all are brought, such as "
                "size=64"
            )
    return np.ascontiguousarray(np.stack(rows).transpose(0, 3, 1, 2))


def _kind(feature: object) -> str:
    """Return the name of the kind of a column, such as ``Image`` or ``ClassLabel``."""
    return type(feature).__name__


SOURCES.add(
    "hub", OwnFiles("a table or images of the Hugging Face hub, hf:OWNER/NAME", "NAME", load_hub)
)
