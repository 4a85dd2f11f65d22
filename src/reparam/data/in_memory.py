"""The user's own data: arrays, tables, torch data sets and loaders, checked where they enter.

Data are examples x, and optionally their labels y and their covariates: x alone, a tuple (x, y) or
(x, y, covariates), or a mapping with these three names.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from os import PathLike
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from reparam.data.arrays import (
    Array,
    as_tensor,
    column_names,
    columns_apart,
    in_order,
    is_array,
    parts_of,
    table_of,
)
from reparam.data.checks import (
    as_labels,
    as_values,
    check_digits,
    is_black_and_white,
    numbered_classes,
)
from reparam.data.condition import as_covariates, columns_among
from reparam.data.dataset import Dataset, Split
from reparam.data.files import read as read_place
from reparam.data.mixed import of_rows
from reparam.data.preparation import is_short, spec_of
from reparam.data.stream import Stream
from reparam.data.tables import Table
from reparam.data.transforms import Pixels, transform_of
from reparam.errors import DataError, ShapeError, unknown
from reparam.isolation import default_modes
from reparam.spec import Condition, DataSpec, Support
from reparam.utils.arguments import numbers

KNOWN: tuple[Support, ...] = get_args(Support)


@default_modes()
@numbers(n_classes=1)
def from_arrays(
    x: Array,
    y: Array | str | None = None,
    *,
    covariates: Array | Mapping[str, object] | Sequence[str] | None = None,
    condition: Condition | None = None,
    support: Support | None = None,
    n_classes: int | None = None,
    name: str = "data",
    validation: int | float = 0,
    test: Array | tuple[Array, ...] | Mapping[str, object] | None = None,
    shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of tensors, arrays or tables.

    uint8 values are grey levels of 256, scaled to [0, 1]; floats that are all k / 255 are such
    levels too. Examples of bytes or levels with two axes are images, and get an axis of a channel.
    Other values stay as they are; without a declared support it is the smallest that contains
    them: binary, unit or real. A row of a table that is no levels is real, also between 0 and 1:
    a DataFrame, or examples with one axis of fewer than 64 entries.

    Arguments:
        x: The examples, with shape (N, *shape), or a DataFrame with one column for each entry.
        y: Their labels {0, …, n_classes - 1}, with shape (N,); or the name of the column of x that
            holds the labels, numbered in sorted order if they are text.
        covariates: Real numbers that the model is conditioned on: an array with shape (N, C), a
            DataFrame or a mapping of columns; or the names of the columns of x that hold them. A
            column of text is one-hot by its sorted classes.
        condition: The condition of the model: ``label``, ``covariates`` or ``label+covariates``;
            None for ``covariates`` if there are some, and else for no condition.
        support: The set that contains every entry of x; needed for integers wider than uint8.
        n_classes: The number of classes; the largest label + 1 when None.
        name: The name of the data in messages.
        validation: The number or fraction of the examples that are held out for validation.
        test: The test examples in any form of data: x, (x, y), (x, y, covariates), a mapping, or
            a table with the columns of x, in any order.
        shape: The shape to give each example, for images (channels, height, width); its own when
            None.
        seed: The seed of the choice of validation examples.

    Raises:
        DataError: Empty data, NaN or infinite values, values outside the support, integers that
            could be counts as well as categories, invalid labels or covariates.
        ShapeError: Examples that do not fill ``shape``, or another number of covariates.
        OptionError: An unknown support or column, or a validation split that leaves nothing to
            train on.

    Example:
        >>> data = from_arrays(torch.rand(100, 4).round(), validation=0.1)
        >>> data.support, len(data.split("train")), len(data.split("validation"))
        ('binary', 90, 10)
        >>> import pandas
        >>> table = pandas.DataFrame({"a": [0.1, 2.0], "sex": ["F", "M"], "class": ["u", "v"]})
        >>> from_arrays(table, "class", covariates=["sex"]).spec.covariates
        ('sex=F', 'sex=M')
    """
    if support is not None and support not in KNOWN:
        raise unknown("support", str(support), KNOWN)
    label = y if isinstance(y, str) else None
    columns = _names(covariates)
    given: dict[str, tuple[Any, Any, Any]] = {"x": (x, y, covariates)}
    if test is not None:
        given["test x"] = read(test)
    splits: dict[str, Split] = {}
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    for part, (examples, labels, rows) in given.items():
        if label is not None or columns:
            examples, column, table = columns_apart(examples, label, columns, part)
            rows = table if columns else rows
            if label is not None:
                labels, classes = numbered_classes(column, classes, label)
        own = own or (column_names(examples) if part == "x" else ())
        exact = as_tensor(in_order(examples, own, part), part)
        values = as_values(exact, part, shape)
        if part == "x":
            check_digits(exact, part, own)
        if labels is not None:
            labels = as_labels(labels, len(values), n_classes, part.replace("x", "y"))
        if rows is not None:
            rows, names = as_covariates(rows, len(values), names)
        splits[part] = Split(values, labels, rows)
    without = [part for part, split in splits.items() if names and split.covariates is None]
    if without:
        raise DataError(f"{without[0]} has no covariates: give them for x and test x, or for none")
    kinds = [f"shape {tuple(s.x.shape[1:])} and type {s.x.dtype}" for s in splits.values()]
    if kinds[0] != kinds[-1]:
        raise ShapeError(
            f"x has examples of {kinds[0]} and test x of {kinds[-1]}: both must be alike, so "
            "convert one of them"
        )
    own_shape = tuple(splits["x"].x.shape[1:])
    own = own if own_shape == (len(own),) else ()
    declared = DataSpec(own_shape, "real", n_classes, name=name, covariates=names, columns=own)
    is_binary = support is None and all(is_black_and_white(split.x) for split in splits.values())
    is_binary = is_binary and not is_short(declared)
    seen = splits
    if is_binary:
        seen = {part: replace(split, x=split.x > 0) for part, split in splits.items()}
    spec, stored = spec_of(seen, declared, support, len(classes), condition, shape is None)
    transform = transform_of(stored["x"].dtype, spec.support)
    if is_binary:
        # Bytes stay as they are given, so that later ones are prepared alike.
        stored = {part: split.x.reshape(-1, *spec.shape) for part, split in splits.items()}
        transform = Pixels(256, binarize="threshold")
    prepared = {
        "train" if part == "x" else "test": replace(split, x=stored[part])
        for part, split in splits.items()
    }
    return Dataset(name, spec, prepared, transform, classes).with_validation(validation, seed)


def _names(covariates: object) -> list[str]:
    """Return the covariates if they are names of columns, and an empty list otherwise."""
    named = [covariates] if isinstance(covariates, str) else covariates
    is_named = isinstance(named, list | tuple) and all(isinstance(name, str) for name in named)
    return list(named) if is_named else []  # type: ignore[call-overload]


def as_dataset(
    data: object, support: Support | None = None, *, numbers_as_table: bool = True
) -> Dataset | Stream:
    """Return any data that ``fit`` takes as a data set or a stream of batches.

    Arguments:
        data: A ``Dataset`` or ``Stream``; the path of a file or folder, which ``data.read`` reads;
            an array or DataFrame x with N examples, a tuple (x, y) or (x, y, covariates), or a
            mapping with these keys; a torch ``Dataset`` of such
            items, which is read into memory once; or a torch ``DataLoader`` of such batches, which
            is iterated in every epoch, so that its augmentation counts.
        support: The support of arrays, which have none of their own; found when None.
        numbers_as_table: Whether a DataFrame of numbers alone is a table, whose columns have a kind
            each, as the file of it would be. One of at least 64 columns of bytes, or of levels
            k / 255, holds pixels, and is an array.

    Raises:
        DataError: Anything else, or data that ``from_arrays`` refuses.

    Example:
        >>> as_dataset((np.zeros((6, 2)), np.arange(6) % 3)).spec.n_classes
        3
    """
    if isinstance(data, Dataset):
        data.check()
        return data
    if isinstance(data, Stream):
        return data
    if isinstance(data, str | PathLike):
        return read_place(data)
    if isinstance(data, DataLoader):
        return Stream.from_loader(data)
    x, y, covariates = read(data)
    if covariates is None and support is None:
        rows = of_rows(x, y, numbers_as_table=numbers_as_table)
        if rows is not None:
            return rows
    return from_arrays(x, y, covariates=covariates, support=support)


def in_support(data: Dataset, support: Support) -> Dataset:
    """Return real numbers that all lie in [0, 1] as intensities for a model of such; else the data.

    Arguments:
        data: The data, whose support was not given by the user.
        support: The support that the model describes.

    Example:
        >>> in_support(from_arrays(np.full((4, 2), 0.5)), "unit").support
        'unit'
    """
    splits = [split for split in data.splits.values() if isinstance(split, Split)]
    can_be = support == "unit" and data.support == "real" and len(splits) == len(data.splits)
    if can_be and all(s.range[0] >= 0 and s.range[1] <= 1 for s in splits):
        return replace(data, spec=replace(data.spec, support="unit"))
    return data


def read(data: object, spec: DataSpec | None = None) -> tuple[Any, Any, Any]:
    """Return the examples x, the labels y and the covariates of data, the latter None if missing.

    Arguments:
        data: An array or table x that ``as_tensor`` takes, a tuple (x, y) or (x, y, covariates),
            a mapping with these keys, or a torch ``Dataset``, which is read into memory once.
        spec: The data that a model was trained on: of a table x its columns are taken by name, and
            those of the covariates of a condition too.

    Raises:
        DataError: Anything else, or a table without one of the columns.

    Example:
        >>> read((np.zeros((6, 2)), np.arange(6)))[0].shape
        (6, 2)
    """
    if isinstance(data, TorchDataset):
        return read_all(data)
    is_whole = is_array(data) or isinstance(data, Table | str | PathLike)
    found = (data, None, None) if is_whole else parts_of(data)
    if found is None or not (is_whole or is_array(found[0]) or isinstance(found[0], Table)):
        raise DataError(
            f"data of type {type(data).__name__} cannot be used: give a reparam Dataset, a tensor "
            "or array x, a DataFrame, a tuple (x, y) or (x, y, covariates) of them, a mapping with "
            "these names, a torch Dataset or a torch DataLoader"
        )
    x, y, covariates = found
    frame = table_of(x, "x") if spec is not None and covariates is None else None
    if spec is not None and frame is not None and spec.given_covariates:
        x, _, covariates = columns_apart(x, None, columns_among(spec.covariates, frame.columns))
    return in_order(x, () if spec is None else spec.columns), y, covariates


def read_all(data: TorchDataset[Any]) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the examples, labels and covariates of all items of a torch Dataset.

    Raises:
        DataError: Items that are not x, (x, y), (x, y, covariates) or a mapping of these, or that
            differ in shape.

    Example:
        >>> x, y, _ = read_all(TensorDataset(torch.zeros(4, 3), torch.arange(4)))
        >>> x.shape, y.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """
    if isinstance(data, TensorDataset) and len(data.tensors) <= 3:
        x, *rest = data.tensors
        return x, rest[0] if rest else None, rest[1] if len(rest) > 1 else None
    items: Iterable[Any]
    if isinstance(data, IterableDataset) or not isinstance(data, Sized):
        items = iter(data)
    else:
        items = (data[i] for i in range(len(data)))
    found: tuple[list[Tensor], ...] = ([], [], [])
    for i, item in enumerate(items):
        for values, value in zip(found, parts_of(item) or (item, None, None), strict=True):
            if value is not None or values is found[0]:
                values.append(as_item(value, i))
        if found[0][i].shape != found[0][0].shape:
            raise DataError(
                f"item {i} has shape {tuple(found[0][i].shape)} and item 0 "
                f"{tuple(found[0][0].shape)}: all examples must have one shape, so crop, pad or "
                "resize them"
            )
    xs, ys, rows = found
    if not xs:
        raise DataError(
            "the torch Dataset has 0 items: data need at least one example, so give some"
        )
    for values, what, n_axes in ((ys, "a label", 0), (rows, "covariates", 1)):
        is_uneven = len({value.shape for value in values}) > 1 or len(values) != len(xs)
        if values and (is_uneven or values[0].ndim != n_axes):
            raise DataError(
                f"{len(values)} of {len(xs)} items have {what}, and not all of them are alike: a "
                "label is one integer and covariates are one vector, so give all items alike"
            )
    return torch.stack(xs), torch.stack(ys) if ys else None, torch.stack(rows) if rows else None


def as_item(value: object, i: int) -> Tensor:
    """Return a part of item ``i`` of a torch Dataset as a tensor of any shape.

    Raises:
        DataError: A mapping, a text or another object that is no array of numbers.

    Example:
        >>> as_item(7, 0)
        tensor(7)
    """
    is_number = isinstance(value, Tensor | np.ndarray | np.generic | int | float)
    # Images of Pillow have this attribute of NumPy's protocol.
    if not is_number and not hasattr(value, "__array_interface__"):
        raise DataError(
            f"item {i} of the torch Dataset holds a {type(value).__name__}: items must be x, "
            "(x, y) or (x, y, covariates) with x a tensor, array or image, so wrap the Dataset in "
            "one that gives those"
        )
    return as_tensor(value, f"item {i}")
