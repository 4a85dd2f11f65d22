"""One pass over a torch DataLoader whose order and draws follow from a seed alone.

Not covered are a data set or a sampler with its own state other than a torch generator.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from reparam.utils.generators import drawing_from
from reparam.utils.seeding import mixed_seed


def pulled(loader: DataLoader[Any], seed: int) -> Iterator[Any]:
    """Yield the batches of one pass over a loader, whose order and draws follow from a seed alone.

    While the loader works, torch draws from a generator of this pass, the global states of NumPy
    and Python are replaced by those of the seed, and the generators of the loader and its samplers
    start at a state that follows from the seed and their own seed; afterwards all are restored.
    Persistent workers are started anew for every pass, since their random states cannot be reset.

    Arguments:
        loader: The loader.
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
            # Not around the yield: the user of a batch draws from other generators.
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
        """Replace the global state by this one, and swap both back at the end."""
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
