"""Training: one loop, its schedules, what watches it, and its checkpoints."""

from reparam.training.events import Callback, Event
from reparam.training.options import TrainingOptions
from reparam.training.schedules import learning_rate, linear

__all__ = ["Callback", "Event", "TrainingOptions", "learning_rate", "linear"]
