r"""Networks around networks: without the condition, of the last entries of z, and two in a row.

.. math:: f(x, c) = g(x), \qquad f(z, c) = g((z_{D-n+1}, \dots, z_D), c), \qquad
          f(x, c) = g_2(g_1(x, c))
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.nn.context import with_condition
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


@numbers(n=1)
class TakeLast(nn.Module):
    """A network of the last n entries of z.

    Arguments:
        network: A module from n numbers, and c, to features.
        n: The number of entries.

    Example:
        >>> import torch
        >>> from reparam.nn.mlp import MLP
        >>> TakeLast(MLP(3, 8), 3)(torch.zeros(5, 10)).shape
        torch.Size([5, 8])
    """

    def __init__(self, network: nn.Module, n: int) -> None:
        super().__init__()
        self.network = network
        self.n = n
        self.out_shape = features_shape(network)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return the features of z, with shape (\*, D)."""
        return with_condition(self.network, z[..., -self.n :], c)


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
