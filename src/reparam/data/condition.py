"""The condition c that a model is given beside x."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from reparam.batch import Batch
from reparam.errors import DataError, OptionError
from reparam.spec import DataSpec

Condition = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class OneHot:
    """Labels as one of K numbers that is one.

    >>> OneHot(3)(torch.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """

    n_classes: int

    def __call__(self, y: Tensor) -> Tensor:
        """Return c, with shape (B, K), of labels with shape (B,)."""
        return one_hot(y, self.n_classes).float()


def condition_of(spec: DataSpec) -> Condition | None:
    """Return what maps labels, with shape (B,), to c, with shape (B, C); None without a condition.

    >>> to_condition = condition_of(DataSpec((2,), "real", n_classes=3, condition="label"))
    >>> to_condition(torch.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    return None if spec.condition is None else OneHot(spec.context)


def conditions(spec: DataSpec, n: int, label: int | None = None) -> Tensor | None:
    """Return the condition c of n examples to generate, with shape (n, C); None without one.

    Arguments:
        spec: The data and their condition.
        n: How many.
        label: The label of all of them; the classes in turn when None.

    Raises:
        OptionError: A label for a model without a condition, or one that does not exist.

    Example:
        >>> conditions(DataSpec((2,), "real", n_classes=3, condition="label"), 2, label=1)
        tensor([[0., 1., 0.],
                [0., 1., 0.]])
    """
    to_condition = condition_of(spec)
    if to_condition is None:
        if label is not None:
            raise OptionError(
                f"label={label}: this model has no condition; train one with --condition label"
            )
        return None
    if label is not None and not 0 <= label < spec.context:
        raise OptionError(f"label={label}: the labels of {spec.name!r} are 0 to {spec.context - 1}")
    labels = torch.arange(n) % spec.context if label is None else torch.full((n,), label)
    return to_condition(labels)


def conditioned(x: Tensor, y: Tensor | None, condition: Condition | None) -> Batch:
    """Return the batch of x, with shape (B, *shape), and c = condition(y) if there is a condition.

    Raises:
        DataError: A condition on labels that do not exist.
    """
    if condition is None:
        return Batch(x=x, y=y)
    if y is None:
        raise unlabeled()
    return Batch(x=x, y=y, c=condition(y))


def require_all_labels(y: Tensor | None) -> None:
    """Refuse to condition on labels that are not there, or not all there.

    Raises:
        DataError: No labels, or some that are unknown.
    """
    if y is None:
        raise unlabeled()
    n_unknown = int((y < 0).sum())
    if n_unknown:
        raise DataError(
            f"{n_unknown:,} of {len(y):,} examples have no label to condition on (-1 or NaN): drop "
            "the condition or these examples, or train ss-vae"
        )


def unlabeled() -> DataError:
    """Return the error for a condition on labels that do not exist."""
    return DataError("the data have no labels to condition on: give y, or drop the condition")
