"""What one pass over values finds: their support, their range and whether they are levels.

The facts of parts join to those of the whole, so that data larger than memory are described in the
same way as data in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from reparam.data.checks import closest_support, is_on_grid
from reparam.spec import Support

N_LEVELS = 256
"""The number of levels of bytes."""


@dataclass(frozen=True)
class Facts:
    """What is known of values after one pass.

    Arguments:
        dtype: Their type.
        support: The set that was declared to contain every value, or the smallest that does.
        low: The least value.
        high: The largest value.
        on_grid: Whether they are bytes, or all k / 255.
    """

    dtype: torch.dtype
    support: Support
    low: float
    high: float
    on_grid: bool


def facts_of(x: Tensor, support: Support | None = None, name: str = "x") -> Facts:
    """Return the facts of finite values x, with shape (N, *shape).

    Arguments:
        x: The values.
        support: The set that contains every value; the smallest that does when None.
        name: The name of the values in messages.

    Raises:
        DataError: Integers whose support is not clear.

    Example:
        >>> facts_of(torch.tensor([[0.0, 1.0]])).support
        'binary'
    """
    chosen = closest_support(x, name) if support is None else support
    seen = x.to(torch.uint8) if x.dtype == torch.bool else x
    low, high = (float(value) for value in seen.aminmax())
    is_inside = chosen in ("binary", "unit") and 0 <= low <= high <= 1
    on_grid = x.dtype == torch.uint8 or (is_inside and is_on_grid(seen, N_LEVELS))
    return Facts(x.dtype, chosen, low, high, on_grid)


def joined(parts: Iterable[Facts]) -> Facts:
    """Return the facts of parts of one type together, whose support is the widest of them.

    >>> joined(facts_of(torch.tensor([value])) for value in (0.0, 0.5)).support
    'unit'
    """
    found = list(parts)
    return Facts(
        found[0].dtype,
        # Of binary, unit and real the widest, in the order in which they are declared.
        max((part.support for part in found), key=get_args(Support).index),
        min(part.low for part in found),
        max(part.high for part in found),
        all(part.on_grid for part in found),
    )
