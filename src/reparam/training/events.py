"""Events of a training run, and the callbacks that receive them.

The order of the events is ``start``, then ``step`` … ``log`` … ``epoch`` again and again, then
``end``. Where ``epochs`` is given, ``epoch`` comes after every epoch. In other runs it comes about
a hundred times, evenly in steps: after some epochs where they are short, and also within epochs
where they are long. A callback is a function of an ``Event``, or an object of a subclass of
``Callback``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from reparam.batch import Batch
from reparam.objectives.terms import Terms
from reparam.utils.equality import by_value
from reparam.utils.seeding import rng_state, set_rng_state

Kind = Literal["start", "step", "log", "epoch", "end"]


def _ignore() -> None:
    """Do nothing: an event outside of a training run stops nothing."""


@by_value
@dataclass(frozen=True)
class Event:
    """One moment of a training run.

    Arguments:
        kind: ``start``, ``step`` (only for callbacks with ``every_step``), ``log`` (a row of
            metrics over the last steps), ``epoch`` or ``end``.
        epoch: The number of completed epochs; for ``step`` and ``log`` the index of the current
            epoch, from 0.
        step: The number of optimizer steps taken.
        row: The scalars of ``log`` and, with a validation split, of ``epoch``, in nats per example.
            Empty for all other events.
        model: The current model: the average of the weights where there is one.
        batch: The batch of a ``step``; None for all other events.
        terms: The terms of the main objective for that batch, without gradients; None for all
            other events.
        stop: A function that ends the training. The run then ends as after its last epoch: with
            the last row of metrics, a checkpoint, the best or averaged weights, and the event
            ``end``. An epoch that is cut short is not validated. Several processes stop together,
            after a row of metrics or an epoch.
    """

    kind: Kind
    epoch: int
    step: int
    row: Mapping[str, float | int | str]
    model: nn.Module
    batch: Batch | None = None
    terms: Terms | None = None
    stop: Callable[[], None] = field(default=_ignore, repr=False)


EventHandler = Callable[[Event], None]
"""A callback: any function of an event. A ``Callback`` is one, too."""


class Callback:
    """A callback with one method for each kind of event. Override those that are needed.

    A callback may draw random numbers and evaluate the model: training goes on with its own random
    numbers and in training mode.

    Attributes:
        every_step: Whether ``on_step`` is called. Set it to True in a subclass that has this
            method. The steps are then not recorded as a CUDA graph, since a graph does not return
            to Python.

    Example:
        >>> class StopAt(Callback):
        ...     every_step = True
        ...     def on_step(self, event: Event) -> None:
        ...         if event.step == 3:
        ...             event.stop()
        >>> from reparam import fit, variants
        >>> run = fit(variants.vae, torch.ones(64, 4), batch_size=8, epochs=1,
        ...           callbacks=[StopAt()], progress=False)
        >>> run.rows[-1]["step"]
        3
    """

    every_step: bool = False

    def on_start(self, event: Event) -> None:
        """Receive the event before the first step, or before the first one after a resume."""

    def on_step(self, event: Event) -> None:
        """Receive the event after a step, with its batch and terms; see ``every_step``."""

    def on_log(self, event: Event) -> None:
        """Receive the event of a row of metrics."""

    def on_epoch(self, event: Event) -> None:
        """Receive the event after an epoch, or a part of the run, and its validation."""

    def on_end(self, event: Event) -> None:
        """Receive the event after the training, when the model has its final weights."""

    def __call__(self, event: Event) -> None:
        """Call the method of the kind of the event."""
        methods = {
            "start": self.on_start,
            "step": self.on_step,
            "log": self.on_log,
            "epoch": self.on_epoch,
            "end": self.on_end,
        }
        methods[event.kind](event)


def every_step(callbacks: Sequence[EventHandler]) -> list[EventHandler]:
    """Return the callbacks that receive an event after every step.

    >>> every_step([print, Callback()])
    []
    """
    return [each for each in callbacks if isinstance(each, Callback) and each.every_step]


def send(event: Event, callbacks: Sequence[EventHandler], device: torch.device) -> None:
    """Call callbacks with an event, and put back the random state and the mode of the model.

    Arguments:
        event: The event.
        callbacks: The functions to call, in this order.
        device: The device whose random state is put back, beside that of the CPU.
    """
    random, is_training = rng_state(device), event.model.training
    for callback in callbacks:
        callback(event)
    set_rng_state(random, device)
    event.model.train(is_training)
