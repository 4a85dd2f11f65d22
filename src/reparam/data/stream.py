r"""Data from a torch DataLoader, which is iterated in every epoch, so that its augmentation counts.

The order and the draws of a pass follow from a seed alone. A data set or a sampler whose state is
not a torch generator is not covered.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from random import Random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reparam.batch import Batch, concatenated, shared
from reparam.data.arrays import parts_of
from reparam.data.checks import as_labels, as_numbers, as_values
from reparam.data.condition import as_covariates, check_condition, covariates_for
from reparam.data.dataset import Split
from reparam.data.preparation import Preparation, fingerprint, spec_of
from reparam.data.transforms import Transform, transform_of
from reparam.errors import DataError, ShapeError, unknown
from reparam.isolation import default_modes
from reparam.spec import Condition, DataSpec, Support
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value
from reparam.utils.generators import drawing_from
from reparam.utils.seeding import mixed_seed

NAME = "x of the DataLoader"

N_LOOKED_AT = 16
"""The spec of a stream is read off at most this many batches."""

N_EXAMPLES = 1000
"""No more batches are read for the spec after this many examples."""


@by_value
@dataclass(frozen=True)
class Stream:
    """Training data that a DataLoader makes batch by batch, so that its augmentation counts.

    Arguments:
        loader: A loader of batches x, with shape (B, *shape), of (x, y), of (x, y, covariates), or
            of mappings with these keys.
        spec: The shape and support of x, after the transform, and the condition.
        transform: The map from the values of the loader to x.
        first_sha256: The SHA-256 of the first batches under the seed 0; None if unknown.

    Example:
        >>> stream = Stream.from_loader(DataLoader(torch.zeros(6, 4), batch_size=4))
        >>> stream.shape, stream.support
        ((4,), 'binary')
    """

    loader: DataLoader[Any]
    spec: DataSpec
    transform: Transform
    first_sha256: str | None = None
    is_stream: ClassVar[bool] = True
    options: ClassVar[None] = None
    """None: a loader cannot be made again from plain values."""

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

        A later batch with values beyond that is refused; ``support`` and ``n_classes`` declare
        them in advance. A stream with covariates is conditioned on them.

        Arguments:
            loader: The loader.
            support: The set that contains every entry of x; the smallest that contains the first
                ``N_LOOKED_AT`` batches when None.
            n_classes: The number of classes; the number of ``loader.dataset.classes``, or the
                largest label of these batches + 1, when None.
            name: The name of the data in messages.

        Raises:
            DataError: A loader without length or batches, or with other batches than those above.
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
        names: tuple[str, ...] = ()
        looked_at: list[Split] = []
        for item in islice(pulled(loader, seed=0), N_LOOKED_AT):
            x, y, covariates = parts(item)
            shape = tuple((looked_at[0].x if looked_at else as_values(x, NAME)).shape[1:])
            if tuple(x.shape[1:]) != shape:
                raise ShapeError(
                    f"the DataLoader yields examples of shape {tuple(x.shape[1:])} after some of "
                    f"shape {shape}: all must have one shape, so crop, pad or resize them"
                )
            if covariates is not None:
                covariates, names = as_covariates(covariates, len(x), names)
            looked_at.append(Split(x, y, covariates))
            if sum(map(len, looked_at)) >= N_EXAMPLES:
                break
        declared = DataSpec(shape, "real", n_classes, name=name, covariates=names)
        numbered = {f"{NAME}, batch {i}": split for i, split in enumerate(looked_at)}
        spec, _ = spec_of(numbered, declared, support, len(_classes(loader)))
        transform = transform_of(looked_at[0].x.dtype, spec.support)
        digest = sha256("".join(map(fingerprint, looked_at)).encode())
        return cls(loader, spec, transform, digest.hexdigest())

    @property
    def name(self) -> str:
        """The name of the data in messages and run folders."""
        return self.spec.name

    @property
    def splits(self) -> Mapping[str, "Stream"]:
        """The only split of a stream, ``train``."""
        return {"train": self}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, if the data set of the loader has them."""
        return _classes(self.loader)

    @property
    def support(self) -> Support:
        """The set that contains every entry of x."""
        return self.spec.support

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one x."""
        return self.spec.shape

    @default_modes()
    @numbers(limit=1)
    def examples(self, split: str = "train", seed: int = 0, limit: int | None = None) -> Batch:
        """Return the first examples of one pass over the loader, under a draw of the transform.

        Arguments:
            split: ``train``.
            seed: The seed of the pass and of the draw.
            limit: The number of examples; all of the pass when None.

        Raises:
            OptionError: Another split, or a limit below one.
        """
        if split not in self.splits:
            raise unknown(f"split of {self.name}", split, self.splits)
        generator = torch.Generator().manual_seed(seed)
        batches: list[Batch] = []
        for item in pulled(self.loader, seed):
            batches.append(self.batch(item, generator=generator))
            if limit is not None and sum(map(len, batches)) >= limit:
                break
        return concatenated(batches, limit or sum(map(len, batches)))

    def batch(
        self,
        item: object,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Return what the loader yielded as a batch on a device.

        Arguments:
            item: What the loader yielded.
            device: The device.
            generator: The generator of the transform; the global one of the device when None.

        Raises:
            DataError: Values outside the support, labels beyond the classes, or no condition.
            ShapeError: Examples of another shape.
        """
        spec = self.spec
        x, y, covariates = parts(item, spec.n_classes)
        stored, transform = Preparation(spec, self.transform).stored(x, NAME)
        split = Split(stored, y, covariates_for(spec, covariates, len(x)))
        check_condition(spec, split.y, split.covariates)
        there = split.each(lambda values: values.to(device, non_blocking=True))
        return there.batch(transform(there.x, generator), spec)

    def conditioned(self, condition: Condition | None) -> "Stream":
        """Return the same stream with a condition c of every example.

        Raises:
            DataError: A condition on labels or covariates that do not exist.
        """
        return replace(self, spec=self.spec.conditioned(condition))


class StreamBatches:
    """The batches of a stream, moved to the device, with the interface of ``Batches``.

    The order and the augmentation of an epoch depend on (seed, epoch) alone, so that an epoch that
    is resumed at batch k continues exactly, see ``pulled``.

    Arguments:
        stream: The loader, the transform of its values and the condition.
        device: The device of the batches.
        seed: The seed of the loader's order and augmentation.
        rank: The number of this process among those that share every batch. Each iterates over the
            whole loader, and keeps its share.
        world_size: The number of these processes.

    Example:
        >>> stream = Stream.from_loader(DataLoader(torch.zeros(6, 4), batch_size=4))
        >>> [len(batch) for batch in StreamBatches(stream).epoch(0)]
        [4, 2]
    """

    has_exact_length = False
    """Whether every epoch has exactly ``len`` batches; a loader may yield fewer."""

    def __init__(
        self,
        stream: Stream,
        device: torch.device | str = "cpu",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.stream, self.device, self.seed = stream, device, seed
        self.rank, self.world_size = rank, world_size

    @property
    def n_examples(self) -> int:
        """The number of examples in an epoch."""
        return len(self.stream.loader.dataset)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.stream.loader)

    def indexed(self) -> None:
        """Return None: the batches of a loader do not follow from an index, see ``Batches``."""

    def unshared(self) -> "StreamBatches":
        """Return the batches of all processes together."""
        return StreamBatches(self.stream, self.device, self.seed)

    @numbers(epoch=0, start=0)
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch ``start`` on."""
        items = pulled(self.stream.loader, mixed_seed(self.seed, epoch))
        for item in islice(items, start, None):
            yield shared(self.stream.batch(item, self.device), self.rank, self.world_size)


def parts(item: object, n_classes: int | None = None) -> tuple[Tensor, Tensor | None, Any]:
    """Return x, with shape (B, *shape), y, with shape (B,), and covariates of a loader's batch.

    Arguments:
        item: What the loader yielded.
        n_classes: The number of classes; any when None.

    Raises:
        DataError: Another object than x, (x, y), (x, y, covariates) or a mapping of these, or
            invalid values or labels.
    """
    x, y, covariates = parts_of(item) or (item, None, None)
    if not isinstance(x, Tensor):
        raise DataError(
            f"the DataLoader yields a {type(x).__name__}: batches must be x, (x, y) or "
            "(x, y, covariates) with x a tensor, so give it a data set or collate_fn that makes "
            "those"
        )
    values = as_numbers(x, NAME)
    if y is not None:
        y = as_labels(y, len(values), n_classes, "y of the DataLoader")
    return values, y, covariates


def _classes(loader: DataLoader[Any]) -> tuple[str, ...]:
    """Return the names of the classes, as the data sets of torchvision have them, if any."""
    # The data sets of torchvision have this attribute, and others need not.
    return tuple(map(str, getattr(loader.dataset, "classes", ())))


def pulled(loader: DataLoader[Any], seed: int) -> Iterator[Any]:
    """Yield the batches of one pass over a loader, whose order and draws follow from a seed alone.

    While the loader works, torch draws from a generator of this pass, the global states of NumPy
    and Python are replaced by those of the seed, and the generators of the loader and its samplers
    start at a state that follows from the seed and their own seed; afterwards all are restored.
    Persistent workers are started again for every pass: their random states cannot be reset.

    Arguments:
        loader: The loader.
        seed: The seed of the pass.
    """
    own = torch.Generator().manual_seed(seed)
    others = [np.random.RandomState(seed % 2**32).get_state(), Random(seed).getstate()]
    generators = list({id(g): g for g in _generators(loader)}.values())
    before = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(mixed_seed(seed, generator.initial_seed()))
    if loader.persistent_workers:
        loader = copy(loader)
        loader._iterator = None
    batches: Iterator[Any] | None = None
    try:
        while True:
            # Not around the yield: the user of a batch draws from other generators.
            with drawing_from(own), _global_states(others):
                try:
                    batches = iter(loader) if batches is None else batches
                    item = next(batches)
                except StopIteration:
                    return
            yield item
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


@contextmanager
def _global_states(states: list[Any]) -> Iterator[None]:
    """Exchange states with those of the global generators of NumPy and Python, and back at the end.

    Data sets may draw from these generators.
    """
    outer = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.set_state(states[0])  # noqa: NPY002
    random.setstate(states[1])
    try:
        yield
    finally:
        states[:] = np.random.get_state(), random.getstate()  # noqa: NPY002
        np.random.set_state(outer[0])  # noqa: NPY002
        random.setstate(outer[1])


def _generators(part: object) -> Iterator[torch.Generator]:
    """Yield the generators that a loader and its samplers draw from, some of them twice."""
    for name in ("generator", "sampler", "batch_sampler"):
        found = getattr(part, name, None)  # samplers of torch and of users have some of these
        if isinstance(found, torch.Generator):
            yield found
        elif found is not None:
            yield from _generators(found)
