"""Labels y: integers {0, …, K - 1}, and -1 where the class of an example is unknown."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.data.arrays import as_tensor
from reparam.data.checks import first
from reparam.errors import DataError

UNLABELED = -1
"""The label of an example of unknown class."""

MANY_CLASSES = 10_000
"""From this label on, more classes than examples are taken for a mistake, such as identifiers."""


def _numbered(y: object, name: str) -> object:
    """Return labels with -1 for masked values and None.

    Raises:
        DataError: Names of classes.
    """
    if isinstance(y, Tensor):
        return y
    if isinstance(y, np.ma.MaskedArray):
        return y.filled(UNLABELED)
    try:
        array = np.asarray(y)
    except (TypeError, ValueError):
        return y
    if array.dtype.kind == "O" and array.ndim == 1:
        listed = array.tolist()
        filled = np.array([UNLABELED if v is None or v != v else v for v in listed])
        if filled.dtype.kind in "biuf":
            return filled
    if array.dtype.kind in "OUS":
        raise DataError(
            f"{name} has labels such as {str(array.flat[0])!r}: classes are numbers from 0, which "
            f"numpy.unique({name}, return_inverse=True)[1] gives (-1 where one is not known)"
        )
    return y


def numbered_classes(
    column: NDArray[Any], names: Sequence[str], name: str
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels as numbers, with shape (N,), and the names of the classes; none for numbers.

    Arguments:
        column: Labels as numbers, NaN where unknown, or as text, None where unknown.
        names: The names of the classes in order; the sorted texts when empty.
        name: The name of the column in messages.

    Raises:
        DataError: A class that is not among the names.

    Example:
        >>> numbered_classes(np.array(["v", "u", None], object), (), "class")
        (array([ 1,  0, -1]), ('u', 'v'))
    """
    if column.dtype.kind != "O":
        return column, ()
    names = tuple(names) or tuple(sorted({text for text in column if text is not None}))
    numbers = {text: number for number, text in enumerate(names)} | {None: UNLABELED}
    unseen = [text for text in column if text not in numbers]
    if unseen:
        raise DataError(f"{name!r} is {unseen[0]!r}: give one of the classes {', '.join(names)}")
    return np.array([numbers[text] for text in column]), names


def as_labels(y: object, n: int, n_classes: int | None = None, name: str = "y") -> Tensor:
    """Return labels as int64, with shape (N,), and -1 for an unknown class.

    Arguments:
        y: Integers {0, …, n_classes - 1}, and -1, NaN, None or a mask for an unknown class.
        n: The number of examples.
        n_classes: The number of classes; any when None.
        name: The name of the labels in messages.

    Raises:
        DataError: Labels of another length, below -1, beyond the classes or not integers.

    Example:
        >>> as_labels(torch.tensor([0.0, 2.0, float("nan")]), n=3)
        tensor([ 0,  2, -1])
    """
    labels = as_tensor(_numbered(y, name), name)
    if labels.shape != (n,):
        raise DataError(
            f"{name} has shape {tuple(labels.shape)} beside {n} examples: "
            f"one label per example is needed, so give {name} the shape ({n},)"
        )
    if labels.is_floating_point():
        labels = torch.where(labels.isnan(), float(UNLABELED), labels)
    else:
        labels = labels.long()
    bad = (labels < UNLABELED) | (labels != labels.round()) | labels.isinf()
    if n_classes is not None:
        bad |= labels >= n_classes
    if bad.any():
        index = first(bad)[0]
        raise DataError(
            f"{name}[{index}] is {labels[index].item()}: labels must be integers from 0"
            f"{'' if n_classes is None else f' to {n_classes - 1}'} (or -1 where the class is not "
            "known), so number the classes from 0"
        )
    if n_classes is None and n > 0 and int(labels.max()) >= max(n, MANY_CLASSES):
        raise DataError(
            f"{name} has the label {labels.max().item():.15g} beside {n} examples: more classes "
            "than examples, so number the classes from 0 without gaps, or say n_classes"
        )
    return labels.long()
