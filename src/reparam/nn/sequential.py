"""Two networks, one after the other, the first of which is looked at on its own."""

import torch
from torch import Tensor, nn


class Stacked(nn.Module):
    """Two networks in a row; the condition goes to the first.

    Arguments:
        first: A module from x (and c) to features.
        second: A module from these features to others, which tells ``out_shape``.

    Example:
        >>> from reparam.nn import MLP
        >>> Stacked(MLP(4, 8), MLP(8, 2))(torch.zeros(5, 4)).shape
        torch.Size([5, 2])
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.out_shape: torch.Size = second.out_shape  # type: ignore[assignment]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features of x."""
        return self.second(self.first(x) if c is None else self.first(x, c))
