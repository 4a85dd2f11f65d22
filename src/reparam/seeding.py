"""Random numbers: seeds that do not collide, and streams that are put back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def mixed_seed(*parts: int) -> int:
    """Return one seed from several numbers, so that near numbers give unrelated streams.

    >>> mixed_seed(0, 1) == mixed_seed(1, 0)
    False
    """
    entropy = [part % 2**64 for part in parts]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the random numbers, of the CPU and of the device, on the CPU."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Bring the random numbers back to a state."""
    torch.set_rng_state(state["cpu"].cpu())
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"].cpu(), device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"].cpu())


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Draw from a seed on the CPU and on one device, and put their random states back on leaving.

    >>> state = torch.get_rng_state()
    >>> with seeded(torch.device("cpu"), seed=0):
    ...     draw = torch.rand(3)
    >>> bool((torch.get_rng_state() == state).all())
    True
    """
    state = rng_state(device)
    try:
        # torch.manual_seed would reseed every accelerator of the process, used here or not.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield
    finally:
        set_rng_state(state, device)
