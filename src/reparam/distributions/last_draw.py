"""The last draw of a distribution, and what was computed while it was drawn.

A flow, a chain and a Gaussian with full covariance can compute the density of a draw from the noise
that it was made of. From the draw alone, the density costs more and is less exact.
"""

from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class LastDraw(Generic[Result]):
    """A tensor and a result that belongs to it, until the tensor changes.

    Example:
        >>> last, z = LastDraw[str](), 2 * torch.ones(2, requires_grad=True)
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
        has_gradient = value.requires_grad
        self._kept = (value, value._version, has_gradient, result) if is_counted else None

    def result_of(self, value: Tensor) -> Result | None:
        """Return the result of the last draw; None where the value is any other tensor.

        None also where gradients are recorded now, and the draw was made without them.
        """
        if self._kept is None:
            return None
        drawn, version, has_gradient, result = self._kept
        is_same = value is drawn and value._version == version
        return result if is_same and (has_gradient or not torch.is_grad_enabled()) else None
