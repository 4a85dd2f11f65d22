"""Training: the loop, the step for loops of the user's own, schedules and callbacks."""

from typing import TYPE_CHECKING

from reparam.utils.lazy import lazy

if TYPE_CHECKING:
    from reparam.training.events import Callback as Callback
    from reparam.training.events import Event as Event
    from reparam.training.events import EventHandler as EventHandler
    from reparam.training.options import TrainingOptions as TrainingOptions
    from reparam.training.schedules import learning_rate as learning_rate
    from reparam.training.schedules import linear as linear
    from reparam.training.step import Annealed as Annealed
    from reparam.training.step import Step as Step
    from reparam.training.trainer import Trainer as Trainer

_NAMES = {
    "Annealed": "reparam.training.step",
    "Callback": "reparam.training.events",
    "Event": "reparam.training.events",
    "EventHandler": "reparam.training.events",
    "Step": "reparam.training.step",
    "Trainer": "reparam.training.trainer",
    "TrainingOptions": "reparam.training.options",
    "learning_rate": "reparam.training.schedules",
    "linear": "reparam.training.schedules",
}

__all__ = [*_NAMES]
__getattr__ = lazy("reparam.training", _NAMES)
