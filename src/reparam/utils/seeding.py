"""Seeds and random states: of one computation (``seeded``), of parallel pieces of work
(``branches``), and of what a thread draws from (``reseed``, ``rng_state``).

Within ``seeded`` a thread draws from its own generators, and outside from torch's global state.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Generator, Tensor

from reparam.utils.generators import drawing_from, own_generators


def mixed_seed(*parts: int) -> int:
    """Return a seed made of several numbers; different numbers give independent streams.

    >>> mixed_seed(0, 1) == mixed_seed(1, 0)
    False
    """
    entropy = [part % 2**64 for part in parts]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


MOST_PERMUTED = 2**24
"""The largest number of rows of which a whole permutation is made to choose some of them."""


def random_rows(n: int, size: int, seed: int) -> Tensor:
    """Return the numbers of some of n rows, all different and in random order, with shape (size,).

    They are the first of a permutation of all rows. Of many rows no permutation is made, so that
    the memory is that of the numbers alone.

    Arguments:
        n: The number of rows.
        size: The number of rows to choose; n or more for all.
        seed: The seed of the choice.

    Example:
        >>> rows = random_rows(10**12, 3, seed=0)
        >>> len(set(rows.tolist())), bool((rows < 10**12).all())
        (3, True)
    """
    size = min(n, size)
    if n <= MOST_PERMUTED:
        return torch.randperm(n, generator=Generator().manual_seed(seed))[:size]
    chosen = np.random.default_rng(seed).choice(n, size, replace=False)
    return torch.from_numpy(chosen)


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Within the context, draw from generators with a seed, on the CPU and on one device.

    The draws of this thread are the same as after ``torch.manual_seed(seed)``, and independent of
    other threads. The global random state is neither read nor changed.

    Arguments:
        device: The device beside the CPU.
        seed: The seed of both generators.

    Example:
        >>> state = torch.get_rng_state()
        >>> with seeded(torch.device("cpu"), seed=0):
        ...     torch.rand(3)
        tensor([0.4963, 0.7682, 0.0885])
        >>> bool((torch.get_rng_state() == state).all())
        True
    """
    places = {"cpu": torch.device("cpu"), device.type: device}
    places.pop("meta", None)  # this device has no values
    with drawing_from(*(Generator(place).manual_seed(int(seed)) for place in places.values())):
        yield


def branches() -> Callable[[int], AbstractContextManager[None]]:
    """Return a function from the number of a piece of work to the context of its draws.

    The draws of a piece depend on the generators of this thread and on the number alone, and not on
    the thread that the piece runs in. The generators are not changed. Where this thread draws from
    the global state, so do the pieces.

    >>> with seeded(torch.device("cpu"), seed=0):
    ...     branch = branches()
    >>> with branch(1):
    ...     one = torch.rand(3)
    >>> with branch(1):
    ...     bool((torch.rand(3) == one).all())
    True
    """
    own = own_generators()
    if not own:
        return lambda number: nullcontext()
    copy = Generator()
    copy.set_state(own["cpu"].get_state())
    base = int(torch.randint(2**62, (), generator=copy))
    device = next((g.device for kind, g in own.items() if kind != "cpu"), torch.device("cpu"))
    return lambda number: seeded(device, mixed_seed(base, number))


def _generator(device: torch.device) -> Generator:
    """Return the generator that this thread draws from on a device."""
    own = own_generators().get(device.type)
    if own is not None:
        return own
    if device.type == "cuda":
        torch.cuda.init()
        number = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[number]
    return (
        torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator
    )


def reseed(device: torch.device, seed: int) -> None:
    """Seed the generators that this thread draws from, on the CPU and on a device.

    ``torch.manual_seed`` would reseed every accelerator of the process, used here or not.

    >>> with seeded(torch.device("cpu"), seed=1):
    ...     reseed(torch.device("cpu"), seed=0)
    ...     torch.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    for place in {torch.device("cpu"), device}:
        _generator(place).manual_seed(seed)


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that this thread draws from, as CPU tensors.

    Arguments:
        device: The device beside the CPU.

    Returns:
        The state of the CPU's generator as ``cpu`` and that of the device's as ``device``.
    """
    places = {"cpu": torch.device("cpu")} | ({} if device.type == "cpu" else {"device": device})
    return {name: _generator(place).get_state() for name, place in places.items()}


def set_rng_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the generators that this thread draws from to states that ``rng_state`` returned."""
    _generator(torch.device("cpu")).set_state(state["cpu"].cpu())
    if "device" in state and device.type != "cpu":
        _generator(device).set_state(state["device"].cpu())
