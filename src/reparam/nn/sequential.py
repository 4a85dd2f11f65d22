"""Two networks in a row, of which a condition enters the first."""

from torch import Tensor, nn

from reparam.nn.context import with_condition
from reparam.nn.features import features_shape


class ConditionedSequential(nn.Module):
    """Two networks, one after the other. The features of the first can be used on their own.

    Arguments:
        first: A module from x (and c) to features.
        second: A module from these features to others.

    Example:
        >>> import torch
        >>> from reparam.nn import MLP
        >>> ConditionedSequential(MLP(4, 8), MLP(8, 2))(torch.zeros(5, 4)).shape
        torch.Size([5, 2])
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.out_shape = features_shape(second)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features of x."""
        return self.second(with_condition(self.first, x, c))
