"""The precision of densities whose terms cancel."""

from torch import Tensor


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, or in float32 where the device knows no other.

    >>> import torch
    >>> widened(torch.ones(2)).dtype
    torch.float64
    """
    return tensor.float() if tensor.device.type == "mps" else tensor.double()
