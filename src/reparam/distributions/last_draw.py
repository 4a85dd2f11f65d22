"""The last draw of a distribution, and what was computed while it was drawn.

A flow, a chain and a Gaussian with full covariance know the density of what they have just drawn,
from the noise that it was made of. Computing it again from the draw alone costs more, and is less
exact.
"""

from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class LastDraw(Generic[Result]):
    """A tensor and a result that belongs to it, until the tensor changes.

    Example:
        >>> last, z = LastDraw[str](), torch.zeros(2)
        >>> last.keep(z, "log q(z)")
        >>> last.result_of(z), last.result_of(z.clone())
        ('log q(z)', None)
        >>> _ = z.add_(1.0)
        >>> print(last.result_of(z))
        None
    """

    def __init__(self) -> None:
        self._kept: tuple[Tensor, int, bool, Result] | None = None

    def keep(self, value: Tensor, result: Result) -> None:
        """Keep a draw and its result in place of those before."""
        # The version counts changes in place; inference tensors have none.
        is_counted = not value.is_inference()
        grad = torch.is_grad_enabled()
        self._kept = (value, value._version, grad, result) if is_counted else None

    def result_of(self, value: Tensor) -> Result | None:
        """Return the result of the last draw; None where the value is any other tensor.

        None also where gradients are recorded now, and were not while it was drawn.
        """
        if self._kept is None:
            return None
        drawn, version, had_gradients, result = self._kept
        is_same = value is drawn and value._version == version
        return result if is_same and (had_gradients or not torch.is_grad_enabled()) else None
