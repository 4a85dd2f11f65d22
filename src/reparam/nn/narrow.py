"""Convolutions of maps narrower than their stride: float32 on a CPU, whatever autocast says."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

Module = TypeVar("Module", bound=nn.Module)


def widen_narrow(module: Module) -> Module:
    r"""Let the convolutions of a module compute in float32 where a map is narrower than the stride.

    Under autocast to bfloat16, torch (up to 2.13, with oneDNN) gives such a layer on a CPU a weight
    gradient that is partly memory which nobody has written to: any numbers, infinite or NaN. By
    comparison with float32 over sides, strides, kernels, paddings, channels and batch sizes, this
    happens only where the wider of the two maps has fewer places along an axis than the stride has,

    .. math:: s_a > \max(n_a, m_a), \qquad n \text{ places in, } m \text{ places out},

    for example one place and a stride of 2. The wider map is the input of a convolution and the
    output of a transposed one. Such maps are so small that float32 costs nothing that shows.

    Arguments:
        module: A convolution, or any module that contains some.

    Returns:
        The same module. Its parameters keep their names.

    Example:
        >>> layer = widen_narrow(nn.Conv2d(16, 32, 3, stride=2, padding=1))
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     [layer(torch.zeros(4, 16, 8, width)).dtype for width in (1, 8)]
        [torch.float32, torch.bfloat16]
    """
    for layer in module.modules():
        if isinstance(layer, _ConvNd) and _in_float32 not in layer._forward_hooks.values():
            layer.register_forward_hook(_in_float32)
    return module


def is_narrow(layer: _ConvNd, x: Tensor, y: Tensor) -> bool:
    """Return whether a convolution from maps x to maps y has a stride wider than its wider map.

    >>> layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    >>> is_narrow(layer, torch.zeros(1, 1, 4, 1), torch.zeros(1, 1, 7, 1))
    True
    """
    wider = y if layer.transposed else x
    sides = wider.shape[-len(layer.stride) :]
    return any(side < step for side, step in zip(sides, layer.stride, strict=True))


def _in_float32(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor | None:
    """Return what a narrow convolution gives in float32; None, which keeps y, elsewhere."""
    if y.dtype != torch.bfloat16 or y.device.type != "cpu" or not isinstance(layer, _ConvNd):
        return None
    if layer.weight.dtype != torch.float32 or not is_narrow(layer, inputs[0], y):
        return None
    with torch.autocast("cpu", enabled=False):
        exact: Tensor = layer.forward(inputs[0].float())
    return exact
