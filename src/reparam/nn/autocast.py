"""A workaround for bfloat16 gradients of convolutions whose maps are narrower than their stride."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

Module = TypeVar("Module", bound=nn.Module)


def float32_where_narrow(module: Module) -> Module:
    r"""Let the convolutions of a module compute in float32 where a map is narrower than the stride.

    Under autocast to bfloat16 on a CPU, the weight gradient of such a layer is partly uninitialized
    memory in torch (up to 2.13, with oneDNN), and may be infinite or NaN. In a comparison with
    float32 over sides, strides, kernels, paddings, channels and batch sizes, this happened only
    where the wider of the two maps has fewer positions along an axis a than the stride,

    .. math:: s_a > \max(n_a, m_a), \qquad n \text{ positions in, } m \text{ positions out},

    for example one position and a stride of 2. The wider map is the input of a convolution, and the
    output of a transposed one. Such maps are small, so that float32 takes no measurable time.

    Arguments:
        module: A convolution, or any module that contains convolutions.

    Returns:
        The same module, with the same parameter names.

    Example:
        >>> layer = float32_where_narrow(nn.Conv2d(16, 32, 3, stride=2, padding=1))
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     [layer(torch.zeros(4, 16, 8, width)).dtype for width in (1, 8)]
        [torch.float32, torch.bfloat16]
    """
    for layer in module.modules():
        if isinstance(layer, _ConvNd) and _in_float32 not in layer._forward_hooks.values():
            layer.register_forward_hook(_in_float32)
    return module


def is_narrow(layer: _ConvNd, x: Tensor, y: Tensor) -> bool:
    """Return whether the stride of a convolution from maps x to maps y exceeds the wider map.

    >>> layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    >>> is_narrow(layer, torch.zeros(1, 1, 4, 1), torch.zeros(1, 1, 7, 1))
    True
    """
    wider = y if layer.transposed else x
    sides = wider.shape[-len(layer.stride) :]
    return any(side < step for side, step in zip(sides, layer.stride, strict=True))


def _in_float32(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor | None:
    """Return the output of a narrow convolution in float32; None, which keeps y, of any other."""
    if y.dtype != torch.bfloat16 or y.device.type != "cpu" or not isinstance(layer, _ConvNd):
        return None
    if layer.weight.dtype != torch.float32 or not is_narrow(layer, inputs[0], y):
        return None
    with torch.autocast("cpu", enabled=False):
        exact: Tensor = layer.forward(inputs[0].float())
    return exact
