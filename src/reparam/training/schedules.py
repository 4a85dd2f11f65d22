"""Numbers that change while a model trains: functions of the optimizer step."""

from dataclasses import dataclass
from math import cos, pi
from typing import Any

from torch import Tensor

from reparam.errors import OptionError


@dataclass(frozen=True)
class Linear:
    """A straight line from ``start`` to ``stop``, then ``stop``."""

    start: float
    stop: float
    steps: int

    def __call__(self, step: Any) -> Any:
        """Return the value at a step, a number or a tensor; infinity stands for the end."""
        share = step / self.steps
        # What a graph on a GPU replays takes the step from a tensor, and never looks at it.
        share = share.clamp(max=1.0) if isinstance(share, Tensor) else min(share, 1.0)
        return self.start + (self.stop - self.start) * share


def linear(start: float, stop: float, steps: int) -> Linear:
    r"""Return the schedule of a KL warm-up, from ``start`` to ``stop`` in so many steps.

    .. math:: \beta(t) = \beta_0 + (\beta_1 - \beta_0) \min(t / T, 1)

    Arguments:
        start: The value at step 0.
        stop: The value from step ``steps`` on.
        steps: T.

    Raises:
        OptionError: Fewer than one step.

    References:
        Bowman et al., Generating sentences from a continuous space, CoNLL 2016, section 3.1.

    Example:
        >>> beta = linear(0, 1, steps=2000)
        >>> beta(0), beta(500), beta(9999)
        (0.0, 0.25, 1.0)
    """
    if steps < 1:
        raise OptionError(f"steps={steps}: a schedule needs at least one step")
    return Linear(float(start), float(stop), steps)


@dataclass(frozen=True)
class WarmupCosine:
    """A rise from zero, then half a cosine down to ``floor`` times the peak."""

    peak: float
    warmup: int
    steps: int
    floor: float = 0.0

    def __call__(self, step: float) -> float:
        """Return the value at a step; infinity stands for the end."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        share = min((step - self.warmup) / max(1, self.steps - self.warmup), 1.0)
        return self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + cos(pi * share)))


def warmup_cosine(peak: float, warmup: int, steps: int, floor: float = 0.0) -> WarmupCosine:
    r"""Return the learning rate of the default recipe.

    .. math:: \eta(t) = \eta \frac{t + 1}{T_w} \ (t < T_w), \qquad
              \eta(t) = \eta\, \tfrac12 \Bigl(1 + \cos \pi \frac{t - T_w}{T - T_w}\Bigr)

    Arguments:
        peak: η.
        warmup: The number of steps of the rise, T_w.
        steps: The number of steps in all, T.
        floor: What is left at the end, as a share of the peak.

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5.

    Example:
        >>> lr = warmup_cosine(1e-3, warmup=10, steps=110)
        >>> lr(0), lr(9), round(lr(60), 6), lr(110)
        (0.0001, 0.001, 0.0005, 0.0)
    """
    return WarmupCosine(peak, warmup, steps, floor)
