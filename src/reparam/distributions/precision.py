"""Precision: float64 for densities whose terms cancel, float32 at least for any density."""

import torch
from torch import Tensor


def upcast(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, or in float32 on a device without float64.

    >>> upcast(torch.ones(2)).dtype
    torch.float64
    """
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, or as it is in float64; densities need more than half precision.

    >>> at_least_float32(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
