"""A network without a condition, inside a model whose other parts have one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.nn.features import features_shape
from reparam.utils.arguments import numbers


@numbers()
class IgnoreContext(nn.Module):
    """A network that ignores the condition.

    Arguments:
        network: A module from x to features.
        out_shape: The shape of the features; None for the one that the network declares.

    Example:
        >>> IgnoreContext(nn.Linear(4, 8))(torch.zeros(5, 4), torch.zeros(5, 10)).shape
        torch.Size([5, 8])
    """

    def __init__(self, network: nn.Module, out_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.network = network
        self.out_shape = torch.Size(features_shape(network) if out_shape is None else out_shape)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features of x; c is ignored."""
        return self.network(x)
