"""The rules that a figure must satisfy, and computation in float64 where float32 breaks one.

- A log-probability of discrete data is at most 0. An estimate of log p(x) lies t nats above 0 by
  chance with a probability below exp(-t), by Markov's inequality. Up to ``CHANCE`` nats it is set
  to 0, which is nearer to the truth; beyond, it is not a number.
- A KL in closed form is at least 0.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from reparam.isolation import in_float64

T = TypeVar("T")

ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Nats by which float64, and float32 where a model has no float64, may break an exact rule."""
CHANCE = 10.0
"""Nats by which an estimate of a log-probability may lie above 0 by chance."""


def computed_in_float64(model: nn.Module, compute: Callable[[], T]) -> T | None:
    """Return the result of a computation with a model in float64.

    None where the device or a user's network has no float64.

    >>> model = nn.Linear(2, 2)
    >>> computed_in_float64(model, lambda: model.weight.dtype)
    torch.float64
    """
    try:
        with in_float64(model):
            return compute()
    except (RuntimeError, TypeError):
        return None


def held(
    values: Tensor,
    least: float = -torch.inf,
    most: float = torch.inf,
    rounding: float = ROUNDING[torch.float64],
) -> Tensor:
    """Return values clamped to a range; those outside by more than rounding, and +inf, as NaN.

    >>> held(torch.tensor([-1.0, 1e-12, 2.0, torch.inf]), most=0.0)
    tensor([-1., 0., nan, nan])
    """
    outside = (values < least - rounding) | (values > most + rounding) | (values == torch.inf)
    return values.clamp(least, most).masked_fill(outside, torch.nan)
