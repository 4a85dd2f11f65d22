"""A network that sees only the end of a vector."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.utils.arguments import numbers


@numbers(n=1)
class TakeLast(nn.Module):
    r"""A network of the last n entries of z, such as the lowest layer of a hierarchy.

    .. math:: f(z, c) = \mathrm{network}((z_{D-n+1}, \dots, z_D), c)

    Arguments:
        network: A module from n numbers, and c, to features, which tells their shape as
            ``out_shape``.
        n: How many entries it sees.

    Example:
        >>> from reparam.nn.mlp import MLP
        >>> TakeLast(MLP(3, 8), 3)(torch.zeros(5, 10)).shape
        torch.Size([5, 8])
    """

    def __init__(self, network: nn.Module, n: int) -> None:
        super().__init__()
        self.network = network
        self.n = n
        sizes: Sequence[int] = network.out_shape  # type: ignore[assignment]
        self.out_shape = torch.Size(sizes)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return the features of z, with shape (\*, D)."""
        seen = z[..., -self.n :]
        return self.network(seen) if c is None else self.network(seen, c)
