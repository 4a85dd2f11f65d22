"""What the training loop tells those who watch it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from reparam.utils.equality import by_value


@by_value
@dataclass(frozen=True)
class Event:
    """Something that happened in training.

    Arguments:
        kind: ``start``, ``log`` (a window of steps ended), ``epoch`` or ``end``.
        epoch: Epochs completed, or under way while logging, from 0.
        step: Optimizer steps taken.
        row: The scalars, in nats per example; empty at the start, the end, and after
            an epoch without validation.
        model: The model as it would be used now: the average of the weights where there is one.
    """

    kind: Literal["start", "log", "epoch", "end"]
    epoch: int
    step: int
    row: Mapping[str, float | int | str]
    model: nn.Module


Callback = Callable[[Event], None]
"""Anything that can be called with an ``Event``."""
