"""Dropout that falls with the number of training examples.

A network of a hundred rows over-fits within seconds, and one of ten thousand hardly does. The share
of features that are set to 0 is therefore

.. math:: p(n) = p \\min(1, 250 / n)
"""

import torch
from torch import Tensor, nn

from reparam.utils.arguments import numbers

FEW = 250
"""The number of training examples up to which the share is the highest."""


@numbers(highest=0)
class Dropout(nn.Module):
    r"""Set a share of the features to 0 in training, and scale the others by 1 / (1 - p).

    Arguments:
        highest: p, the share for at most 250 training examples.

    References:
        Srivastava et al., Dropout, JMLR 2014.

    Example:
        >>> layer = Dropout(0.1)
        >>> layer.set_examples(1000)
        >>> layer.share
        tensor(0.0250)
    """

    share: Tensor

    def __init__(self, highest: float = 0.1) -> None:
        super().__init__()
        self.highest = highest
        # A buffer, so that a run that goes on has the share that it began with.
        self.register_buffer("share", torch.tensor(highest))

    @torch.no_grad()
    def set_examples(self, n: int) -> None:
        """Set the share for n training examples."""
        self.share.fill_(self.highest * min(1.0, FEW / n))

    def forward(self, x: Tensor) -> Tensor:
        r"""Return features of any shape, with new noise in training."""
        if not self.training:
            return x
        kept = torch.rand_like(x) >= self.share
        return x * kept / (1 - self.share)

    def extra_repr(self) -> str:
        """Return the highest share, for printing."""
        return f"highest={self.highest}"
