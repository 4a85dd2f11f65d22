"""The head, a last layer from a network's features to the raw parameters of a distribution."""

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.utils.arguments import numbers


@numbers()
def head(out_shape: Sequence[int], raw_shape: Sequence[int]) -> nn.Module:
    r"""Return the layer from features to raw parameters.

    It is a linear layer for flat features, and a 3 × 3 convolution for feature maps, which must
    have the height and width of the event.

    Arguments:
        out_shape: The shape of the features of one example: (F,) or (F, H, W).
        raw_shape: The shape of the raw parameters of one example, (P, *event), with P parameters
            for each entry of the event.

    Raises:
        OptionError: Feature maps for an event that is not an image of their size.

    Example:
        >>> head((400,), (2, 20))(torch.zeros(5, 400)).shape
        torch.Size([5, 2, 20])
        >>> head((32, 28, 28), (1, 1, 28, 28))(torch.zeros(5, 32, 28, 28)).shape
        torch.Size([5, 1, 1, 28, 28])
    """
    if len(out_shape) == 1:
        linear = nn.Linear(out_shape[0], prod(raw_shape))
        return nn.Sequential(linear, nn.Unflatten(-1, tuple(raw_shape)))
    if len(raw_shape) != 4 or tuple(raw_shape[-2:]) != tuple(out_shape[-2:]):
        raise OptionError(
            f"features of shape {tuple(out_shape)} cannot describe an event of shape "
            f"{tuple(raw_shape[1:])}: build the network for the height and width of the event"
        )
    return _ImageHead(out_shape[0], raw_shape)


def pooled(module: nn.Module, values: Tensor) -> Tensor:
    """Return values of the entries that the bias of a head can represent.

    A head over feature maps has one bias for each channel, which is given the channel's mean.

    Arguments:
        module: A head.
        values: A value of each entry, with shape (*event).

    Example:
        >>> pooled(head((8, 2, 2), (1, 1, 2, 2)), torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]))
        tensor([[[1.5000, 1.5000],
                 [1.5000, 1.5000]]])
    """
    if isinstance(module, _ImageHead):
        return values.mean((-2, -1), keepdim=True).expand_as(values)
    return values


@torch.no_grad()
def set_bias(module: nn.Module, position: int, raw: Tensor) -> None:
    """Set the bias of a head: one raw parameter of every entry where the features are zero.

    Arguments:
        module: A head.
        position: The number of the raw parameter, from 0 to P - 1.
        raw: Its values, with shape (*event), as ``pooled`` returns them.

    Example:
        >>> module = head((400,), (2, 3))
        >>> set_bias(module, 1, torch.tensor([5.0, 6.0, 7.0]))
        >>> module(torch.zeros(400))[1].tolist()
        [5.0, 6.0, 7.0]
    """
    is_map = isinstance(module, _ImageHead)
    layer: Any = module.conv if is_map else cast(nn.Sequential, module)[0]
    values = raw[..., 0, 0] if is_map else raw.flatten()
    layer.bias.unflatten(0, (-1, values.numel()))[position].copy_(values)


class _ImageHead(nn.Module):
    def __init__(self, n_features: int, raw_shape: Sequence[int]) -> None:
        super().__init__()
        self.raw_shape = torch.Size(raw_shape)
        self.conv = nn.Conv2d(n_features, raw_shape[0] * raw_shape[1], 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        raw = self.conv(features.flatten(0, -4) if features.dim() > 4 else features)
        return raw.reshape(*features.shape[:-3], *self.raw_shape)
