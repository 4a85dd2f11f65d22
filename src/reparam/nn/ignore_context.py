"""A network that never sees the condition."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.utils.arguments import numbers


@numbers()
class IgnoreContext(nn.Module):
    """A network without a condition, in a model that has one for other parts.

    Arguments:
        network: A module from x to features.
        out_shape: The shape of its features; what it tells itself by default.

    Example:
        >>> IgnoreContext(nn.Linear(4, 8), (8,))(torch.zeros(5, 4), torch.zeros(5, 10)).shape
        torch.Size([5, 8])
    """

    def __init__(self, network: nn.Module, out_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.network = network
        self.out_shape = torch.Size(network.out_shape if out_shape is None else out_shape)  # type: ignore[arg-type]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features of x; c is ignored."""
        return self.network(x)
