"""The head, a last layer from a network's features to the raw parameters of a distribution."""

from collections.abc import Mapping, Sequence
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
    have the height and width of the event. Both have a bias for each raw parameter of each entry,
    so that a decoder can start at the mean image.

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
    return ImageHead(out_shape[0], raw_shape)


def joint_linear(heads: Sequence[nn.Module | None], features: Tensor) -> Tensor:
    r"""Return the raw parameters of several heads of flat features, by one product of matrices.

    Arguments:
        heads: The heads, which were made by ``head``.
        features: The features, with shape (\*, F).

    Returns:
        The raw parameters of all heads side by side, with shape (\*, n).

    Example:
        >>> heads = [head((4,), (2, 3)), head((4,), (5, 1))]
        >>> joint_linear(heads, torch.zeros(7, 4)).shape
        torch.Size([7, 11])
    """
    linear: list[Any] = [cast(nn.Sequential, each)[0] for each in heads]
    if not linear:
        return features[..., :0]
    weight, bias = (torch.cat([getattr(each, k) for each in linear]) for k in ("weight", "bias"))
    return nn.functional.linear(features, weight, bias)


@torch.no_grad()
def set_bias(module: nn.Module, position: int, raw: Tensor) -> None:
    """Set the bias of a head: one raw parameter of every entry where the features are zero.

    Arguments:
        module: A head.
        position: The number of the raw parameter, from 0 to P - 1.
        raw: Its values, with shape (*event).

    Example:
        >>> module = head((400,), (2, 3))
        >>> set_bias(module, 1, torch.tensor([5.0, 6.0, 7.0]))
        >>> module(torch.zeros(400))[1].tolist()
        [5.0, 6.0, 7.0]
    """
    if isinstance(module, ImageHead):
        bias = cast(Tensor, module.conv.bias).unflatten(0, (-1, len(raw)))[position]
        module.bias[position].copy_(raw - bias[:, None, None])
        return
    linear: Any = cast(nn.Sequential, module)[0]
    linear.bias.unflatten(0, (-1, raw.numel()))[position].copy_(raw.flatten())


@torch.no_grad()
def set_linear(module: nn.Module, position: int, weight: Tensor, bias: Tensor) -> None:
    """Set one raw parameter of every entry to a linear function of flat features.

    Arguments:
        module: A head of flat features.
        position: The number of the raw parameter, from 0 to P - 1.
        weight: The weights, with shape (n, F) for n entries.
        bias: The values where the features are zero, with shape (n,).

    Example:
        >>> module = head((2,), (2, 1))
        >>> set_linear(module, 0, torch.tensor([[10.0, 1.0]]), torch.tensor([5.0]))
        >>> module(torch.tensor([3.0, 4.0]))[0].tolist()
        [39.0]
    """
    _weights(module, len(weight))[position].copy_(weight)
    set_bias(module, position, bias)


@torch.no_grad()
def drop_weights(module: nn.Module, entries: Tensor) -> None:
    """Set the weights of some entries to zero, whose raw parameters are then their biases.

    Arguments:
        module: A head of flat features.
        entries: Whether an entry has no weights, with shape (n,).

    Example:
        >>> module = head((2,), (2, 3))
        >>> drop_weights(module, torch.tensor([True, False, False]))
        >>> raw = module(torch.randn(5, 2))
        >>> bool((raw[:, :, 0] == raw[0, :, 0]).all())
        True
    """
    weight = _weights(module, len(entries))
    weight.masked_fill_(entries[:, None].to(weight.device), 0.0)


def _weights(module: nn.Module, n: int) -> Tensor:
    """Return the weights of a head of flat features for n entries, with shape (P, n, F)."""
    linear: Any = cast(nn.Sequential, module)[0]
    weight: Tensor = linear.weight
    return weight.unflatten(0, (-1, n))


@numbers(n_features=1, raw_shape=1)
class ImageHead(nn.Module):
    """A convolution from feature maps to raw parameters, with a bias for each of these.

    Arguments:
        n_features: The number of feature maps.
        raw_shape: The shape of the raw parameters, (P, C, H, W).

    Example:
        >>> ImageHead(8, (2, 1, 5, 5))(torch.zeros(3, 8, 5, 5)).shape
        torch.Size([3, 2, 1, 5, 5])
    """

    def __init__(self, n_features: int, raw_shape: Sequence[int]) -> None:
        super().__init__()
        self.raw_shape = torch.Size(raw_shape)
        self.conv = nn.Conv2d(n_features, raw_shape[0] * raw_shape[1], 3, padding=1)
        self.bias = nn.Parameter(torch.zeros(self.raw_shape))

    def forward(self, features: Tensor) -> Tensor:
        r"""Return raw parameters, with shape (\*, P, C, H, W), of features (\*, F, H, W)."""
        raw = self.conv(features.flatten(0, -4) if features.dim() > 4 else features)
        return raw.reshape(*features.shape[:-3], *self.raw_shape) + self.bias

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        # Weights from before there was a bias for each entry.
        zero = {f"{prefix}bias": torch.zeros_like(self.bias)}
        super()._load_from_state_dict({**zero, **state_dict}, prefix, *rest)
