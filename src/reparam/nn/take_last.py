r"""A network of the last entries of a vector, such as the lowest layer of a hierarchy.

.. math:: f(z, c) = \mathrm{network}((z_{D-n+1}, \dots, z_D), c)
"""

from torch import Tensor, nn

from reparam.nn.context import with_condition
from reparam.nn.features import features_shape
from reparam.utils.arguments import numbers


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
