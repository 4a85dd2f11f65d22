r"""The weights of the components of a mixture, given a condition.

.. math:: \pi(c) = \mathrm{softmax}(b + V\, \phi(U c + a))
"""

from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.utils.arguments import numbers


@numbers(context=1, n_components=1, hidden=1)
class Gate(nn.Module):
    r"""A small network from a condition to a change of the logits of K components.

    .. math:: V\, \phi(U c + a)

    V begins at zero, so that at first the weights are the same under every condition.

    Arguments:
        context: The size of the condition c.
        n_components: The number of components K.
        hidden: The number of hidden units.

    Raises:
        OptionError: A size below one.

    Example:
        >>> import torch
        >>> Gate(2, 3)(torch.eye(2)).shape
        torch.Size([2, 3])
    """

    def __init__(self, context: int, n_components: int, hidden: int = 64) -> None:
        super().__init__()
        last = nn.Linear(hidden, n_components, bias=False)
        nn.init.zeros_(last.weight)
        self.network = nn.Sequential(nn.Linear(context, hidden), nn.SiLU(), last)

    def forward(self, c: Tensor | None) -> Tensor:
        """Return the change, with shape (B, K), for c with shape (B, C).

        Raises:
            OptionError: No condition.
        """
        if c is None:
            raise OptionError("c=None: the weights of this prior depend on a condition; give c")
        logits: Tensor = self.network(c)
        return logits
