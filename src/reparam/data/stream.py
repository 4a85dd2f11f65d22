"""Batches from a torch DataLoader, which is asked anew each epoch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reparam.arguments import numbers
from reparam.batch import Batch
from reparam.data.checks import as_labels, as_support, as_values, closest_support
from reparam.data.condition import Condition, condition_of, conditioned, unlabeled
from reparam.data.transforms import Identity, Pixels, Transform
from reparam.equality import by_value
from reparam.errors import DataError, OptionError, ShapeError, unknown
from reparam.seeding import mixed_seed
from reparam.spec import Condition as NamedCondition
from reparam.spec import DataSpec, Support


@by_value
@dataclass(frozen=True)
class Stream:
    """Training data that a DataLoader makes batch by batch, so that its augmentation counts.

    Arguments:
        loader: What yields x, with shape (B, *shape), or (x, y).
        spec: The shape and support of x, after the transform.
        transform: What maps the values that the loader yields to x.

    Example:
        >>> stream = Stream.from_loader(DataLoader(torch.zeros(6, 4), batch_size=4))
        >>> stream.shape, stream.support
        ((4,), 'binary')
    """

    loader: DataLoader[Any]
    spec: DataSpec
    transform: Transform

    @classmethod
    @numbers(n_classes=1)
    def from_loader(
        cls,
        loader: DataLoader[Any],
        support: Support | None = None,
        n_classes: int | None = None,
        name: str = "data",
    ) -> "Stream":
        """Return the stream of a loader, whose spec is read off its first batch.

        Arguments:
            loader: What yields x, with shape (B, *shape), or (x, y).
            support: The set that an entry of x lies in; what holds the first batch when None.
            n_classes: The number of classes; the number of ``loader.dataset.classes``, or the
                largest label of the first batch + 1, when None.
            name: What messages call the data.

        Raises:
            DataError: A loader without length or batches, or of batches that are not x or (x, y).
        """
        try:
            n = len(loader)
        except TypeError:
            n = -1
        if n < 1:
            raise DataError(
                f"the DataLoader has {'no length' if n < 0 else '0 batches'}: an epoch needs a "
                "known number of batches, so give its data set a __len__ of at least one batch"
            )
        x, y = parts(next(pulled(loader, seed=0)))
        if support is None:
            support = closest_support(x)
        stored = as_support(x, support)
        transform: Transform = Identity()
        if stored.dtype == torch.uint8:
            transform = Pixels(256 if support == "unit" else 2)
        if n_classes is None and y is not None:
            named = getattr(loader.dataset, "classes", None)
            n_classes = len(named) if named else int(y.max()) + 1
        levels = 256 if support == "unit" and stored.dtype == torch.uint8 else None
        if support in ("categorical", "tokens"):
            levels = int(x.max()) + 1
        spec = DataSpec(tuple(x.shape[1:]), support, n_classes, levels, name=name)
        return cls(loader, spec, transform)

    @property
    def name(self) -> str:
        """What messages and run folders call the data."""
        return self.spec.name

    @property
    def splits(self) -> Mapping[str, "Stream"]:
        """The one split that a stream has, ``train``."""
        return {"train": self}

    @property
    def options(self) -> None:
        """None: nothing can be named from which the loader could be made again."""
        return None

    @property
    def support(self) -> Support:
        """The set that an entry of x lies in."""
        return self.spec.support

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one x."""
        return self.spec.shape

    @numbers()
    def examples(self, split: str = "train", seed: int = 0, limit: int | None = None) -> Batch:
        """Return the first examples of one pass over the loader, under a draw of the transform.

        Arguments:
            split: ``train``.
            seed: The seed of the pass and of the draw.
            limit: How many examples; all of the pass when None.

        Raises:
            OptionError: Another split, or a limit below one.
        """
        if split not in self.splits:
            raise unknown(f"split of {self.name}", split, self.splits)
        if limit is not None and limit < 1:
            raise OptionError(f"limit={limit}: give at least 1, or None for all examples")
        generator = torch.Generator().manual_seed(seed)
        xs, ys, n = [], [], 0
        for item in pulled(self.loader, seed):
            x, y = checked(item, self.spec)
            xs.append(self.transform(x, generator))
            ys.append(y)
            n += len(x)
            if limit is not None and n >= limit:
                break
        labels = [y for y in ys if y is not None]
        y = torch.cat(labels)[:limit] if labels else None
        return conditioned(torch.cat(xs)[:limit], y, condition_of(self.spec))

    def conditioned(self, condition: NamedCondition | None) -> "Stream":
        """Return the same stream with a condition c of every example, such as its label.

        Raises:
            DataError: A condition on labels that do not exist.
        """
        return replace(self, spec=self.spec.conditioned(condition))


@numbers()
class StreamBatches:
    """The batches of a stream, moved to the device, with the interface of ``Batches``.

    The loader draws from a torch stream of its own that depends on (seed, epoch) alone, so that an
    epoch taken up at batch k goes on as it would have. Augmentation that draws from elsewhere
    (Python's or NumPy's global generators) is not covered.

    Arguments:
        stream: The loader and what maps its values to x.
        device: Where batches go.
        seed: The seed of the loader's order and augmentation.
        condition: What maps labels, with shape (B,), to c, with shape (B, C).

    Raises:
        DataError: A condition without labels.

    Example:
        >>> stream = Stream.from_loader(DataLoader(torch.zeros(6, 4), batch_size=4))
        >>> [len(batch) for batch in StreamBatches(stream).epoch(0)]
        [4, 2]
    """

    def __init__(
        self,
        stream: Stream,
        device: torch.device | str = "cpu",
        seed: int = 0,
        condition: Condition | None = None,
    ) -> None:
        if condition is not None and stream.spec.n_classes is None:
            raise unlabeled()
        self.stream = stream
        self.device = device
        self.seed = seed
        self.condition = condition

    @property
    def n_examples(self) -> int:
        """The number of examples in an epoch."""
        return len(self.stream.loader.dataset)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.stream.loader)

    @numbers(epoch=0, start=0)
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch ``start`` on."""
        for i, item in enumerate(pulled(self.stream.loader, mixed_seed(self.seed, epoch))):
            if i < start:
                continue
            x, y = checked(item, self.stream.spec)
            x = self.stream.transform(x.to(self.device, non_blocking=True))
            y = None if y is None else y.to(self.device, non_blocking=True)
            yield conditioned(x, y, self.condition)


def pulled(loader: DataLoader[Any], seed: int) -> Iterator[Any]:
    """Yield the batches of a loader while the global CPU generator is swapped for one of its own.

    Arguments:
        loader: What draws its order and augmentation from the global generator.
        seed: The seed of what it draws from here instead.
    """
    own = torch.Generator().manual_seed(seed).get_state()
    batches: Iterator[Any] | None = None
    while True:
        outer = torch.get_rng_state()
        torch.set_rng_state(own)
        try:
            if batches is None:
                batches = iter(loader)
            item = next(batches)
        except StopIteration:
            return
        finally:
            own = torch.get_rng_state()
            torch.set_rng_state(outer)
        yield item


def parts(item: object) -> tuple[Tensor, Tensor | None]:
    """Return x, with shape (B, *shape), and y, with shape (B,), of what a loader yielded.

    Raises:
        DataError: A batch that is neither x nor (x, y), or values and labels that are none.
    """
    x, y = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
    if isinstance(item, tuple | list) and len(item) == 1:
        x = item[0]
    if not isinstance(x, Tensor):
        raise DataError(
            f"the DataLoader yields a {type(x).__name__}: batches must be x or (x, y) with x a "
            "tensor, so give it a data set or collate_fn that makes those"
        )
    values = as_values(x, "x of the DataLoader")
    labels = None if y is None else as_labels(y, len(values), name="y of the DataLoader")
    return values, labels


def checked(item: object, spec: DataSpec) -> tuple[Tensor, Tensor | None]:
    """Return x, with shape (B, *shape), and y, with shape (B,), of a batch that fits the spec.

    Raises:
        DataError: Values outside the support, or labels beyond the classes.
        ShapeError: Examples of another shape.
    """
    x, y = parts(item)
    if tuple(x.shape[1:]) != spec.shape:
        raise ShapeError(
            f"the DataLoader yields examples of shape {tuple(x.shape[1:])} after some of shape "
            f"{spec.shape}: all must have one shape, so crop, pad or resize them"
        )
    if y is not None:
        y = as_labels(y, len(x), spec.n_classes, "y of the DataLoader")
    return as_support(x, spec.support, "x of the DataLoader"), y
