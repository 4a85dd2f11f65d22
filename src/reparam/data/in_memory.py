"""The user's own data: tensors, arrays, torch data sets and loaders, checked before use."""

from collections.abc import Iterable, Sized
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from reparam.data.arrays import Array, as_tensor, is_array
from reparam.data.checks import (
    as_labels,
    as_support,
    as_values,
    check_top,
    check_values,
    closest_support,
)
from reparam.data.dataset import Dataset, Split
from reparam.data.stream import Stream
from reparam.data.transforms import Identity, Pixels, Transform
from reparam.errors import DataError, ShapeError, unknown
from reparam.isolation import default_modes
from reparam.spec import DataSpec, Support
from reparam.utils.arguments import numbers

KNOWN: tuple[Support, ...] = get_args(Support)


@default_modes()
@numbers(n_classes=1)
def from_arrays(
    x: Array,
    y: Array | None = None,
    *,
    support: Support | None = None,
    n_classes: int | None = None,
    name: str = "data",
    validation: int | float = 0,
    test: Array | tuple[Array, Array] | None = None,
    shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of tensors or arrays.

    uint8 values are grey levels of 256, scaled to [0, 1]. Other values stay as they are; without
    a declared support it is the smallest that holds them: binary, unit or real.

    Arguments:
        x: The examples, with shape (N, *shape).
        y: Their labels {0, …, n_classes - 1}, with shape (N,).
        support: The set that an entry of x lies in. Integers wider than uint8 need it said.
        n_classes: The number of classes; the largest label + 1 when None.
        name: What messages call the data.
        validation: How many examples, or which fraction, are held out of x for validation.
        test: The test examples, or a pair of them and their labels.
        shape: The shape to give each example, for images (channels, height, width).
        seed: The seed of the choice of validation examples.

    Raises:
        DataError: Empty data, NaN or infinite values, values outside the support, integers that
            could be counts as well as categories, or labels that are none.
        ShapeError: Examples that do not have ``shape``.
        OptionError: An unknown support, or a validation split that leaves nothing to train on.

    Example:
        >>> data = from_arrays(torch.rand(100, 4).round(), validation=0.1)
        >>> data.support, len(data.split("train")), len(data.split("validation"))
        ('binary', 90, 10)
    """
    if support is not None and support not in KNOWN:
        raise unknown("support", str(support), KNOWN)
    given = {"train": (x, y)}
    if test is not None:
        is_pair = isinstance(test, tuple | list) and len(test) == 2
        given["test"] = (test[0], test[1]) if is_pair else (test, None)  # type: ignore[assignment]
    named = {split: "x" if split == "train" else f"{split} x" for split in given}
    values = {split: as_values(pair[0], named[split], shape) for split, pair in given.items()}
    kinds = [f"shape {tuple(v.shape[1:])} and type {v.dtype}" for v in values.values()]
    if kinds[0] != kinds[-1]:
        raise ShapeError(
            f"x has examples of {kinds[0]} and test x of {kinds[-1]}: both must be alike, so "
            "convert one of them"
        )
    # Of binary, unit and real the widest, in the order in which they are declared.
    if support is None:
        chosen = max((closest_support(v, named[s]) for s, v in values.items()), key=KNOWN.index)
    else:
        chosen = support
    for split, v in values.items():
        values[split] = as_support(v, chosen, named[split])
    splits, seen = {}, []
    for split, (_, labels) in given.items():
        if labels is not None:
            labels = as_labels(
                labels, len(values[split]), n_classes, named[split].replace("x", "y")
            )
            seen.append(int(labels.max()) + 1)
        splits[split] = Split(values[split], labels)
    levels: int | None = None
    if chosen in ("categorical", "tokens"):
        levels = 1 + max(int(v.max()) for v in values.values())
    transform: Transform = Identity()
    if values["train"].dtype == torch.uint8:
        transform = Pixels(2 if chosen == "binary" else 256)
        levels = 256 if chosen == "unit" else None
    spec = DataSpec(
        shape=tuple(values["train"].shape[1:]),
        support=chosen,
        # Where no label at all is known, there are no classes.
        n_classes=(max(seen, default=0) or None) if n_classes is None else n_classes,
        levels=levels,
        name=name,
    )
    return Dataset(name, spec, splits, transform).with_validation(validation, seed)


def as_dataset(data: object) -> Dataset | Stream:
    """Return any data that ``fit`` takes as a data set or a stream of batches.

    Arguments:
        data: A ``Dataset`` or ``Stream``; a tensor or array x with shape (N, *shape), or a pair
            (x, y); a torch ``Dataset`` of x or (x, y), which is read into memory once; or a torch
            ``DataLoader``, which is asked anew each epoch, so that its augmentation counts.

    Raises:
        DataError: Anything else, or data that ``from_arrays`` refuses.

    Example:
        >>> as_dataset((np.zeros((6, 2)), np.arange(6) % 3)).spec.n_classes
        3
    """
    if isinstance(data, Dataset):
        check_splits(data)
        return data
    if isinstance(data, Stream):
        return data
    if isinstance(data, DataLoader):
        return Stream.from_loader(data)
    return from_arrays(*read(data))


def check_splits(data: Dataset) -> None:
    """Refuse a data set whose values or labels are none of those that its spec describes.

    Values that go through a transform of the user's own are checked when they are drawn.

    Raises:
        DataError: Values outside the support, levels or labels beyond the last.
        ShapeError: Examples of another shape.
    """
    for split, part in data.splits.items():
        name = f"{split} x of {data.name!r}"
        if isinstance(data.transform, Identity):
            check_values(part.x, data.spec, name, levels=None)
        elif isinstance(data.transform, Pixels):
            check_top(part.x, data.transform.levels, name, "store levels alone")
        if part.y is not None:
            n_classes = data.spec.n_classes
            as_labels(part.y, len(part), n_classes, f"{split} y of {data.name!r}")


def read(data: object) -> tuple[Any, Any | None]:
    """Return the examples, with shape (N, *shape), and the labels, with shape (N,), of data.

    Arguments:
        data: An array x of any kind that ``as_tensor`` takes, a pair (x, y) of it and its labels,
            or a torch ``Dataset``, which is read into memory once.

    Raises:
        DataError: Anything else.

    Example:
        >>> read((np.zeros((6, 2)), np.arange(6)))[0].shape
        (6, 2)
    """
    if isinstance(data, TorchDataset):
        return read_all(data)
    if isinstance(data, tuple | list) and len(data) == 2 and is_array(data[0]):
        y = data[1]
        if y is None or is_array(y) or isinstance(y, list | tuple):
            return data[0], y
    if is_array(data):
        return data, None
    raise DataError(
        f"data of type {type(data).__name__} cannot be used: give a reparam Dataset, a tensor or "
        "array x, a DataFrame, a pair (x, y) of them, a torch Dataset or a torch DataLoader"
    )


def read_all(data: TorchDataset[Any]) -> tuple[Tensor, Tensor | None]:
    """Return the examples, with shape (N, *shape), and labels, with shape (N,), of a torch Dataset.

    Raises:
        DataError: Items that are neither x nor (x, y), or that differ in shape.

    Example:
        >>> x, y = read_all(TensorDataset(torch.zeros(4, 3), torch.arange(4)))
        >>> x.shape, y.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """
    if isinstance(data, TensorDataset) and len(data.tensors) in (1, 2):
        return data.tensors[0], data.tensors[1] if len(data.tensors) == 2 else None
    items: Iterable[Any]
    if isinstance(data, IterableDataset) or not isinstance(data, Sized):
        items = iter(data)
    else:
        items = (data[i] for i in range(len(data)))
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    for i, item in enumerate(items):
        if isinstance(item, tuple | list) and len(item) == 1:
            item = item[0]  # as a part of a TensorDataset gives it
        x, y = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
        xs.append(as_item(x, i))
        if xs[i].shape != xs[0].shape:
            raise DataError(
                f"item {i} has shape {tuple(xs[i].shape)} and item 0 {tuple(xs[0].shape)}: "
                "all examples must have one shape, so crop, pad or resize them"
            )
        if y is not None:
            ys.append(as_item(y, i))
    if not xs:
        raise DataError(
            "the torch Dataset has 0 items: data need at least one example, so give some"
        )
    if ys and (len(ys) != len(xs) or any(y.shape != () for y in ys)):
        raise DataError(
            f"{len(ys)} of {len(xs)} items have a label, and not every label is one integer: "
            "label all items alike or none, so mend the torch Dataset"
        )
    return torch.stack(xs), torch.stack(ys) if ys else None


def as_item(value: object, i: int) -> Tensor:
    """Return part of item ``i`` of a torch Dataset as a tensor of any shape.

    Raises:
        DataError: A mapping, a text or another thing that is no array of numbers.

    Example:
        >>> as_item(7, 0)
        tensor(7)
    """
    if not isinstance(value, Tensor | np.ndarray | np.generic | int | float) and not hasattr(
        value, "__array_interface__"
    ):
        raise DataError(
            f"item {i} of the torch Dataset holds a {type(value).__name__}: items must be x or "
            "(x, y) with x a tensor, array or image, so wrap the Dataset in one that gives those"
        )
    return as_tensor(value, f"item {i}")
