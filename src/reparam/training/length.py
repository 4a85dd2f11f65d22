r"""The length of training: the number of optimizer steps, and when the model is validated.

A run has ``epochs`` passes over the training split, ``steps`` optimizer steps, or a ``budget`` of
wall-clock time. Without any of them it has

.. math:: T = \max\bigl(7000\, m,\ T_1\bigr), \qquad
          m = \begin{cases} 1/2 & T_1 \le 4 \\
              \min\bigl(4, \max(1, \min(P_0 / P,\ T_1 / 2))\bigr) & \text{else} \end{cases}

steps, with :math:`P` weights, :math:`P_0` = 300,000, and :math:`T_1` steps of one pass over the
data: a small network takes more steps in the same time, unless the data are so few that it has
over-fitted by then.

An epoch is as long as the data: one step for a hundred rows, a hundred thousand for ten million. So
a run that was not measured in epochs is validated about a hundred times, evenly in steps: at the
end of an epoch where epochs are short, and within epochs where they are long. It is validated less
often where a hundred validations took more than a twentieth of the work.
"""

import re
from dataclasses import dataclass
from math import ceil, inf
from typing import Protocol

from reparam.errors import OptionError
from reparam.utils.arguments import as_float

DEFAULT_STEPS = 7_000
"""The steps of a run by default: 15 epochs of MNIST at batches of 128 are 6,450."""

N_WEIGHTS, MOST_TIMES = 300_000, 4.0
"""A network with fewer weights takes more steps, up to four times as many."""

FEW_BATCHES, FEWER_TIMES = 4, 0.5
"""Data of so few batches, such as 500 rows, take half as many steps."""

VALIDATIONS = 100
"""The approximate number of validations of a run that is not measured in epochs."""

WORK = 0.05
"""The largest share of the work of training that validation takes. A step has a forward and a
backward pass, which is as much work as three forward passes."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_TIME = re.compile(rf"{_NUMBER}|(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


def seconds_of(budget: str | float) -> float:
    """Return a wall-clock time in seconds.

    Arguments:
        budget: Hours, minutes and seconds such as ``30s``, ``5m`` or ``1h30m``, or a number of
            seconds.

    Raises:
        OptionError: Another form, or no time at all.

    Example:
        >>> seconds_of("1h30m"), seconds_of("90"), seconds_of(2.5)
        (5400.0, 90.0, 2.5)
        >>> seconds_of("1h30")
        Traceback (most recent call last):
        reparam.errors.OptionError: budget='1h30': must be a time such as '30s', '5m', '2h' or ...
    """
    if isinstance(budget, str):
        match = _TIME.fullmatch(budget.replace(" ", "").lower())
        if match is None or not any(match.groups()):
            raise OptionError(
                f"budget={budget!r}: must be a time such as '30s', '5m', '2h' or '1h30m'"
            )
        parts = zip(match.groups(), (1.0, *_UNITS.values()), strict=True)
        budget = sum(float(number) * unit for number, unit in parts if number)
    return as_float("budget", budget, minimum=0.0, open_ends=True)


class LengthOptions(Protocol):
    """The options that decide the length of a run."""

    @property
    def epochs(self) -> int | None:
        """The number of passes over the training split."""

    @property
    def steps(self) -> int | None:
        """The number of optimizer steps."""

    @property
    def batch_size(self) -> int | None:
        """The number of examples of each step."""

    @property
    def kl_warmup(self) -> float:
        """The number of epochs of the KL warm-up."""


@dataclass(frozen=True)
class Length:
    """The length of a run.

    Arguments:
        steps: The number of steps that schedules refer to.
        reason: Where this number comes from, in a few words.
        epochs: The number of passes over the training split; None where it is not given.
        every: The number of steps between two validations; None for one after every epoch.
        stop: The step after which training ends; None for the last step of the schedules.
        seconds: The seconds after which training ends, which then move the schedules; None where
            steps do.
    """

    steps: int
    reason: str
    epochs: int | None = None
    every: int | None = None
    stop: int | None = None
    seconds: float | None = None

    @property
    def last(self) -> float:
        """The step after which training ends, if time does not end it."""
        if self.seconds is not None:
            return inf
        return self.steps if self.stop is None else self.stop

    def place(self, epoch: int, step: int, seconds: float) -> str:
        """Return a place in the run in words.

        Arguments:
            epoch: The number of the epoch.
            step: The number of steps taken.
            seconds: The seconds that they took.

        Example:
            >>> Length(7000, "the default", every=70).place(0, 140, 0.2)
            'step   140/7,000'
        """
        if self.epochs is not None:
            return f"epoch {min(epoch, self.epochs):>3}/{self.epochs}"
        if self.seconds is not None:
            return f"{min(seconds, self.seconds):.1f}/{self.seconds:.1f} s"
        last = f"{self.last:,}"
        return f"step {step:>{len(last)},}/{last}"


def default_steps(n_weights: int, steps_per_epoch: int) -> int:
    """Return the default number of steps of a network.

    >>> default_steps(650_000, 430), default_steps(50_000, 1), default_steps(50_000, 10)
    (7000, 3500, 28000)
    """
    if steps_per_epoch <= FEW_BATCHES:
        return round(DEFAULT_STEPS * FEWER_TIMES)
    times = min(MOST_TIMES, N_WEIGHTS / max(1, n_weights), steps_per_epoch / 2)
    return max(round(DEFAULT_STEPS * max(1.0, times)), steps_per_epoch)


def length_of(
    options: LengthOptions,
    steps_per_epoch: int,
    n_validated: int = 0,
    n_weights: int = N_WEIGHTS,
) -> Length:
    """Return the length of a run by its options.

    Arguments:
        options: The options of training, without a budget.
        steps_per_epoch: The number of batches of an epoch.
        n_validated: The number of examples of a validation.
        n_weights: The number of weights of the model.

    Raises:
        OptionError: A KL warm-up that is longer than the run.

    Example:
        >>> from reparam.training import TrainingOptions
        >>> length_of(TrainingOptions(epochs=15), 430).steps
        6450
        >>> length_of(TrainingOptions(), 1)
        Length(steps=3500, reason='the default', epochs=None, every=35, stop=None, ...
        >>> length_of(TrainingOptions(), 80_000).every
        800
        >>> length_of(TrainingOptions(batch_size=128), 430, n_validated=5_000).every
        261
    """
    if options.epochs is not None:
        steps, reason = options.epochs * steps_per_epoch, f"epochs={options.epochs}"
        return Length(steps, reason, options.epochs)
    if options.steps is not None:
        steps, reason = options.steps, f"steps={options.steps}"
    else:
        steps = default_steps(n_weights, steps_per_epoch)
        reason = "one epoch, the default" if steps == steps_per_epoch else "the default"
    if options.kl_warmup * steps_per_epoch > steps:
        raise OptionError(
            f"kl_warmup={options.kl_warmup}: longer than the run of {steps:,} steps, which are "
            f"{steps / steps_per_epoch:.3g} epochs, so the KL would never have its full weight; "
            "warm up in fewer epochs"
        )
    least = 0 if options.batch_size is None else n_validated / (3 * WORK * options.batch_size)
    every = max(1, steps // VALIDATIONS, ceil(least))
    if steps_per_epoch <= every:
        every = ceil(every / steps_per_epoch) * steps_per_epoch
    return Length(steps, reason, every=every)
