"""The condition c of a model p(x | c): the one-hot label, real covariates, or both side by side.

``DataSpec.condition`` defines it; c has the shape (B, C) with C = ``DataSpec.context``.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from reparam.batch import Batch
from reparam.data.arrays import Array
from reparam.data.covariates import as_covariates
from reparam.errors import DataError, OptionError
from reparam.spec import DataSpec


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
    parts = []
    if spec.given_label:
        if y is None:
            raise DataError(
                "the data have no labels to condition on: give y, or drop the condition"
            )
        parts.append(one_hot(y, spec.n_classes or -1).float())
    if spec.given_covariates:
        if covariates is None:
            raise DataError(
                "the data have no covariates to condition on: give covariates, or drop the "
                "condition"
            )
        parts.append(covariates)
    return torch.cat(parts, -1) if parts else None


def conditioned(spec: DataSpec, x: Tensor, y: Tensor | None, covariates: Tensor | None) -> Batch:
    """Return the batch of x, with shape (B, *shape), its labels and its condition."""
    return Batch(x=x, y=y, c=condition_of(spec, y, covariates))


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
    if label is not None and not spec.given_label:
        raise OptionError(
            f"label={label}: this model has no condition on the label; train one with "
            "condition='label'"
        )
    if covariates is not None and not spec.given_covariates:
        raise OptionError(
            "covariates: this model has no condition on covariates; train one with "
            "condition='covariates'"
        )
    k = spec.n_classes or 1
    if label is not None and not 0 <= label < k:
        raise OptionError(f"label={label}: the labels of {spec.name!r} are 0 to {k - 1}")
    y = torch.arange(n) % k if label is None else torch.full((n,), label)
    rows = None
    if spec.given_covariates:
        names = spec.covariates
        if covariates is None:
            raise OptionError(
                f"covariates=None: this model is conditioned on {', '.join(names)}: give them, "
                f"with shape ({n}, {len(names)})"
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
