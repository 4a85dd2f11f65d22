"""Checks that values and labels are what they are said to be, for data from outside."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.errors import DataError, ShapeError
from reparam.spec import Support

Array = Tensor | NDArray[Any]

# What an entry must be, as messages say it.
RULES: dict[Support, str] = {
    "binary": "0 or 1",
    "unit": "in [0, 1]",
    "categorical": "one of 0, 1, 2, …",
    "counts": "one of 0, 1, 2, …",
    "tokens": "one of 0, 1, 2, …",
    "real": "a finite number",
}


def violations(x: Tensor, support: Support) -> Tensor:
    """Return where x, with shape (N, *shape), is outside the support, as booleans of that shape.

    >>> violations(torch.tensor([0.0, 0.5, 2.0]), "unit").tolist()
    [False, False, True]
    """
    if support == "binary":
        return (x != 0) & (x != 1)
    if support == "unit":
        return (x < 0) | (x > 1)
    if support == "real":
        return torch.zeros_like(x, dtype=torch.bool)
    return (x < 0) | (x != x.round()) if x.is_floating_point() else x < 0


def closest_support(x: Tensor, name: str = "x") -> Support:
    """Return the smallest of binary, unit and real that holds x, with shape (N, *shape).

    uint8 beyond {0, 1} are grey levels, and so ``unit``.

    Raises:
        DataError: Wider integers beyond {0, 1}, which could be counts as well as categories.

    Example:
        >>> closest_support(torch.tensor([0.0, 0.5, 1.0]))
        'unit'
    """
    low, high = (float(v) for v in x.aminmax())
    inside = low >= 0 and high <= 1
    if inside and not violations(x, "binary").any():
        return "binary"
    if x.dtype == torch.uint8:
        return "unit"
    if not x.is_floating_point():
        raise DataError(
            f"{name} has integers from {low:.0f} to {high:.0f}, which could be counts as well as "
            "categories: say which by support='counts' or support='categorical' (grey levels are "
            "uint8)"
        )
    return "unit" if inside else "real"


def check_finite(x: Tensor, name: str = "x") -> None:
    """Refuse NaN and infinite values in x, with shape (N, *shape).

    Raises:
        DataError: Says how many there are and where the first is.
    """
    if not x.is_floating_point():
        return
    bad = ~x.isfinite()
    if bad.any():
        raise DataError(
            f"{name} has {int(bad.sum())} NaN or infinite values, the first at index "
            f"{first(bad)}: every value must be finite, so remove or replace them"
        )


def check_support(x: Tensor, support: Support, name: str = "x") -> None:
    """Refuse values of x, with shape (N, *shape), outside the support.

    Raises:
        DataError: Says the range of x, the rule and the fix.

    Example:
        >>> check_support(torch.tensor([0.0, 255.0]), "unit")
        Traceback (most recent call last):
        reparam.errors.DataError: x ranges from 0 to 255 with 1 value outside support 'unit', ...
    """
    bad = violations(x, support)
    if bad.any():
        n = int(bad.sum())
        raise DataError(
            f"{name} ranges from {float(x.min()):.4g} to {float(x.max()):.4g} with {n} "
            f"value{'s' * (n > 1)} outside support {support!r}, the first at index {first(bad)}: "
            f"every value must be {RULES[support]}, so {fix(x, support)}"
        )


def fix(x: Tensor, support: Support) -> str:
    """Return what to do about values of x, with shape (N, *shape), outside the support."""
    low, high = float(x.min()), float(x.max())
    if support == "unit" and low >= 0 and 1 < high <= 255:
        return "divide x by 255, or pass it as uint8"
    if support == "unit":
        return "rescale x to [0, 1], or say support='real'"
    if support == "binary" and low >= 0 and high <= 1:
        return "threshold or round x, or say support='unit'"
    if support == "binary":
        return "binarize x, or say support='real'"
    return "shift or round x to such values, or say support='real'"


def first(where: Tensor) -> tuple[int, ...]:
    """Return the index of the first True in booleans of any shape.

    >>> first(torch.tensor([[False, False], [True, True]]))
    (1, 0)
    """
    flat = int(where.flatten().to(torch.uint8).argmax())
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), where.shape))


def as_tensor(values: object, name: str) -> Tensor:
    """Return a dense tensor of numbers on the CPU, sharing memory where it can.

    Raises:
        DataError: Anything but a tensor or array of real numbers.

    Example:
        >>> as_tensor(np.arange(3), "x")
        tensor([0, 1, 2])
    """
    if isinstance(values, Tensor):
        if values.layout != torch.strided or values.is_complex() or values.is_quantized:
            raise DataError(
                f"{name} is a tensor of {values.dtype} with layout {values.layout}: real numbers "
                "in a dense tensor are needed, so convert it"
            )
        return values.detach().cpu()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is a {type(values).__name__} that makes no array ({error}): give numbers, or "
            "rows of one length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} is an array of {array.dtype}: real numbers are needed, so convert it"
        )
    # Torch takes neither foreign byte orders nor negative strides, and warns of read-only memory.
    array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    wide = array.dtype.kind in "iu" and array.dtype != np.uint8
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return torch.from_numpy(array.astype(np.int64) if wide else array)


def as_values(x: object, name: str = "x", shape: Sequence[int] | None = None) -> Tensor:
    """Return examples as uint8, int64 or finite float32, with shape (N, *shape).

    Arguments:
        x: A tensor or array with one example per row.
        name: What messages call it.
        shape: The shape to give each example; as it is when None.

    Raises:
        DataError: No examples, NaN or infinite values, or no numbers.
        ShapeError: Examples of another size than ``shape``, or no axis of examples.

    Example:
        >>> as_values(np.zeros((2, 4)), shape=(1, 2, 2)).shape
        torch.Size([2, 1, 2, 2])
    """
    values = as_tensor(x, name)
    if values.ndim == 0 or (values.ndim == 1 and shape is None):
        raise ShapeError(
            f"{name} has shape {tuple(values.shape)}: the first axis counts the examples and the "
            "others are the shape of one, so reshape it to (N, 1) if an example is one number"
        )
    if values.numel() == 0:
        raise DataError(
            f"{name} has shape {tuple(values.shape)}: data need at least one example of at least "
            "one value, so give some"
        )
    if shape is not None:
        if prod(shape) != prod(values.shape[1:]) or min(shape, default=1) < 1:
            raise ShapeError(
                f"{name} has examples of shape {tuple(values.shape[1:])}, which do not fill shape "
                f"{tuple(shape)}: {prod(values.shape[1:])} values per example are needed, so "
                "change shape"
            )
        values = values.reshape(len(values), *shape)
    if values.is_floating_point():
        values = values.float()
        check_finite(values, name)
        return values
    if values.dtype == torch.bool:
        return values.to(torch.uint8)
    return values if values.dtype == torch.uint8 else values.long()


def as_rows(values: object, name: str, n: int | None = None) -> Tensor:
    """Return rows of numbers, as codes are, with shape (N, ...) and in floats.

    Arguments:
        values: A tensor, an array or a list; a single row may come without its first axis.
        name: What messages call it.
        n: How many rows there must be; any number when None.

    Raises:
        DataError: What is no array of finite numbers.
        ShapeError: A single number, or another number of rows.

    Example:
        >>> as_rows([0.0, 1.0], "z").shape
        torch.Size([1, 2])
    """
    rows = as_tensor(values, name)
    if rows.ndim == 0 or rows.numel() == 0:
        raise ShapeError(
            f"{name} has shape {tuple(rows.shape)}: rows of numbers are needed, so give it the "
            "shape (N, D)"
        )
    rows = rows[None] if rows.ndim == 1 else rows
    if n is not None and len(rows) != n:
        raise ShapeError(f"{name} has {len(rows)} rows beside {n}: give as many")
    rows = rows if rows.is_floating_point() else rows.to(torch.get_default_dtype())
    check_finite(rows, name)
    return rows


def as_labels(y: object, n: int, n_classes: int | None = None, name: str = "y") -> Tensor:
    """Return labels as int64, with shape (N,).

    Arguments:
        y: A tensor or array of integers {0, …, n_classes - 1}.
        n: The number of examples.
        n_classes: The number of classes; any when None.
        name: What messages call the labels.

    Raises:
        DataError: Labels of another length, negative, beyond the classes or not integers.

    Example:
        >>> as_labels(np.array([0.0, 2.0]), n=2)
        tensor([0, 2])
    """
    labels = as_tensor(y, name)
    if labels.shape != (n,):
        raise DataError(
            f"{name} has shape {tuple(labels.shape)} beside {n} examples: "
            f"one label per example is needed, so give {name} the shape ({n},)"
        )
    bad = violations(labels, "categorical") | ~labels.isfinite()
    if n_classes is not None:
        bad |= labels >= n_classes
    if bad.any():
        index = first(bad)[0]
        raise DataError(
            f"{name}[{index}] is {labels[index].item()}: labels must be integers from 0"
            f"{'' if n_classes is None else f' to {n_classes - 1}'}, so number the classes from 0"
        )
    return labels.long()


def as_support(x: Tensor, support: Support, name: str = "x") -> Tensor:
    """Return x, with shape (N, *shape), as values of a support are stored.

    Grey levels and binary uint8 stay uint8, tokens are int64, all others float32.

    Raises:
        DataError: Values outside the support.

    Example:
        >>> as_support(torch.tensor([[0, 3]]), "counts")
        tensor([[0., 3.]])
    """
    if x.dtype == torch.uint8 and support == "unit":
        return x
    check_support(x, support, name)
    if support == "tokens":
        return x.long()
    return x if x.dtype == torch.uint8 and support == "binary" else x.float()
