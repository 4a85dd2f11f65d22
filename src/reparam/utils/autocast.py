"""A part of a computation that torch's autocast leaves in the precision of its inputs."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which operations on a device keep the precision of their inputs.

    Where autocast is off it does nothing, so that an exported graph has no block for each use.

    Arguments:
        device: The device.

    Example:
        >>> a = torch.ones(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16), without_autocast(a.device):
        ...     (a @ a).dtype
        torch.float32
    """
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
