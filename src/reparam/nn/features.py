"""The shapes of a network's features and input.

A network is any module from x, and a condition c where it has one, to features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.errors import OptionError, ShapeError


def features_shape(network: nn.Module) -> torch.Size:
    """Return the shape of the features that a network returns for one example.

    Arguments:
        network: A module with an attribute ``out_shape`` or, as ``torch.nn.Linear`` has,
            ``out_features``; or a ``torch.nn.Sequential`` whose last such layer has it.

    Raises:
        OptionError: The network has neither attribute.

    Example:
        >>> features_shape(nn.Sequential(nn.Linear(3, 8), nn.ReLU()))
        torch.Size([8])
    """
    # Networks come from torch and from users too, and so need not declare these attributes.
    out_shape: Sequence[int] | None = getattr(network, "out_shape", None)
    if out_shape is not None:
        return torch.Size(out_shape)
    layers = reversed(list(network.modules())) if isinstance(network, nn.Sequential) else [network]
    for layer in layers:
        out_features = getattr(layer, "out_features", None)
        if isinstance(out_features, int):
            return torch.Size([out_features])
    raise OptionError(
        f"network {type(network).__name__} does not declare the shape of its features: "
        "give it an attribute out_shape, such as (400,)"
    )


def input_error(x: Tensor, shape: Sequence[int]) -> ShapeError:
    """Return the error for an input whose trailing sizes are not those of a network.

    >>> print(input_error(torch.zeros(5, 3), (4,)))
    input of shape (5, 3): its trailing sizes must be (4,), which the network was built for
    """
    return ShapeError(
        f"input of shape {tuple(x.shape)}: its trailing sizes must be {tuple(shape)}, which the "
        "network was built for"
    )
