"""Training: the loop, the step for loops of the user's own, schedules and callbacks."""

from reparam.training.events import Callback, Event, EventHandler
from reparam.training.options import TrainingOptions
from reparam.training.schedules import learning_rate, linear
from reparam.training.step import Annealed, Step
from reparam.training.trainer import Trainer

__all__ = [
    "Annealed",
    "Callback",
    "Event",
    "EventHandler",
    "Step",
    "Trainer",
    "TrainingOptions",
    "learning_rate",
    "linear",
]
