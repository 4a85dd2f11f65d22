"""Callbacks of a run: progress on the terminal, a file of metrics, TensorBoard and pictures."""

from reparam.training.callbacks.metrics_file import MetricsFile
from reparam.training.callbacks.pictures import Pictures, sample_images
from reparam.training.callbacks.progress import EpochLines, ProgressBar, progress_on_terminal
from reparam.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "EpochLines",
    "MetricsFile",
    "Pictures",
    "ProgressBar",
    "TensorBoard",
    "progress_on_terminal",
    "sample_images",
]
