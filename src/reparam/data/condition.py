r"""The condition c of a model p(x | c): the one-hot label, real covariates, or both side by side.

``DataSpec.condition`` defines it; c has the shape (B, C) with C = ``DataSpec.context``.

Covariates come from arrays or from the columns of a table. A numeric or boolean column is one
covariate. A column of text or categories is one-hot: one covariate for each class, in sorted order,
with the name ``column=class``. These names, which ``DataSpec.covariates`` holds, are all that is
needed to encode other tables in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from reparam.data.arrays import Array, as_tensor, columns_of
from reparam.data.checks import check_finite
from reparam.errors import DataError, OptionError, ShapeError, unknown
from reparam.spec import DataSpec

NAME = "covariates"


def as_covariates(
    values: object, n: int, names: Sequence[str] = ()
) -> tuple[Tensor, tuple[str, ...]]:
    """Return covariates as finite float32, with shape (N, C), and their C names.

    Arguments:
        values: An array with shape (N, C), (N,) for one covariate, or (C,) for the same row in all
            examples; a DataFrame; or a mapping from the names of columns to their values, where a
            single value is that of all rows.
        n: The number of examples N.
        names: The names of the covariates to encode; those that the values define when empty.

    Raises:
        DataError: Another number of rows, NaN or infinite values, or a class that is not among
            ``names``.
        ShapeError: Another number of covariates than of names.
        OptionError: A column that is missing or unknown.

    Example:
        >>> as_covariates({"age": [40, 32], "sex": ["F", "M"]}, 2)
        (tensor([[40.,  1.,  0.],
                [32.,  0.,  1.]]), ('age', 'sex=F', 'sex=M'))
    """
    columns = columns_of(values, NAME)
    if columns is None:
        rows = as_tensor(values, NAME).to(torch.float32)
        if rows.ndim == 1:
            is_row = len(rows) == len(names) > 1
            rows = rows.expand(n, -1) if is_row else rows[:, None]
        found = tuple(names) or tuple(f"c{i}" for i in range(rows.shape[-1] if rows.ndim else 0))
    else:
        found = tuple(names) or _names(columns)
        rows = torch.from_numpy(_encoded(columns, found, n)).float()
    if not found or len(set(found)) < len(found):
        raise DataError(
            f"{NAME} has the columns {', '.join(found) or 'of nothing'}: give one column or more, "
            "each with its own name"
        )
    if rows.ndim != 2 or rows.shape[1] != len(found):
        listed = f" ({', '.join(found)})" if names else ""
        raise ShapeError(
            f"{NAME} has shape {tuple(rows.shape)}: one row of {len(found) or 'C'} numbers{listed} "
            f"for each example is needed, so give it the shape ({n}, {len(found) or 'C'})"
        )
    if len(rows) != n:
        raise DataError(f"{NAME} has {len(rows)} rows beside {n} examples: give one row for each")
    check_finite(rows, NAME)
    return rows, found


def covariates_for(spec: DataSpec, values: object, n: int) -> Tensor | None:
    """Return the covariates of n examples for a model, with shape (n, C); None if it takes none.

    Arguments:
        spec: The data that the model was trained on, and its condition.
        values: The covariates, as ``as_covariates`` takes them; None if they are not known.
        n: The number of examples.
    """
    if values is None or not spec.given_covariates:
        return None
    return as_covariates(values, n, spec.covariates)[0]


def columns_among(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return those of the columns of a table that hold covariates with these names.

    >>> columns_among(("age", "sex=F", "sex=M"), ("x", "age", "sex"))
    ['age', 'sex']
    """
    return [c for c in columns if any(n == c or n.startswith(f"{c}=") for n in names)]


def _names(columns: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return the names of the covariates that columns define."""
    names: list[str] = []
    for name, column in columns.items():
        is_text = column.dtype.kind == "O"
        # A class that is missing is refused where its row is encoded.
        classes = sorted({value for value in column.flat if value is not None}) if is_text else ()
        names += [f"{name}={label}" for label in classes] if is_text else [name]
    return tuple(names)


def _encoded(
    columns: Mapping[str, NDArray[Any]], names: Sequence[str], n: int
) -> NDArray[np.float64]:
    """Return the covariates of these names out of columns, with shape (N, C)."""
    for name in names:
        if name not in columns and not any(name.startswith(f"{column}=") for column in columns):
            raise DataError(
                f"{NAME} lacks {name.partition('=')[0]!r}, and has "
                f"{', '.join(columns) or 'nothing'}: give this column too"
            )
    n_rows = max((values.size for values in columns.values() if values.ndim), default=n)
    rows = np.zeros((n_rows, len(names)))
    for column, values in columns.items():
        classes = {
            name: i
            for i, name in enumerate(names)
            if name.startswith(f"{column}=") and name not in columns
        }
        if column not in names and not classes:
            raise unknown("covariate", column, columns_among(names, [*columns]))
        if values.ndim and len(values) != n_rows:
            raise DataError(
                f"{NAME}[{column!r}] has {len(values)} values beside {n_rows} of another column: "
                "give each column one value for each example"
            )
        if column in names:
            if values.dtype.kind == "O":
                raise DataError(
                    f"{NAME}[{column!r}] holds {values.flat[0]!r}: numbers are needed there"
                )
            rows[:, names.index(column)] = values
            continue
        for name, i in classes.items():
            rows[:, i] = values == name.removeprefix(f"{column}=")
        unseen = rows[:, [*classes.values()]].sum(1) == 0
        if unseen.any():
            row = int(unseen.argmax())
            known = ", ".join(name.removeprefix(f"{column}=") for name in classes)
            raise DataError(
                f"{NAME}[{column!r}] is {np.broadcast_to(values, n_rows)[row]!r} in row {row}: "
                f"give one of the classes {known}"
            )
    return rows


def condition_of(spec: DataSpec, y: Tensor | None, covariates: Tensor | None) -> Tensor | None:
    """Return the condition c of examples, with shape (B, C); None where the spec has none.

    Arguments:
        spec: The data and their condition.
        y: The labels, with shape (B,).
        covariates: The covariates, with shape (B, C).

    Raises:
        DataError: Labels or covariates that are needed and missing.

    Example:
        >>> spec = DataSpec((2,), "real", 2, covariates=("age",), condition="label+covariates")
        >>> condition_of(spec, torch.tensor([1, 0]), torch.tensor([[40.0], [32.0]]))
        tensor([[ 0.,  1., 40.],
                [ 1.,  0., 32.]])
    """
    missing = "the data have no {} to condition on: give {}, or drop the condition"
    parts = []
    if spec.given_label:
        if y is None:
            raise DataError(missing.format("labels", "y"))
        parts.append(one_hot(y, spec.n_classes or -1).float())
    if spec.given_covariates:
        if covariates is None:
            raise DataError(missing.format("covariates", "covariates"))
        parts.append(covariates)
    return torch.cat(parts, -1) if parts else None


MOST_DIGITS = 18
"""The largest number of digits of the number of a label."""


def label_number(label: int | str, class_names: Sequence[str] = ()) -> int:
    """Return the number of a label, which may be given by the name of its class.

    Arguments:
        label: The number, or the name; text that is no name may be a number.
        class_names: The names of the classes in their order; none where they have none.

    Raises:
        OptionError: A name that no class has.

    Example:
        >>> label_number("B", ["A", "B"]), label_number("1"), label_number(1, ["A", "B"])
        (1, 1, 1)
    """
    if not isinstance(label, str):
        return label
    if label in class_names:
        return class_names.index(label)
    if label.isdecimal() and len(label) <= MOST_DIGITS:
        return int(label)
    if not class_names:
        raise OptionError(f"label={label!r}: the classes have no names here: give a number")
    raise unknown("label", label, class_names)


def covariates_in(words: Mapping[str, str], names: Sequence[str]) -> dict[str, object]:
    """Return covariates that are written as text, as numbers where their columns hold numbers.

    Arguments:
        words: The covariates by the names of their columns.
        names: The names of the covariates of the model.

    Raises:
        OptionError: Text that is no number, in a column of numbers.

    Example:
        >>> covariates_in({"age": "40", "batch": "1"}, ["age", "batch=1", "batch=2"])
        {'age': 40.0, 'batch': '1'}
    """
    found: dict[str, object] = {}
    for name, word in words.items():
        try:
            found[name] = float(word) if name in names else word
        except ValueError:
            raise OptionError(f"covariates: {name}={word!r}: a number is needed there") from None
    return found


def conditions(
    spec: DataSpec,
    n: int,
    label: int | None = None,
    covariates: Array | Mapping[str, object] | None = None,
) -> Tensor | None:
    """Return the condition c of n examples to generate, with shape (n, C); None without one.

    Arguments:
        spec: The data and their condition.
        n: The number of examples.
        label: The label of all of them; the classes in turn when None.
        covariates: The covariates, with shape (n, C), or (C,) for the same in all examples; or a
            mapping from names, such as ``{"age": 40, "sex": "F"}``.

    Raises:
        OptionError: A label or covariates that do not exist or that the model is not given, or
            covariates that it needs and are missing.
        DataError: Covariates that are not n rows of finite numbers.
        ShapeError: Another number of covariates.

    Example:
        >>> conditions(DataSpec((2,), "real", n_classes=3, condition="label"), 2, label=1)
        tensor([[0., 1., 0.],
                [0., 1., 0.]])
    """
    refusal = "{}: this model has no condition on {}; train one with condition={!r}"
    if label is not None and not spec.given_label:
        raise OptionError(refusal.format(f"label={label}", "the label", "label"))
    if covariates is not None and not spec.given_covariates:
        raise OptionError(refusal.format("covariates", "covariates", "covariates"))
    k = spec.n_classes or 1
    if label is not None and not 0 <= label < k:
        raise OptionError(f"label={label}: the labels of {spec.name!r} are 0 to {k - 1}")
    y = torch.arange(n) % k if label is None else torch.full((n,), label)
    rows = None
    if spec.given_covariates:
        names = spec.covariates
        if covariates is None:
            raise OptionError(
                f"covariates=None: this model is conditioned on {', '.join(names)}: give a "
                "value of each by its name"
            )
        rows, _ = as_covariates(covariates, n, names)
    return condition_of(spec, y, rows)


def check_condition(spec: DataSpec, y: Tensor | None, covariates: Tensor | None) -> None:
    """Refuse examples whose condition is missing, or unknown for some of them.

    Raises:
        DataError: No labels or covariates, or labels that are -1.
    """
    condition_of(spec, None if y is None else y[:0], None if covariates is None else covariates[:0])
    if spec.given_label and y is not None:
        n_unknown = int((y < 0).sum())
        if n_unknown:
            raise DataError(
                f"{n_unknown:,} of {len(y):,} examples have no label to condition on (-1 or NaN): "
                "drop the condition or these examples, or train ss-vae"
            )
