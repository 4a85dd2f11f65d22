"""Schedules: the learning rate and the weight of the KL as functions of the optimizer step."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, log, pi
from typing import TypeVar

from torch import Tensor

from reparam.errors import named
from reparam.utils.arguments import numbers

__all__ = ["LearningRate", "Linear", "learning_rate", "linear"]

Number = TypeVar("Number", float, Tensor)


@numbers(steps=1)
@dataclass(frozen=True)
class Linear:
    """A line from ``start`` to ``stop`` in a number of steps, and ``stop`` after that."""

    start: float
    stop: float
    steps: int

    def __call__(self, step: Number) -> Number:
        """Return the value at a step, a number or a tensor; infinity is the end of training."""
        share = step / self.steps
        # A CUDA graph takes the step from a tensor, without reading it.
        share = share.clamp(max=1.0) if isinstance(share, Tensor) else min(share, 1.0)
        return self.start + (self.stop - self.start) * share


def linear(start: float, stop: float, steps: int) -> Linear:
    r"""Return the schedule of a KL warm-up, from ``start`` to ``stop`` in ``steps`` steps.

    .. math:: \beta(t) = \beta_0 + (\beta_1 - \beta_0) \min(t / T, 1)

    Arguments:
        start: The value at step 0.
        stop: The value from step ``steps`` on.
        steps: T, the number of steps.

    Raises:
        OptionError: Fewer than one step.

    References:
        Bowman et al., Generating sentences from a continuous space, CoNLL 2016, section 3.1.

    Example:
        >>> beta = linear(0, 1, steps=2000)
        >>> beta(0), beta(500), beta(9999)
        (0.0, 0.25, 1.0)
    """
    return Linear(start, stop, steps)


STAGES = 8
"""The number of stages of the schedule ``stages``."""


@numbers(warmup=0, steps=1)
@dataclass(frozen=True)
class LearningRate:
    """A linear rise to the peak, and after the warm-up the peak times a falling factor.

    Arguments:
        peak: The highest value.
        warmup: The number of steps of the rise.
        steps: The number of all steps.
        fall: The factor as a function of two shares: of the steps after the warm-up that are taken,
            and of all steps that are taken.
    """

    peak: float
    warmup: int
    steps: int
    fall: Callable[[float, float], float]

    def __call__(self, step: float) -> float:
        """Return the value at a step; infinity is the end of training."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        fallen = min((step - self.warmup) / max(1, self.steps - self.warmup), 1.0)
        return self.peak * self.fall(fallen, min(step / self.steps, 1.0))


def _cosine(fallen: float, taken: float) -> float:
    return 0.5 * (1 + cos(pi * fallen))


def _linear(fallen: float, taken: float) -> float:
    return 1 - fallen


def _constant(fallen: float, taken: float) -> float:
    return 1.0


def _stages(fallen: float, taken: float) -> float:
    # The stages 0 … i take (3^(i+1) - 1) / (3^8 - 1) of all steps.
    stage = int(log(1 + taken * (3**STAGES - 1), 3) + 1e-9)
    return float(10 ** (-min(stage, STAGES - 1) / (STAGES - 1)))


FALLS = {"cosine": _cosine, "linear": _linear, "constant": _constant, "stages": _stages}
"""The schedules of the learning rate after the warm-up, by name."""


def learning_rate(name: str, peak: float, warmup: int, steps: int) -> LearningRate:
    r"""Return a schedule of the learning rate, which rises to its peak and then falls.

    ``cosine``: half a cosine to zero. ``linear``: a line to zero. ``constant``: the peak.
    ``stages``: eight constant stages to a tenth, each three times as long as the one before it.

    .. math:: \eta(t) = \eta \frac{t + 1}{T_w} \ (t < T_w), \qquad
              \eta_{\mathrm{cosine}}(t)
              = \eta\, \tfrac12 \Bigl(1 + \cos \pi \frac{t - T_w}{T - T_w}\Bigr), \qquad
              \eta_{\mathrm{linear}}(t) = \eta \Bigl(1 - \frac{t - T_w}{T - T_w}\Bigr), \qquad
              \eta_i = \eta\, 10^{-i / 7}, \ i = 0, \dots, 7

    Arguments:
        name: ``cosine``, ``linear``, ``constant`` or ``stages``.
        peak: η.
        warmup: The number of steps of the rise, T_w.
        steps: The number of steps in all, T.

    Raises:
        OptionError: An unknown name, with the nearest known one.

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5 (cosine); Bergsma et al., Straight to zero, ICLR
        2025 (linear); Burda, Grosse & Salakhutdinov, ICLR 2016, section 5 (stages of 3^i epochs).

    Example:
        >>> lr = learning_rate("cosine", 1e-3, warmup=10, steps=110)
        >>> lr(0), lr(9), round(lr(60), 6), lr(110)
        (0.0001, 0.001, 0.0005, 0.0)
        >>> stages = learning_rate("stages", 1e-3, warmup=0, steps=3280)
        >>> [round(stages(epoch), 5) for epoch in (0, 1, 4, 1093, 3279)]
        [0.001, 0.00072, 0.00052, 0.0001, 0.0001]
    """
    fall = named("schedule of the learning rate", name, FALLS)
    return LearningRate(peak, warmup, steps, fall)
