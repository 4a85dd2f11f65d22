"""Progress on standard error: a live bar in a terminal, or one line for each epoch."""

import time
from contextlib import ExitStack
from typing import Any

from reparam.families import CrossEntropy
from reparam.training.events import Callback, Event
from reparam.training.options import TrainingOptions
from reparam.utils.terminal import stderr, width


def progress_on_terminal(stack: ExitStack, options: TrainingOptions, n_steps: int) -> Callback:
    """Return the callback that shows a run: a bar, or lines where the output is not a terminal.

    Arguments:
        stack: The context that removes the bar when it is left.
        options: The options of training.
        n_steps: The number of all steps.
    """
    from rich.console import Console

    console = Console(file=stderr(), width=width())
    if not console.is_terminal or console.is_dumb_terminal:
        return EpochLines(options.epochs)
    return ProgressBar(console, stack, options.epochs, n_steps)


class ProgressBar(Callback):
    """A live bar with the last metrics.

    Arguments:
        console: The terminal, a ``rich.console.Console``.
        stack: The context that removes the bar when it is left.
        epochs: The number of all epochs.
        n_steps: The number of all steps.
    """

    def __init__(self, console: Any, stack: ExitStack, epochs: int, n_steps: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs = epochs
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[training]}{task.fields[validation]}"),
            TimeRemainingColumn(),
            console=console,
        )
        stack.enter_context(self._bar)
        self._task = self._bar.add_task(
            "", total=n_steps, epoch=f"0/{epochs}", training="", validation=""
        )

    def on_start(self, event: Event) -> None:
        """Move the bar to the step from which training goes on."""
        self._update(event, event.epoch)

    def on_log(self, event: Event) -> None:
        """Show the row of metrics."""
        row = event.row
        parts = [f"loss {row['loss']:.2f}", f"reconstruction {row['reconstruction']:.2f}"]
        if "kl" in row:
            parts.append(f"KL {row['kl']:.2f}")
        parts.append(f"{row['images_per_second']:,.0f} examples/s")
        self._update(event, event.epoch + 1, training="  ".join(parts))

    def on_epoch(self, event: Event) -> None:
        """Show the validation score."""
        shown = {"validation": f"  validation {_score(event)}"} if event.row else {}
        self._update(event, event.epoch, **shown)

    on_end = on_start

    def _update(self, event: Event, epoch: int, **fields: Any) -> None:
        label = f"{min(epoch, self.epochs)}/{self.epochs}"
        self._bar.update(self._task, completed=event.step, epoch=label, **fields)


class EpochLines(Callback):
    """A line for every epoch, with the validation score or, without one, that of the training.

    Arguments:
        epochs: The number of all epochs.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self._training = ""
        self._began = time.perf_counter()

    def on_start(self, event: Event) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_log(self, event: Event) -> None:
        """Keep the score of the last row."""
        self._training = f"  training {_score(event)}"

    def on_epoch(self, event: Event) -> None:
        """Print the line."""
        score = f"  validation {_score(event)}" if event.row else self._training
        seconds = time.perf_counter() - self._began
        label = f"epoch {event.epoch:>3}/{self.epochs}"
        print(f"{label}{score}  ({seconds:.1f} s)", file=stderr(), flush=True)


def _score(event: Event) -> str:
    """Return the ELBO or the log-likelihood of a row, with its name."""
    # The cross-entropy of gray pixels is no likelihood, and cannot be compared with an ELBO.
    is_likelihood = not any(isinstance(m, CrossEntropy) for m in event.model.modules())
    kind = "" if is_likelihood else "cross-entropy "
    if "elbo" in event.row:
        return f"{kind}ELBO {event.row['elbo']:.2f}"
    return f"{kind}log-likelihood {event.row['reconstruction']:.2f}"
