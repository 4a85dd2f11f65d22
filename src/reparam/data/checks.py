r"""Checks of examples from outside: x finite, in its support and of one shape; y classes.

Labels y are integers {0, …, K - 1}, and -1 where the class of an example is unknown. Every message
gives the range or the index of the values, the rule, and the fix.
"""

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.data.arrays import as_tensor
from reparam.errors import DataError, ShapeError
from reparam.schema import Schema
from reparam.spec import DataSpec, Support

IMAGE_CHANNELS = (1, 3, 4)
"""The possible numbers of channels of an image: grey, color, and color with transparency."""

MOST_ROUNDING = 0.01
"""The largest rounding error of float32, as a share of the standard deviation of a column."""

N_AT_ONCE = 1024
"""The number of examples that are checked at once."""

RULES: dict[Support, str] = {
    "binary": "0 or 1",
    "unit": "in [0, 1]",
    "categorical": "one of 0, 1, 2, …",
    "counts": "one of 0, 1, 2, …",
    "tokens": "one of 0, 1, 2, …",
    "real": "a finite number",
    "mixed": "a finite number, or NaN where it is missing",
}
"""The rule for an entry of x in messages, by support."""


def violations(x: Tensor, support: Support) -> Tensor:
    """Return where x, with shape (N, *shape), is outside the support, as booleans of that shape.

    >>> violations(torch.tensor([0.0, 0.5, 2.0]), "unit").tolist()
    [False, False, True]
    """
    if support == "binary":
        return (x != 0) & (x != 1)
    if support == "unit":
        return (x < 0) | (x > 1)
    if support in ("real", "mixed"):
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
    if x.dtype == torch.bool:
        return "binary"
    low, high = (float(v) for v in x.aminmax())
    inside = low >= 0 and high <= 1
    if inside and not (x.is_floating_point() and violations(x, "binary").any()):
        return "binary"
    if x.dtype == torch.uint8:
        return "unit"
    if not x.is_floating_point():
        raise DataError(
            f"{name} has integers from {low:.0f} to {high:.0f}, which could be counts, categories "
            "or quantities: say which by support='counts', support='categorical' or support='real' "
            "(of data.from_arrays), or give quantities as floats (grey levels are uint8)"
        )
    return "unit" if inside else "real"


def is_black_and_white(x: Tensor) -> bool:
    """Return whether x, with shape (N, *shape), holds the bytes 0 and 255 alone, and both of them.

    >>> is_black_and_white(torch.tensor([[0, 255]], dtype=torch.uint8))
    True
    """
    if x.dtype != torch.uint8:
        return False
    has_black = has_white = False
    for part in x.split(N_AT_ONCE):
        black, white = part == 0, part == 255
        if not bool((black | white).all()):
            return False
        has_black, has_white = has_black or bool(black.any()), has_white or bool(white.any())
    return has_black and has_white


def check_finite(x: Tensor, name: str = "x", given: Tensor | None = None, start: int = 0) -> None:
    """Refuse NaN and infinite values in x, with shape (N, *shape).

    Arguments:
        x: The values.
        name: The name of the values in messages.
        given: The values before they were rounded to float32.
        start: The number of the first example, where these are a part of all.

    Raises:
        DataError: Gives their number and the index of the first.
    """
    # The extremes are finite if and only if all values are; this is twice as fast.
    if not x.is_floating_point() or bool(torch.stack(x.aminmax()).isfinite().all()):
        return
    bad = ~x.isfinite()
    if bad.any():
        overflows = given is not None and bool(given[bad].isfinite().any())
        cause = " (float32 ends at 3.4e38)" if overflows else ""
        raise DataError(
            f"{name} has {int(bad.sum())} NaN or infinite values{cause}, the first at index "
            f"{first(bad, start)}: every value must be finite, so "
            f"{'scale them' if overflows else 'remove or replace them'}"
        )


def check_support(
    x: Tensor, support: Support, name: str = "x", levels: int | None = None, start: int = 0
) -> None:
    """Refuse values of x, with shape (N, *shape), outside the support.

    Arguments:
        x: The values.
        support: The set that must contain them.
        name: The name of the values in messages.
        levels: For data given to a model the number of grey levels of its training bytes, 256 if
            there were none; None if the support itself can still be chosen.
        start: The number of the first example, where these are a part of all.

    Raises:
        DataError: Gives the range of x, the rule and the fix.

    Example:
        >>> check_support(torch.tensor([0.0, 255.0]), "unit")
        Traceback (most recent call last):
        reparam.errors.DataError: x ranges from 0 to 255 with 1 value outside support 'unit', ...
    """
    if support == "unit" and x.is_floating_point():
        low, high = x.aminmax()
        if low >= 0 and high <= 1:
            return
    bad = violations(x, support)
    if bad.any():
        n = int(bad.sum())
        raise DataError(
            f"{name} ranges from {float(x.min()):.4g} to {float(x.max()):.4g} with {n} "
            f"value{'s' * (n > 1)} outside support {support!r}, the first at index "
            f"{first(bad, start)}: every value must be {RULES[support]}, so "
            f"{fix(x, support, levels)}"
        )


def fix(x: Tensor, support: Support, levels: int | None = None) -> str:
    """Return the fix for values of x, with shape (N, *shape), outside the support.

    Arguments:
        x: The values.
        support: The set that must contain them.
        levels: See ``check_support``.
    """
    low, high = float(x.min()), float(x.max())
    top = 255 if levels is None else levels - 1
    # Values slightly above 1 are no grey levels.
    if support == "unit" and low >= 0 and 2 < high <= top:
        return f"divide x by {top}, or pass it as uint8"
    is_grey = support == "binary" and low >= 0 and high <= 1
    whats = {"unit": "rescale x to [0, 1]", "binary": "binarize x"}
    what = (
        "threshold or round x" if is_grey else whats.get(support, "shift or round x to such values")
    )
    other = f"or say support={'unit' if is_grey else 'real'!r}"
    return f"{what}, {'as in training' if levels is not None else other}"


def first(where: Tensor, start: int = 0) -> tuple[int, ...]:
    """Return the index of the first True in booleans of any shape.

    Arguments:
        where: The booleans.
        start: The number of the first row, where these are a part of all.

    >>> first(torch.tensor([[False, False], [True, True]]))
    (1, 0)
    """
    flat = int(where.flatten().to(torch.uint8).argmax())
    row, *rest = (int(i) for i in torch.unravel_index(torch.tensor(flat), where.shape))
    return (start + row, *rest)


def as_values(x: object, name: str = "x", shape: Sequence[int] | None = None) -> Tensor:
    """Return examples as uint8, int64 or finite float32, with shape (N, *shape).

    Arguments:
        x: A tensor or array with one example per row.
        name: The name of the values in messages.
        shape: The shape to give each example; as it is when None.

    Raises:
        DataError: No examples, NaN or infinite values, or no numbers.
        ShapeError: Examples of another size than ``shape``, no axis of examples, or images with
            the channels last.

    Example:
        >>> as_values(torch.zeros(2, 4), shape=(1, 2, 2)).shape
        torch.Size([2, 1, 2, 2])
    """
    values = as_numbers(x, name)
    given = tuple(values.shape[1:])
    if shape is not None:
        wanted = tuple(shape)
        if _is_reordered(given, wanted):
            raise ShapeError(
                f"{name} has examples of shape {given}, and shape={wanted} has the same axes in "
                "another order, which no reshape gives: transpose them"
            )
        if prod(wanted) != prod(given) or min(wanted, default=1) < 1:
            raise ShapeError(
                f"{name} has examples of shape {given}, which do not fill shape {wanted}: "
                f"{prod(given)} values per example are needed, so change shape"
            )
        return values.reshape(len(values), *wanted)
    if values.ndim == 1:
        raise _no_axis_of_examples(values, name)
    if is_channels_last(given):
        raise ShapeError(
            f"{name} has shape {tuple(values.shape)}, which looks like images with the channels "
            f"last: the channels come first here, so {channels_first()}; if these are no channels, "
            f"give data.from_arrays(x, shape={given})"
        )
    return values


def as_numbers(x: object, name: str = "x") -> Tensor:
    """Return values with an axis of examples as uint8, bool, int64 or finite float32.

    Raises:
        DataError: No examples, NaN or infinite values, or no numbers.
        ShapeError: A single number.

    Example:
        >>> as_numbers([[3, 0]])
        tensor([[3, 0]])
    """
    values = as_tensor(x, name)
    if values.ndim == 0:
        raise _no_axis_of_examples(values, name)
    if values.numel() == 0:
        raise DataError(
            f"{name} has shape {tuple(values.shape)}: data need at least one example of at least "
            "one value, so give some"
        )
    if values.is_floating_point():
        narrow = values.float()
        check_finite(narrow, name, values)
        return narrow
    return values if values.dtype in (torch.uint8, torch.bool) else values.long()


def check_digits(values: Tensor, name: str = "x", columns: Sequence[str] = ()) -> None:
    """Refuse columns that differ in digits that float32 does not have.

    Seconds since 1970 are such a column where all rows are of one hour.

    Arguments:
        values: The values as they were given, with one example per row.
        name: The name of the values in messages.
        columns: The names of the columns, if they have some.

    Raises:
        DataError: A column whose rounding error is more than 1 % of its standard deviation.

    Example:
        >>> check_digits(torch.tensor([[1e9], [1e9 + 1]], dtype=torch.float64))
        Traceback (most recent call last):
        reparam.errors.DataError: column 0 of x: float32 cannot tell apart its values, ...
    """
    if values.ndim != 2 or values.dtype not in (torch.float64, torch.int64):
        return
    exact = values.double()
    magnitude = exact.abs().amax(0)
    magnitude = torch.where(magnitude > 0, magnitude, 1.0)
    error = (exact - exact.float().double()).abs().amax(0) / magnitude
    spread = (exact / magnitude).std(0, correction=0)
    # The deviation of values that are all equal is a rounding error of float64.
    for i in torch.where((spread > 1e-14) & (error > MOST_ROUNDING * spread))[0].tolist():
        label = f"{columns[i]!r}" if columns else f"{i}"
        first, last = exact[:, i].min().item(), exact[:, i].max().item()
        is_small = max(abs(first), abs(last)) < torch.finfo(torch.float32).tiny
        fix = "multiply them by a constant" if is_small else f"subtract {first!r} from them"
        raise DataError(
            f"column {label} of {name}: float32 cannot tell apart its values, from {first!r} to "
            f"{last!r}; {fix}"
        )


def as_rows(values: object, name: str, n: int | None = None) -> Tensor:
    """Return rows of numbers, such as codes, as floats with shape (N, ...).

    Arguments:
        values: A tensor, an array or a list; a single row may lack its first axis.
        name: The name of the values in messages.
        n: The number of rows; any when None.

    Raises:
        DataError: Anything that is no array of finite numbers.
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


def _no_axis_of_examples(values: Tensor, name: str) -> ShapeError:
    return ShapeError(
        f"{name} has shape {tuple(values.shape)}: the first axis counts the examples and the "
        "others are the shape of one, so reshape it to (N, 1) if an example is one number"
    )


def is_channels_last(shape: Sequence[int]) -> bool:
    """Return whether the shape of one example is that of an image with the channels last.

    A map with one channel last whose sides differ more than fourfold is taken for a series with
    the channels first.

    >>> is_channels_last((16, 16, 3)), is_channels_last((3, 16, 16)), is_channels_last((16, 131, 1))
    (True, False, False)
    """
    if len(shape) != 3 or shape[0] in IMAGE_CHANNELS or shape[2] not in IMAGE_CHANNELS:
        return False
    short, long = sorted(shape[:2])
    return short > 1 and (shape[2] > 1 or long <= 4 * short)


def channels_first() -> str:
    """Return the fix for images x with the channels last."""
    return "give x.transpose(0, 3, 1, 2) (of a tensor, x.permute(0, 3, 1, 2))"


def fitted(values: Tensor, shape: Sequence[int], name: str = "x") -> Tensor:
    """Return examples in a shape that they fit unambiguously.

    Flattened examples, and additional or missing axes of size one, are unambiguous. Axes in another
    order are refused: they would fill the shape with the wrong values.

    Arguments:
        values: The examples, with the shape (N, *given).
        shape: The shape of one example.
        name: The name of the examples in messages.

    Raises:
        ShapeError: Examples of another shape, or with their axes in another order.

    Example:
        >>> fitted(torch.zeros(5, 64), (1, 8, 8)).shape, fitted(torch.zeros(5, 8, 8), (64,)).shape
        (torch.Size([5, 1, 8, 8]), torch.Size([5, 64]))
    """
    given, wanted = tuple(values.shape[1:]), tuple(shape)
    is_flat = 1 in (len(given), len(wanted)) and prod(given) == prod(wanted)
    if given == wanted:
        return values
    if tuple(values.shape) == wanted:
        raise ShapeError(
            f"{name} has shape {tuple(values.shape)}, the shape of one example: the first axis "
            f"counts the examples, so give {name}[None]"
        )
    if len(wanted) == 3 and given == (*wanted[1:], wanted[0]):
        fix = f"these are images with the channels last, so {channels_first()}"
    elif _is_reordered(given, wanted):
        fix = "the axes are in another order, so transpose them"
    elif len(wanted) == 1 and is_channels_last(given):
        fix = "these are images with the channels last, so flatten them in the order of training"
    elif not is_flat and _without_ones(given) != _without_ones(wanted):
        fix = "give examples of the shape that the model was built for"
    else:
        return values.reshape(len(values), *wanted)
    raise ShapeError(f"{name} has examples of shape {given}, where the model has {wanted}: {fix}")


def _is_reordered(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether two shapes have the same axes in another order."""
    return sorted(given) == sorted(wanted) and _without_ones(given) != _without_ones(wanted)


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def check_values(x: Tensor, spec: DataSpec, name: str = "x", levels: int | None = 256) -> None:
    """Refuse examples x that contradict a spec.

    This is the only check of values against a spec: of data that are given after training, and of
    examples to be evaluated.

    Arguments:
        x: The examples as the model takes them, with shape (N, *spec.shape).
        spec: The shape and support of the data.
        name: The name of the examples in messages.
        levels: See ``check_support``.

    Raises:
        ShapeError: Examples of another shape.
        DataError: No examples, NaN or infinite values, values outside the support, or classes or
            tokens beyond the last.

    Example:
        >>> check_values(torch.tensor([[0.0, 3.0]]), DataSpec((2,), "categorical", levels=3))
        Traceback (most recent call last):
        reparam.errors.DataError: x[0, 1] is 3: the model has 3 values, from 0 to 2, so ...
    """
    if len(x) == 0:
        raise DataError(f"{name} has no examples: give at least one")
    if tuple(x.shape[1:]) != spec.shape:
        raise ShapeError(
            f"{name} has examples of shape {tuple(x.shape[1:])}: the model was built for the shape "
            f"{spec.shape}, so give such examples"
        )
    if spec.schema is not None:
        check_row_values(x, spec.schema, name)
        return
    check_finite(x, name)
    check_support(x, spec.support, name, levels)
    if spec.support in ("categorical", "tokens") and spec.levels is not None:
        check_top(x, spec.levels, name, "number the values as in training")


def check_row_values(x: Tensor, schema: Schema, name: str = "x") -> None:
    """Refuse rows of a table with infinite values, or numbers that are no classes.

    Arguments:
        x: The rows, with shape (N, D), NaN for missing values.
        schema: The columns.
        name: The name of the rows in messages.

    Raises:
        DataError: Gives the row and the column.
    """
    tops = torch.tensor([column.n_values or inf for column in schema.features]).to(x)
    is_class = tops.isfinite()
    bad = x.isinf() | (is_class & ((x < 0) | (x >= tops) | ((x != x.round()) & ~x.isnan())))
    if bad.any():
        row, place = first(bad)
        column = schema.features[place]
        rule = f"a class from 0 to {column.n_values - 1}" if column.is_class else "a finite number"
        raise DataError(
            f"{name}[{row}, {place}] (column {column.name!r}) is {x[row, place].item():g}: it must "
            f"be {rule}, or NaN where it is missing; give a table, and its classes are numbered"
        )


def check_top(x: Tensor, levels: int, name: str, fix: str) -> None:
    """Refuse whole numbers from ``levels`` on.

    Raises:
        DataError: Gives the index of the first, the largest possible value, and the fix.
    """
    if (x.dtype == torch.uint8 and levels > 255) or int(x.max()) < levels:
        return
    bad = x > levels - 1
    if bad.any():
        raise DataError(
            f"{_first_value(x, bad, name)}: the model has {levels} values, from 0 to "
            f"{levels - 1}, so {fix}"
        )


def check_on_grid(x: Tensor, levels: int, name: str = "x") -> None:
    """Refuse values between the levels k / (levels - 1), whose probability is zero.

    Arguments:
        x: Values in [0, 1].
        levels: The number of levels.
        name: The name of the values in messages.

    Raises:
        DataError: Gives the index of the first, and the fix.

    Example:
        >>> check_on_grid(torch.tensor([0.0, 0.5, 1.0]), levels=3)
    """
    k = x.double() * (levels - 1)
    # Rounding errors of half precision and float32 are far smaller than this.
    bad = (k - k.round()).abs() > 1e-2
    if bad.any():
        raise DataError(
            f"{_first_value(x, bad, name)}, between two of the {levels} levels k / {levels - 1}: "
            "the likelihood is one of levels, so scale the values as in training, or round them "
            f"to k / {levels - 1}"
        )


def is_on_grid(x: Tensor, levels: int) -> bool:
    """Return whether all values are levels: bytes, or floats k / (levels - 1) up to rounding.

    >>> is_on_grid(torch.tensor([0.2, 1.0]), 256), is_on_grid(torch.tensor([0.25, 1.0]), 256)
    (True, False)
    """
    if x.dtype == torch.uint8:
        return True
    parts = (part * (levels - 1) for part in x.split(N_AT_ONCE))
    return all(bool(((k - k.round()).abs() < 1e-3).all()) for k in parts)


def _first_value(x: Tensor, bad: Tensor, name: str) -> str:
    index = first(bad)
    return f"{name}[{', '.join(map(str, index))}] is {x[index].item():.4g}"


def stored_type(given: torch.dtype, support: Support) -> torch.dtype:
    """Return the type in which values of a support are stored; see ``as_support``.

    >>> stored_type(torch.uint8, "unit"), stored_type(torch.int16, "counts")
    (torch.uint8, torch.float32)
    """
    if support == "tokens":
        return torch.int64
    is_bit = support == "binary" and given in (torch.uint8, torch.bool)
    is_grey = support == "unit" and given == torch.uint8
    return torch.uint8 if is_bit or is_grey else torch.float32


def as_support(x: Tensor, support: Support, name: str = "x", levels: int | None = None) -> Tensor:
    """Return x, with shape (N, *shape), in the type in which values of a support are stored.

    Grey levels and binary bytes stay uint8, tokens are int64, all others float32.

    Arguments:
        x: The values.
        support: The set that must contain them.
        name: The name of the values in messages.
        levels: See ``check_support``.

    Raises:
        DataError: Values outside the support.

    Example:
        >>> as_support(torch.tensor([[0, 3]]), "counts")
        tensor([[0., 3.]])
    """
    if x.dtype == torch.uint8 and support == "unit":
        return x
    stored = stored_type(x.dtype, support)
    x = x.to(stored) if x.dtype == torch.bool else x
    check_support(x, support, name, levels)
    return x.to(stored)


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
