r"""Dropout that falls with the number of training examples.

A network of a hundred rows over-fits within seconds, and one of ten thousand hardly does; the more
columns, the sooner. The share of features that are set to 0 for n rows of d columns is therefore

.. math:: p(n, d) = p \min(1, 32 d / n)^3

and 0 where that is below a thousandth.
"""

from typing import Any

import torch
from torch import Tensor, nn

from reparam.utils.arguments import numbers

FEW = 32
"""The number of training examples for each column up to which the share is the highest."""

LEAST = 1e-3
"""Smaller shares are 0: their noise costs time in every step and changes nothing."""


@numbers(highest=0)
class Dropout(nn.Module):
    r"""Set a share of the features to 0 in training, and scale the others by 1 / (1 - p).

    Arguments:
        highest: p, the share for at most 32 training examples for each column.

    References:
        Srivastava et al., Dropout, JMLR 2014.

    Example:
        >>> layer = Dropout(0.4)
        >>> layer.set_examples(640, 10)
        >>> layer.share
        tensor(0.0500)
    """

    share: Tensor

    def __init__(self, highest: float = 0.5) -> None:
        super().__init__()
        self.highest = highest
        # A buffer, so that a run that goes on has the share that it began with.
        self.register_buffer("share", torch.tensor(highest))
        self._share = highest  # a number of the host: reading a buffer waits for a GPU

    @torch.no_grad()
    def set_examples(self, n: int, n_columns: int) -> None:
        """Set the share for a number of training examples.

        Arguments:
            n: The number of training examples.
            n_columns: The number of entries of an example.
        """
        share = self.highest * min(1.0, FEW * n_columns / n) ** 3
        self.share.fill_(share if share >= LEAST else 0.0)
        self._share = float(self.share)

    def forward(self, x: Tensor) -> Tensor:
        r"""Return features of any shape, with new noise in training."""
        if not (self.training and self._share):
            return x
        # On a CPU a third of the time of torch.nn.functional.dropout.
        return x * torch.rand_like(x).ge_(self._share).div_(1 - self._share)

    def extra_repr(self) -> str:
        """Return the highest share, for printing."""
        return f"highest={self.highest}"

    def _load_from_state_dict(self, *given: Any) -> None:
        super()._load_from_state_dict(*given)
        self._share = float(self.share)
