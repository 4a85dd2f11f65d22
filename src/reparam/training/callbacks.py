"""Callbacks of a run: progress on the terminal, TensorBoard, and pictures of the model."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reparam.batch import Batch
from reparam.errors import ReparamError
from reparam.families import Counts, CrossEntropy
from reparam.models.directed import DirectedModel
from reparam.models.latent import as_latent, is_latent
from reparam.pictures import grid, save, side_by_side
from reparam.priors import NoPrior
from reparam.training.events import Callback, Event
from reparam.training.length import Length
from reparam.training.options import TrainingOptions
from reparam.utils.files import write_error
from reparam.utils.seeding import seeded
from reparam.utils.terminal import stderr, width

if TYPE_CHECKING:
    from PIL.Image import Image

N_SAMPLES = 64
"""The number of samples in a picture."""


LONGEST_SILENCE = 10.0
"""The seconds after which the next row of a run that is not measured in epochs is printed."""

N_PICTURES, N_LINES = 10, 20
"""The approximate number of pictures and of lines of a run that is not measured in epochs."""


def progress_on_terminal(stack: ExitStack, length: Length) -> Callback:
    """Return the callback that shows a run: a bar, or lines where the output is not a terminal.

    Arguments:
        stack: The context that removes the bar when it is left.
        length: The length of the run.
    """
    from rich.console import Console

    console = Console(file=stderr(), width=width())
    if not console.is_terminal or console.is_dumb_terminal:
        return ProgressLines(length)
    return ProgressBar(console, stack, length)


class ProgressBar(Callback):
    """A live bar with the last metrics.

    Arguments:
        console: The terminal, a ``rich.console.Console``.
        stack: The context that removes the bar when it is left.
        length: The length of the run.
    """

    def __init__(self, console: Any, stack: ExitStack, length: Length) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.length, self.seconds = length, 0.0
        self._bar = Progress(
            TextColumn("{task.fields[place]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[training]}{task.fields[validation]}"),
            TimeRemainingColumn(),
            console=console,
        )
        stack.enter_context(self._bar)
        total = length.last if length.seconds is None else length.seconds
        place = length.place(0, 0, 0.0)
        self._task = self._bar.add_task("", total=total, place=place, training="", validation="")

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
        self.seconds = float(event.row.get("seconds", self.seconds))
        completed = event.step if self.length.seconds is None else self.seconds
        place = self.length.place(epoch, event.step, self.seconds)
        self._bar.update(self._task, completed=completed, place=place, **fields)


class ProgressLines(Callback):
    """A line for every epoch, or about twenty where the run is not measured in epochs.

    A line has the validation score or, without one, that of the training. A slow run has further
    lines, ten seconds or more after the last.

    Arguments:
        length: The length of the run.
    """

    def __init__(self, length: Length) -> None:
        self.length = length
        self._parts = Parts(length, N_LINES)
        self._training = ""
        self._began = self._told = time.perf_counter()

    def on_log(self, event: Event) -> None:
        """Keep the score of the last row, and print it if nothing was printed for long."""
        self._training = f"  training {_score(event)}"
        if self.length.epochs is None and time.perf_counter() - self._told >= LONGEST_SILENCE:
            self._print(event, self._training)

    def on_epoch(self, event: Event) -> None:
        """Print the line, if one is due."""
        if self._parts.begins(event):
            score = f"  validation {_score(event)}" if event.row else self._training
            self._print(event, score)

    def _print(self, event: Event, score: str) -> None:
        self._told = time.perf_counter()
        seconds = self._told - self._began
        label = self.length.place(event.epoch, event.step, seconds)
        print(f"{label}{score}  ({seconds:.1f} s)", file=stderr(), flush=True)


class Parts:
    """The parts of a run: its epochs or, where it is not measured in epochs, equal parts.

    Arguments:
        length: The length of the run.
        n: The number of equal parts.
    """

    def __init__(self, length: Length, n: int) -> None:
        self.length, self.n, self.number = length, n, 0
        """``number`` is that of the parts that are done."""

    def begins(self, event: Event) -> bool:
        """Return whether a part is done that was not done at the event before."""
        before = self.number
        self.number = event.epoch
        if self.length.epochs is None:
            self.number = event.step * self.n // (self.length.stop or self.length.steps)
        return self.number != before


def _score(event: Event) -> str:
    """Return the ELBO or the log-likelihood of a row, with its name."""
    # The cross-entropy of gray pixels is no likelihood, and cannot be compared with an ELBO.
    is_likelihood = not any(isinstance(m, CrossEntropy) for m in event.model.modules())
    kind = "" if is_likelihood else "cross-entropy "
    counts = [m for m in event.model.modules() if isinstance(m, Counts)]
    given = " given the total" if any(m.library_size is not None for m in counts) else ""
    if "elbo" in event.row:
        return f"{kind}ELBO{given} {event.row['elbo']:.2f}"
    return f"{kind}log-likelihood{given} {event.row['reconstruction']:.2f}"


class TensorBoard(Callback):
    """Write the scalars of every row, each under its split, and the pictures that it receives.

    Arguments:
        folder: The folder of the event files.
        stack: The context that closes the files when it is left.
        warn: A function that receives a warning where TensorBoard cannot open the folder.
    """

    def __init__(self, folder: Path, stack: ExitStack, warn: Callable[[str], None]) -> None:
        self._folder, self._stack, self._warn = folder, stack, warn
        self._writer: Any = None

    def on_start(self, event: Event) -> None:
        """Open the files, without the rows after the current step."""
        from torch.utils.tensorboard import SummaryWriter

        try:
            str(self._folder).encode("utf-8")
        except UnicodeEncodeError:
            self._warn(
                "nothing is written for TensorBoard, which cannot open a folder whose name is "
                f"not UTF-8 in this locale: {self._folder}"
            )
            return
        with self._writing():
            self._writer = SummaryWriter(str(self._folder), purge_step=event.step + 1)
        self._stack.callback(self._close)

    def on_log(self, event: Event) -> None:
        """Write the scalars of a row."""
        for name, value in event.row.items() if self._writer is not None else ():
            if name not in ("split", "epoch", "step") and not isinstance(value, str):
                with self._writing():
                    self._writer.add_scalar(f"{name}/{event.row['split']}", value, event.step)

    on_epoch = on_log

    def picture(self, name: str, image: "Image", step: int) -> None:
        """Write a picture."""
        import numpy as np

        if self._writer is None:
            return
        pixels = np.array(image.convert("RGB"))
        with self._writing():
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def _close(self) -> None:
        with self._writing():
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_error(self._folder, error) from error


class Pictures(Callback):
    """Save samples, and inputs beside their reconstructions, after every N-th epoch.

    A run that is not measured in epochs has ten parts in their place.

    All pictures have the same latent draws and inputs, so that they can be compared.

    Arguments:
        folder: The folder of the pictures.
        examples: The inputs to reconstruct, with shape (B, *shape), on the device of the model.
        shape: The shape of an image.
        c: The conditions of the samples, with shape (N_SAMPLES, C); None for an unconditional
            model.
        options: The options of training; N is ``pictures_every``.
        length: The length of the run.
        show: A function that receives every picture too: its name, the picture and the step.
    """

    def __init__(
        self,
        folder: Path,
        examples: Batch,
        shape: tuple[int, ...],
        c: Tensor | None,
        options: TrainingOptions,
        length: Length,
        show: Callable[[str, "Image", int], None],
    ) -> None:
        self.folder, self.examples, self.shape, self.c = folder, examples, shape, c
        self.options, self.show = options, show
        self._parts = Parts(length, N_PICTURES)

    def on_start(self, event: Event) -> None:
        """Find the part of the run from which training goes on."""
        self._parts.begins(event)

    def on_epoch(self, event: Event) -> None:
        """Save and show the pictures, after every N-th epoch and the last one."""
        every, is_new = self.options.pictures_every, self._parts.begins(event)
        is_last = event.epoch == self.options.epochs
        if not every or not is_new or (self._parts.number % every and not is_last):
            return
        place = f"epoch-{event.epoch:03d}"
        if self.options.epochs is None:
            place = f"step-{event.step:07d}"
        event.model.eval()
        with seeded(self.examples.x.device, self.options.seed), torch.no_grad():
            for name, image in self._pictures(event.model).items():
                save(image, self.folder / f"{name}-{place}.png")
                self.show(name, image, event.step)

    def _pictures(self, model: nn.Module) -> dict[str, "Image"]:
        """Return the pictures that a model can make, by name."""
        made = {}
        samples = sample_images(model, N_SAMPLES, self.shape, self.c)
        if samples is not None:
            made["samples"] = grid(samples.cpu())
        if is_latent(model):
            latent = as_latent(model)
            x = latent.as_event(self.examples.x)
            reconstructed = latent.reconstruct(x, self.examples.c)
            made["reconstructions"] = side_by_side(x.cpu(), reconstructed.cpu())
        return made


def sample_images(
    model: nn.Module, n_samples: int, shape: tuple[int, ...], c: Tensor | None = None
) -> Tensor | None:
    """Return images as pictures show them, with shape (n, *shape); None where none are generated.

    They are the means of p(x | z) for z from the prior, and draws of a model without z.

    Arguments:
        model: The model.
        n_samples: The number of images.
        shape: The shape of an image.
        c: Their conditions, with shape (n, C); None for an unconditional model.
    """
    if is_latent(model):
        model = as_latent(model)
        if c is not None:
            c = c.to(next(model.parameters()).device)
        if isinstance(model.prior, NoPrior):
            return None
        return model.sample(n_samples, c, mean=True).reshape(-1, *shape)
    if isinstance(model, DirectedModel):
        with suppress(ReparamError):
            return model.assemble(model.sample(n_samples), shape)
    return None
