"""A data set in memory: named splits of stored values, and the transform that makes them x."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data.checks import UNLABELED
from reparam.data.condition import condition_of, conditioned, require_all_labels
from reparam.data.transforms import Identity, Transform
from reparam.errors import DataError, OptionError, unknown
from reparam.isolation import default_modes
from reparam.spec import Condition, DataSpec, Support
from reparam.utils.arguments import numbers, scalar
from reparam.utils.equality import by_value

# Examples are drawn this many at a time whatever the limit, so that the first k of a draw are the
# same for every k.
CHUNK = 1024


@by_value
@dataclass(frozen=True)
class Split:
    """Stored examples and their labels.

    Arguments:
        x: Stored values, with shape (N, *shape): uint8 levels, or float32 as they are.
        y: Labels, int64 with shape (N,), ``UNLABELED`` where the class is not known; None without
            labels.

    Raises:
        DataError: No examples, or another number of labels than of examples.

    Example:
        >>> len(Split(torch.zeros(5, 2)))
        5
    """

    x: Tensor
    y: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.x) == 0:
            raise DataError(
                f"x has shape {tuple(self.x.shape)}: data need at least one example, so give some"
            )
        if self.y is not None and self.y.shape != self.x.shape[:1]:
            raise DataError(
                f"y has shape {tuple(self.y.shape)} beside {len(self.x)} examples: "
                f"one label per example is needed, so give y the shape ({len(self.x)},)"
            )

    def __repr__(self) -> str:
        labels = "no labels" if self.y is None else "labels"
        return f"Split({len(self):,} examples of shape {tuple(self.x.shape[1:])}, {labels})"

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> "Split":
        """Return the examples at ``index``, with shape (M,)."""
        return Split(self.x[index], None if self.y is None else self.y[index])


@by_value
@dataclass(frozen=True)
class Dataset:
    """Named splits, and what turns their stored values into x.

    Arguments:
        name: What messages and run folders call it.
        spec: The shape and support of x, after the transform.
        splits: ``train``, and ``validation`` and ``test`` where they exist.
        transform: What maps stored values to x.
        class_names: The names of the classes, in the order of the labels.
        options: The plain values from which ``load(**options)`` makes the same data set again;
            None for data that came from memory.
        notes: What is worth knowing of how they were read, such as what was left out.

    Raises:
        DataError: No ``train`` split.

    Example:
        >>> data = Dataset("ones", DataSpec((2,), "real"), {"train": Split(torch.ones(5, 2))})
        >>> data.examples("train", limit=3).x.shape
        torch.Size([3, 2])
    """

    name: str
    spec: DataSpec
    splits: Mapping[str, Split]
    transform: Transform = field(default_factory=Identity)
    class_names: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "train" not in self.splits:
            raise DataError(
                f"{self.name} has the splits {', '.join(self.splits) or 'none'}: "
                "one must be 'train', so name it so"
            )

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"Dataset({self.name!r}, {self.spec.support} of shape {self.spec.shape}: {splits})"

    @property
    def images(self) -> Tensor:
        """The stored values of the training examples, with shape (N, *shape)."""
        return self.splits["train"].x

    @property
    def labels(self) -> Tensor | None:
        """The labels of the training examples, with shape (N,); None without labels."""
        return self.splits["train"].y

    @property
    def support(self) -> Support:
        """The set that an entry of x lies in."""
        return self.spec.support

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one x."""
        return self.spec.shape

    def split(self, name: str) -> Split:
        """Return the split of that name.

        Raises:
            OptionError: A split that the data set does not have.
        """
        if name not in self.splits:
            raise unknown(f"split of {self.name}", name, self.splits)
        return self.splits[name]

    @default_modes()
    @numbers()
    def examples(self, split: str = "train", seed: int = 0, limit: int | None = None) -> Batch:
        """Return the examples of a split under one draw of the transform.

        The draw comes from a CPU generator, so that it is the same on every machine, and its first
        k examples are the same for every ``limit`` ≥ k.

        Arguments:
            split: The name of the split.
            seed: The seed of the draw.
            limit: How many examples, from the first; all when None.

        Raises:
            OptionError: A split that does not exist, or a limit below one.
            DataError: A condition on labels that are not known.
        """
        stored = self.split(split)
        if limit is not None and limit < 1:
            raise OptionError(f"limit={limit}: give at least 1, or None for all examples")
        condition = condition_of(self.spec)
        if condition is not None:
            require_all_labels(stored.y)
        n = len(stored) if limit is None else min(limit, len(stored))
        generator = torch.Generator().manual_seed(seed)
        x = torch.empty(0)
        for start in range(0, n, CHUNK):
            chunk = self.transform(stored.x[start : start + CHUNK].cpu(), generator)
            if start == 0:
                x = chunk.new_empty(n, *chunk.shape[1:])
            x[start : start + CHUNK] = chunk[: n - start]
        y = None if stored.y is None else stored.y[:n].cpu()
        return conditioned(x, y, condition)

    def conditioned(self, condition: Condition | None) -> "Dataset":
        """Return the same data with a condition c of every example, such as its label.

        Raises:
            DataError: A condition on labels that do not exist.

        Example:
            >>> data = Dataset("ones", DataSpec((2,), "real", 3), {
            ...     "train": Split(torch.ones(5, 2), torch.arange(5) % 3)})
            >>> data.conditioned("label").examples().c.shape
            torch.Size([5, 3])
        """
        return replace(self, spec=self.spec.conditioned(condition))

    @default_modes()
    @numbers()
    def with_validation(self, size: int | float, seed: int = 0) -> "Dataset":
        """Return the data set with a validation split taken out of train at random.

        Both parts keep the order that they had in train.

        Arguments:
            size: How many examples, or as a float below one which fraction of train; 0 for none.
            seed: The seed of the permutation.

        Raises:
            OptionError: A size that leaves nothing to train on, or a validation split there
                already.
        """
        train = self.splits["train"]
        n = validation_size(size, len(train))
        if n == 0:
            return self
        if "validation" in self.splits:
            raise OptionError(
                f"validation={size}: {self.name} has a validation split already, so set it to 0"
            )
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        parts = {
            "train": train.take(order[n:].sort().values),
            "validation": train.take(order[:n].sort().values),
        }
        rest = {name: split for name, split in self.splits.items() if name != "train"}
        return replace(self, splits=parts | rest)

    @default_modes()
    @numbers()
    def with_labels_per_class(self, n: int, seed: int = 0) -> "Dataset":
        """Return the data set with the labels of n random training examples of each class.

        The other labels of train become ``UNLABELED``; those of other splits stay.

        Arguments:
            n: How many examples of each class keep their label.
            seed: The seed of the choice.

        Raises:
            DataError: No labels, or a class with fewer examples.
            OptionError: A number below one.

        Example:
            >>> data = Dataset("ones", DataSpec((2,), "real", 2), {
            ...     "train": Split(torch.ones(6, 2), torch.arange(6) % 2)})
            >>> data.with_labels_per_class(1).labels.sort().values
            tensor([-1, -1, -1, -1,  0,  1])
        """
        train = self.splits["train"]
        if n < 1:
            raise OptionError(f"labels_per_class={n}: give at least 1, or None to keep all labels")
        if train.y is None:
            raise DataError(f"labels_per_class={n}: {self.name!r} has no labels to keep: drop it")
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        y = torch.full_like(train.y, UNLABELED)
        for label in range(self.spec.n_classes or 0):
            of_class = order[(train.y == label).cpu()[order]][:n]
            if len(of_class) < n:
                raise DataError(
                    f"labels_per_class={n}: {self.name!r} has {len(of_class)} training examples of "
                    f"class {label}: give at most so many"
                )
            y[of_class] = label
        return replace(self, splits={**self.splits, "train": replace(train, y=y)})


def validation_size(size: int | float, n_train: int) -> int:
    """Return how many of ``n_train`` examples a size or fraction asks for.

    Raises:
        OptionError: A size that is negative or leaves nothing to train on.

    Example:
        >>> validation_size(0.05, 60000), validation_size(100, 60000)
        (3000, 100)
    """
    number = scalar(size)
    n = int(number * n_train) if isinstance(number, float) and 0 <= number < 1 else number
    # 1.0 could be all examples as well as one of them.
    if isinstance(n, float) and n.is_integer() and n > 1:
        n = int(n)
    if isinstance(n, bool) or not (isinstance(n, int) and 0 <= n < n_train):
        raise OptionError(
            f"validation={size}: give a number of examples from 0 to {n_train - 1}, "
            "or a fraction of the training examples from 0.0 to below 1.0"
        )
    return n
