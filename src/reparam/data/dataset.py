"""A data set: named splits of stored values, and the transform that makes them x.

Values are stored as they were given, for example as bytes, and become x batch by batch. They are in
memory, or in a file that is mapped. A data set
with labels or covariates can be conditioned on them, see ``Dataset.conditioned``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data.checks import UNLABELED, as_labels, check_finite, check_top, check_values
from reparam.data.condition import check_condition, condition_of
from reparam.data.mapped import Mapped
from reparam.data.transforms import Identity, Pixels, Transform
from reparam.errors import DataError, OptionError, unknown
from reparam.isolation import default_modes
from reparam.spec import Condition, DataSpec, Support
from reparam.utils.arguments import numbers, scalar
from reparam.utils.equality import by_value
from reparam.utils.memory import require_memory
from reparam.utils.seeding import random_rows
from reparam.utils.terminal import note

MOST_HELD, MOST_HELD_BYTES = 10_000, 2**28
"""The largest number of rows of a mapped file that are held out as test or validation split, and
the largest number of their bytes: they are in memory."""

CHUNK = 1024
"""The number of examples in one draw of a transform, whatever the limit: the first k examples of a
draw are then the same for every k."""


@by_value
@dataclass(frozen=True)
class Split:
    """Stored examples, their labels and their covariates.

    Arguments:
        x: Stored values, with shape (N, *shape): uint8 levels, or float32 as they are.
        y: Labels, int64 with shape (N,), ``UNLABELED`` where the class is unknown; None without
            labels.
        covariates: Covariates, float32 with shape (N, C); None without any.
        mapped: The file whose memory x shares; None for x in memory. The values of such a file were
            checked when it was loaded, and are not read whole again.

    Raises:
        DataError: No examples, or another number of labels or covariates than of examples.

    Example:
        >>> len(Split(torch.zeros(5, 2)))
        5
    """

    x: Tensor
    y: Tensor | None = None
    covariates: Tensor | None = None
    mapped: Mapped | None = None

    def __post_init__(self) -> None:
        n = len(self.x)
        if n == 0:
            raise DataError(
                f"x has shape {tuple(self.x.shape)}: data need at least one example, so give some"
            )
        if self.y is not None and self.y.shape != (n,):
            raise DataError(
                f"y has shape {tuple(self.y.shape)} beside {n} examples: "
                f"one label per example is needed, so give y the shape ({n},)"
            )
        c = self.covariates
        if c is not None and (c.ndim != 2 or len(c) != n):
            raise DataError(
                f"covariates has shape {tuple(c.shape)} beside {n} examples: one row for each is "
                f"needed, so give covariates the shape ({n}, C)"
            )

    def __repr__(self) -> str:
        labels = "no labels" if self.y is None else "labels"
        more = "" if self.covariates is None else f", {self.covariates.shape[1]} covariates"
        return f"Split({len(self):,} examples of shape {tuple(self.x.shape[1:])}, {labels}{more})"

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor | slice) -> "Split":
        """Return the examples at ``index``, with shape (M,), in memory."""
        if self.mapped is None or isinstance(index, slice):
            return self.each(lambda values: values[index])
        x = self.mapped.read([range(place, place + 1) for place in index.tolist()], self.x)
        y = None if self.y is None else self.y[index]
        return Split(x, y, None if self.covariates is None else self.covariates[index])

    def picked(self, index: Tensor) -> "Split":
        """Return the examples at ``index``, with shape (M,), on the device of the examples."""
        # Ten times as fast as values[index], which copies entry by entry.
        return self.each(lambda values: values.index_select(0, index))

    def apart(self, places: Tensor) -> "tuple[Split, Split]":
        """Return the examples without some of them, and these examples in memory.

        Both keep the order of the examples; but where the rest is mapped, its last examples take
        the places of those that are taken out, and no others are copied.

        Arguments:
            places: The numbers of the examples to take out, in any order.

        Example:
            >>> rest, held = Split(torch.arange(5.0)).apart(torch.tensor([3, 0]))
            >>> rest.x.tolist(), held.x.tolist()
            ([1.0, 2.0, 4.0], [0.0, 3.0])
        """
        held = self.take(places.sort().values)
        if self.mapped is None:
            is_left = torch.ones(len(self), dtype=torch.bool)
            is_left[places] = False
            return self.take(is_left.nonzero()[:, 0]), held
        mapped, left = self.mapped.without(places.tolist())
        y = None if self.y is None else self.y[left]
        covariates = None if self.covariates is None else self.covariates[left]
        return Split(mapped.tensor(), y, covariates, mapped), held

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest stored value; of a mapped file bounds of all of its rows."""
        if self.mapped is not None:
            return self.mapped.low, self.mapped.high
        low, high = (float(value) for value in self.x.aminmax())
        return low, high

    def each(self, function: Callable[[Tensor], Tensor]) -> "Split":
        """Return the results of a function of x, of y and of the covariates."""
        y = None if self.y is None else function(self.y)
        covariates = None if self.covariates is None else function(self.covariates)
        return Split(function(self.x), y, covariates)

    def batch(self, x: Tensor, spec: DataSpec | None) -> Batch:
        """Return x, with shape (N, *spec.shape), as a batch with these labels and their condition.

        Raises:
            DataError: Labels or covariates that the condition needs and that are missing.
        """
        c = None if spec is None else condition_of(spec, self.y, self.covariates)
        return Batch(x, self.y, c)


@by_value
@dataclass(frozen=True)
class Dataset:
    """Named splits, and the transform from their stored values to x.

    Arguments:
        name: Its name in messages and run folders.
        spec: The shape and support of x, after the transform.
        splits: ``train``, and ``validation`` and ``test`` where they exist.
        transform: The map from stored values to x.
        class_names: The names of the classes, in the order of the labels.
        options: The plain values from which ``load(**options)`` makes the same data set again;
            None for data from memory.
        notes: Remarks on the files that were read, such as those that were left out.

    Raises:
        DataError: No ``train`` split, or another number of covariates than in the spec.

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
    is_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if "train" not in self.splits:
            raise DataError(
                f"{self.name} has the splits {', '.join(self.splits) or 'none'}: "
                "one must be 'train', so name it so"
            )
        n = len(self.spec.covariates)
        for name, split in self.splits.items() if self.spec.given_covariates else ():
            if split.covariates is not None and split.covariates.shape[1] != n:
                raise DataError(
                    f"the split {name!r} of {self.name!r} has {split.covariates.shape[1]} "
                    f"covariates, and its spec names {n} ({', '.join(self.spec.covariates)}): give "
                    "as many"
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
        """The set that contains every entry of x."""
        return self.spec.support

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one x."""
        return self.spec.shape

    def check(self) -> None:
        """Refuse values, labels or covariates that contradict the spec.

        Values that go through a transform of the user's own are checked when they are drawn, and
        those of a mapped file were checked when it was loaded.

        Raises:
            DataError: Values outside the support, levels or labels beyond the last, or NaN.
            ShapeError: Examples of another shape.
        """
        for split, part in self.splits.items():
            name = f"{split} x of {self.name!r}"
            if part.mapped is None and isinstance(self.transform, Identity):
                check_values(part.x, self.spec, name, levels=None)
            elif part.mapped is None and isinstance(self.transform, Pixels):
                check_top(part.x, self.transform.levels, name, "store levels alone")
            if part.y is not None:
                as_labels(part.y, len(part), self.spec.n_classes, f"{split} y of {self.name!r}")
            if part.covariates is not None:
                check_finite(part.covariates, f"{split} covariates of {self.name!r}")

    def split(self, name: str) -> Split:
        """Return the split of a name.

        Raises:
            OptionError: A split that the data set does not have.
        """
        if name not in self.splits:
            raise unknown(f"split of {self.name}", name, self.splits)
        return self.splits[name]

    @default_modes()
    @numbers(limit=1)
    def examples(self, split: str = "train", seed: int = 0, limit: int | None = None) -> Batch:
        """Return the examples of a split under one draw of the transform.

        The draw comes from a CPU generator, so that it is the same on every machine, and its first
        k examples are the same for every ``limit`` ≥ k.

        Arguments:
            split: The name of the split.
            seed: The seed of the draw.
            limit: The number of examples, from the first; all when None.

        Raises:
            OptionError: A split that does not exist, or a limit below one.
            DataError: A condition on labels that are not known.
        """
        stored = self.split(split)
        check_condition(self.spec, stored.y, stored.covariates)
        n = len(stored) if limit is None else min(limit, len(stored))
        generator = torch.Generator().manual_seed(seed)
        x = torch.empty(0)
        for start in range(0, n, CHUNK):
            chunk = self.transform(stored.x[start : start + CHUNK].cpu(), generator)
            if start == 0:
                require_memory(n * chunk[0].nbytes, limit=n)
                x = chunk.new_empty(n, *chunk.shape[1:])
            x[start : start + CHUNK] = chunk[: n - start]
        return stored.take(slice(n)).each(Tensor.cpu).batch(x, self.spec)

    def conditioned(self, condition: Condition | None) -> "Dataset":
        """Return the same data with a condition c of every example.

        Arguments:
            condition: ``label``, ``covariates``, ``label+covariates``, or None for no condition.

        Raises:
            DataError: A condition on labels or covariates that do not exist.

        Example:
            >>> data = Dataset("ones", DataSpec((2,), "real", 3), {
            ...     "train": Split(torch.ones(5, 2), torch.arange(5) % 3)})
            >>> data.conditioned("label").examples().c.shape
            torch.Size([5, 3])
        """
        if condition == self.spec.condition:
            return self  # a spec checks itself, which takes longer than to encode an image
        return replace(self, spec=self.spec.conditioned(condition))

    def print_notes(self) -> None:
        """Print the remarks on how the data were understood."""
        for text in self.notes:
            note(text)

    def with_options(self, options: Mapping[str, Any]) -> "Dataset":
        """Return the same data with the options from which ``load`` makes them again."""
        return replace(self, options=options)

    @default_modes()
    @numbers()
    def only_train(self, places: Tensor) -> "Dataset":
        """Return the data set with some of its training examples, in their order, and no others.

        Arguments:
            places: The numbers of the examples, in any order.
        """
        return replace(self, splits={"train": self.split("train").take(places.sort().values)})

    def some(self, split: str, n: int, seed: int = 0) -> "Dataset":
        """Return a data set whose training split is n random examples of a split.

        They are in random order, and all of the split where it has fewer. The first examples of a
        split, which may be sorted, are of one day or of one class.

        Arguments:
            split: The name of the split.
            n: The number of examples.
            seed: The seed of the choice.

        Raises:
            OptionError: A split that does not exist.

        Example:
            >>> data = Dataset("ones", DataSpec((2,), "real"), {"train": Split(torch.ones(5, 2))})
            >>> data.some("train", 3).split("train")
            Split(3 examples of shape (2,), no labels)
        """
        stored = self.split(split)
        return replace(self, splits={"train": stored.take(random_rows(len(stored), n, seed))})

    def with_validation(self, size: int | float, seed: int = 0) -> "Dataset":
        """Return the data set with a random validation split taken out of train.

        Both parts keep the order of train: see ``Split.apart``. Of a mapped file at most 10,000
        examples are held out, since they are in memory.

        Arguments:
            size: The number of examples, or as a float below one the fraction of train; 0 for
                none.
            seed: The seed of the permutation.

        Raises:
            OptionError: A size that leaves nothing to train on, or an existing validation split.
        """
        train = self.splits["train"]
        n = min(validation_size(size, len(train)), most_held(train))
        if n == 0:
            return self
        if "validation" in self.splits:
            raise OptionError(
                f"validation={size}: {self.name} has a validation split already, so set it to 0"
            )
        train, held = train.apart(random_rows(len(train), n, seed))
        rest = {name: split for name, split in self.splits.items() if name != "train"}
        return replace(self, splits={"train": train, "validation": held, **rest})

    @default_modes()
    @numbers()
    def with_labels_per_class(self, n: int, seed: int = 0) -> "Dataset":
        """Return the data set with the labels of ``n`` random training examples of each class.

        The other labels of train become ``UNLABELED``; those of other splits stay.

        Arguments:
            n: The number of examples of each class that keep their label.
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


def most_held(split: Split) -> int:
    """Return the largest number of examples that are taken out of a split; all but one in memory.

    >>> most_held(Split(torch.zeros(5, 2)))
    4
    """
    if split.mapped is None:
        return len(split) - 1
    return min(len(split) - 1, max(1, min(MOST_HELD, MOST_HELD_BYTES // split.x[0].nbytes)))


def with_few_held(
    data: Dataset, validation: int | float | None, test_share: float, seed: int
) -> Dataset:
    """Return a mapped data set with splits for test and validation, which are in memory.

    Arguments:
        data: The data, with the split ``train`` alone, in a mapped file.
        validation: The number of validation examples, or as a float their fraction of those outside
            test; see ``validation_size`` for None.
        test_share: The fraction of the examples that is the test split.
        seed: The seed of the choice of examples.

    Raises:
        OptionError: A size that leaves nothing to train on.
    """
    train = data.split("train")
    most = most_held(train)
    n_test = min(int(len(train) * test_share), most)
    splits = {"train": train}
    if n_test:
        splits["train"], splits["test"] = train.apart(random_rows(len(train), n_test, seed))
    n_validation = validation_size(validation, len(splits["train"]))
    data = replace(data, splits=splits).with_validation(n_validation, seed)
    held = [f"{len(s):,} for {name}" for name, s in data.splits.items() if name != "train"]
    place = "" if train.mapped is None else f"{train.mapped.path} is mapped: "
    told = (
        f"{place}{len(data.split('train')):,} rows stay on the disk, and are read in blocks in "
        f"random order; {' and '.join(held) or 'none'} (at most {most:,}) are held out, in memory; "
        "columns are described by a random sample of rows"
    )
    return replace(data, notes=(*data.notes, told))


HELD_FROM, HELD_SHARE, MOST_HELD = 500, 0.1, 2_000
"""The least number of training examples of which some are held out for validation by default, the
share of them, and the largest number."""


def validation_size(size: int | float | None, n_train: int) -> int:
    """Return the number of validation examples that a size or fraction of ``n_train`` is.

    Arguments:
        size: The number or the fraction; None for a tenth of 500 examples or more, at most 2,000.
        n_train: The number of examples that they are taken from.

    Raises:
        OptionError: A size that is negative or leaves nothing to train on.

    Example:
        >>> validation_size(0.05, 60000), validation_size(100, 60000), validation_size(None, 720)
        (3000, 100, 72)
    """
    if size is None:
        return min(int(HELD_SHARE * n_train), MOST_HELD) if n_train >= HELD_FROM else 0
    number = scalar(size)
    n = int(number * n_train) if isinstance(number, float) and 0 <= number < 1 else number
    # 1.0 is ambiguous: all examples, or one of them.
    if isinstance(n, float) and n.is_integer() and n > 1:
        n = int(n)
    if isinstance(n, bool) or not (isinstance(n, int) and 0 <= n < n_train):
        raise OptionError(
            f"validation={size}: give a number of examples from 0 to {n_train - 1}, "
            "or a fraction of the training examples from 0.0 to below 1.0"
        )
    return n


def check_share(test_share: float) -> None:
    """Refuse a fraction of the data that no test split can be.

    Raises:
        OptionError: It is negative, or leaves nothing to train on.
    """
    if not 0 <= test_share < 1:
        raise OptionError(
            f"test_share={test_share}: the fraction of the data must be at least 0 and below 1"
        )
