"""Batches from a torch DataLoader, which is asked anew each epoch."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from random import Random
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reparam.batch import Batch
from reparam.data.checks import as_labels, as_numbers, as_support, as_values, closest_support
from reparam.data.condition import (
    Condition,
    condition_of,
    conditioned,
    require_all_labels,
    unlabeled,
)
from reparam.data.preparation import Preparation, fingerprint
from reparam.data.transforms import Identity, Pixels, Transform
from reparam.errors import DataError, OptionError, ShapeError, unknown
from reparam.isolation import plain_modes
from reparam.spec import Condition as NamedCondition
from reparam.spec import DataSpec, Support
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value
from reparam.utils.generators import drawing_from
from reparam.utils.seeding import mixed_seed

NAME = "x of the DataLoader"

N_LOOKED_AT = 16
"""How many batches are looked at, at most, to see what a loader yields."""

N_EXAMPLES = 1000
"""After so many examples no more batches are looked at."""


@by_value
@dataclass(frozen=True)
class Stream:
    """Training data that a DataLoader makes batch by batch, so that its augmentation counts.

    Arguments:
        loader: What yields x, with shape (B, *shape), or (x, y).
        spec: The shape and support of x, after the transform.
        transform: What maps the values that the loader yields to x.
        first_sha256: What tells the first batches under the seed 0 from others; None if unknown.

    Example:
        >>> stream = Stream.from_loader(DataLoader(torch.zeros(6, 4), batch_size=4))
        >>> stream.shape, stream.support
        ((4,), 'binary')
    """

    loader: DataLoader[Any]
    spec: DataSpec
    transform: Transform
    first_sha256: str | None = None

    @classmethod
    @numbers(n_classes=1)
    def from_loader(
        cls,
        loader: DataLoader[Any],
        support: Support | None = None,
        n_classes: int | None = None,
        name: str = "data",
    ) -> "Stream":
        """Return the stream of a loader, whose spec is read off its first batches.

        What a later batch has beyond that is refused when it comes; say it beforehand by
        ``support`` and ``n_classes``.

        Arguments:
            loader: What yields x, with shape (B, *shape), or (x, y).
            support: The set that an entry of x lies in; what holds the first ``N_LOOKED_AT``
                batches when None.
            n_classes: The number of classes; the number of ``loader.dataset.classes``, or the
                largest label of these batches + 1, when None.
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
        seen = _Seen(support)
        for item in islice(pulled(loader, seed=0), N_LOOKED_AT):
            seen.add(*parts(item))
            if seen.n >= N_EXAMPLES:
                break
        # Of binary, unit and real the widest, in the order in which they are declared.
        support = [known for known in get_args(Support) if known in seen.supports][-1]
        transform: Transform = Identity()
        if seen.dtype == torch.uint8 and support in ("unit", "binary"):
            transform = Pixels(256 if support == "unit" else 2)
        if n_classes is None and seen.top_label is not None:
            named = getattr(loader.dataset, "classes", ())
            n_classes = len(named) or seen.top_label + 1 or None
        levels = 256 if support == "unit" and seen.dtype == torch.uint8 else None
        if support in ("categorical", "tokens"):
            levels = seen.top + 1
        spec = DataSpec(seen.shape, support, n_classes, levels, name=name)
        return cls(loader, spec, transform, seen.digest.hexdigest())

    @property
    def name(self) -> str:
        """What messages and run folders call the data."""
        return self.spec.name

    @property
    def splits(self) -> Mapping[str, "Stream"]:
        """The one split that a stream has, ``train``."""
        return {"train": self}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, where the loader's data set tells them."""
        return tuple(map(str, getattr(self.loader.dataset, "classes", ())))

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

    @plain_modes()
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
        condition = condition_of(self.spec)
        xs, ys, n = [], [], 0
        for item in pulled(self.loader, seed):
            x, y, transform = self.checked(item)
            if condition is not None:
                require_all_labels(y)
            xs.append(transform(x, generator))
            ys.append(y)
            n += len(x)
            if limit is not None and n >= limit:
                break
        labels = [y for y in ys if y is not None]
        y = torch.cat(labels)[:limit] if labels else None
        return conditioned(torch.cat(xs)[:limit], y, condition)

    def checked(self, item: object) -> tuple[Tensor, Tensor | None, Transform]:
        """Return the stored x, with shape (B, *shape), of a batch, y (B,), and what makes x of it.

        Raises:
            DataError: Values outside the support, or labels beyond the classes.
            ShapeError: Examples of another shape.
        """
        x, y = parts(item)
        if y is not None:
            y = as_labels(y, len(x), self.spec.n_classes, "y of the DataLoader")
        stored, transform = Preparation(self.spec, self.transform).stored(x, NAME)
        return stored, y, transform

    def conditioned(self, condition: NamedCondition | None) -> "Stream":
        """Return the same stream with a condition c of every example, such as its label.

        Raises:
            DataError: A condition on labels that do not exist.
        """
        return replace(self, spec=self.spec.conditioned(condition))


@numbers()
class _Seen:
    """What the first batches of a loader tell of the data, without the batches themselves."""

    def __init__(self, support: Support | None) -> None:
        self.supports: set[Support] = set() if support is None else {support}
        self.shape: tuple[int, ...] = ()
        self.dtype: torch.dtype | None = None
        self.top, self.n = 0, 0
        self.top_label: int | None = None
        self.digest = sha256()
        self._declared = support

    def add(self, x: Tensor, y: Tensor | None) -> None:
        """Look at a batch x, with shape (B, *shape), and its labels, with shape (B,)."""
        if self.n == 0:
            self.shape, self.dtype = tuple(as_values(x, NAME).shape[1:]), x.dtype
        require_shape(x, self.shape)
        if self._declared is None:
            self.supports.add(closest_support(x, NAME))
        else:
            as_support(x, self._declared, NAME)
        if self._declared in ("categorical", "tokens"):
            self.top = max(self.top, int(x.max()))
        if y is not None:
            self.top_label = max(int(y.max()), -1 if self.top_label is None else self.top_label)
        self.digest.update(fingerprint(x, y).encode())
        self.n += len(x)


class StreamBatches:
    """The batches of a stream, moved to the device, with the interface of ``Batches``.

    The order and the augmentation of an epoch depend on (seed, epoch) alone, so that an epoch taken
    up at batch k goes on as it would have: see ``pulled``. Not covered are a data set or a sampler
    with a state of its own other than a torch generator.

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

    has_exact_length = False  # a loader may yield fewer batches than its length

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
            x, y, transform = self.stream.checked(item)
            if self.condition is not None:
                require_all_labels(y)
            x = transform(x.to(self.device, non_blocking=True))
            y = None if y is None else y.to(self.device, non_blocking=True)
            yield conditioned(x, y, self.condition)

    def indexed(self) -> None:
        """Return None: a loader picks examples in its own way."""


def pulled(loader: DataLoader[Any], seed: int) -> Iterator[Any]:
    """Yield the batches of one pass over a loader, whose order and draws follow from a seed alone.

    While the loader works, torch draws from a generator of this pass, the global states of NumPy
    and Python are swapped for others, and the generators of the loader and its samplers begin at a
    state that follows from the seed and their own seed; afterwards all are as before. Workers are
    started anew for every pass, since those that persist go on with draws that nothing can bring
    back.

    Arguments:
        loader: What yields the batches.
        seed: The seed of the pass.
    """
    own, others = torch.Generator().manual_seed(seed), _GlobalState.of(seed)
    generators = _generators(loader)
    before = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(mixed_seed(seed, generator.initial_seed()))
    if loader.persistent_workers:
        loader = copy(loader)
        loader._iterator = None
    batches: Iterator[Any] | None = None
    try:
        while True:
            # Not around the yield: what is done with a batch draws from elsewhere.
            with drawing_from(own), others.swapped_in():
                try:
                    batches = iter(loader) if batches is None else batches
                    item = next(batches)
                except StopIteration:
                    return
            yield item
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


@dataclass
class _GlobalState:
    """The state of the global generators of NumPy and Python, which data sets may draw from."""

    numpy: Any
    python: Any

    @classmethod
    def of(cls, seed: int) -> "_GlobalState":
        """Return the state that follows from a seed."""
        numpy = np.random.RandomState(seed % 2**32).get_state()
        return cls(numpy, Random(seed).getstate())

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Put this state in the place of the global one, and swap both back on leaving."""
        outer = np.random.get_state(), random.getstate()  # noqa: NPY002
        np.random.set_state(self.numpy)  # noqa: NPY002
        random.setstate(self.python)
        try:
            yield
        finally:
            self.numpy, self.python = np.random.get_state(), random.getstate()  # noqa: NPY002
            np.random.set_state(outer[0])  # noqa: NPY002
            random.setstate(outer[1])


def _generators(loader: DataLoader[Any]) -> list[torch.Generator]:
    """Return the generators that a loader and its samplers draw from, each once."""
    within = getattr(loader.batch_sampler, "sampler", None)
    parts = (loader, loader.sampler, loader.batch_sampler, within)
    found = (getattr(part, "generator", None) for part in parts)
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


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
    values = as_numbers(x, NAME)
    labels = None if y is None else as_labels(y, len(values), name="y of the DataLoader")
    return values, labels


def require_shape(x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a batch of examples of another shape.

    Raises:
        ShapeError: Says both shapes.
    """
    if tuple(x.shape[1:]) != shape:
        raise ShapeError(
            f"the DataLoader yields examples of shape {tuple(x.shape[1:])} after some of shape "
            f"{shape}: all must have one shape, so crop, pad or resize them"
        )
