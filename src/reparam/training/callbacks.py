"""Those who watch a run: a progress bar, a file of metrics, TensorBoard, pictures."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reparam.batch import Batch
from reparam.data.condition import conditions
from reparam.errors import ReparamError
from reparam.families import CrossEntropy
from reparam.models.directed import DirectedModel
from reparam.models.latent import as_latent, is_latent
from reparam.pictures import grid, save, side_by_side
from reparam.priors import NoPrior
from reparam.spec import DataSpec
from reparam.training.events import Callback, Event
from reparam.training.metrics import as_line, read_rows
from reparam.training.options import TrainingOptions
from reparam.utils.files import write_atomic, write_error
from reparam.utils.seeding import seeded
from reparam.utils.terminal import stderr, width

if TYPE_CHECKING:
    from PIL.Image import Image

N_PICTURED = 64


def progress_bar(stack: ExitStack, options: TrainingOptions, n_steps: int) -> Callback:
    """Return what shows a run on standard error: a live bar, or a line an epoch where it is piped.

    Arguments:
        stack: What closes the bar at the end, whatever happens.
        options: The options of the run.
        n_steps: The number of optimizer steps of the whole run.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=stderr(), width=width())
    if not console.is_terminal or console.is_dumb_terminal:
        return EpochLines(options)
    bar = Progress(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}{task.fields[validated]}"),
        TimeRemainingColumn(),
        console=console,
    )
    stack.enter_context(bar)
    task = bar.add_task("", total=n_steps, epoch=f"0/{options.epochs}", said="", validated="")

    def show(event: Event) -> None:
        label = f"{min(event.epoch + (event.kind == 'log'), options.epochs)}/{options.epochs}"
        bar.update(task, completed=event.step, epoch=label)
        if event.kind == "log":
            bar.update(task, said=_said(event.row))
        elif event.row:
            bar.update(task, validated=f"  validation {_score(event.model, event.row)}")

    return show


def _said(row: Mapping[str, Any]) -> str:
    parts = [f"loss {row['loss']:.2f}", f"reconstruction {row['reconstruction']:.2f}"]
    if "kl" in row:
        parts.append(f"KL {row['kl']:.2f}")
    return "  ".join([*parts, f"{row['images_per_second']:,.0f} images/s"])


def _score(model: nn.Module, row: Mapping[str, Any]) -> str:
    # The tutorials' loss on grey pixels is no likelihood, and its number comparable with no ELBO.
    kind = "cross-entropy " if any(isinstance(m, CrossEntropy) for m in model.modules()) else ""
    if "elbo" in row:
        return f"{kind}ELBO {row['elbo']:.2f}"
    return f"{kind}log-likelihood {row['reconstruction']:.2f}"


class EpochLines:
    """A line on standard error for every epoch, for where no bar can be drawn.

    Arguments:
        options: The options of the run.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self._options = options
        self._trained: Mapping[str, Any] = {}
        self._began = time.perf_counter()

    def __call__(self, event: Event) -> None:
        """Print what validation gave or, without one, what training did."""
        if event.kind == "start":
            self._began = time.perf_counter()
        if event.kind == "log":
            self._trained = event.row
        if event.kind != "epoch":
            return
        said = ""
        if event.row:
            said = f"  validation {_score(event.model, event.row)}"
        elif self._trained:
            said = f"  training {_score(event.model, self._trained)}"
        seconds = time.perf_counter() - self._began
        label = f"epoch {event.epoch:>3}/{self._options.epochs}"
        print(f"{label}{said}  ({seconds:.1f} s)", file=stderr(), flush=True)


def metrics_file(path: Path, warn: Callable[[str], None]) -> Callback:
    """Return what appends every row to a file of JSON lines; on resume later rows are dropped.

    Arguments:
        path: The file.
        warn: Told of rows that are damaged, which are dropped too.
    """

    def write(event: Event) -> None:
        try:
            if event.kind == "start":
                kept = [row for row in read_rows(path, warn) if row["step"] <= event.step]
                write_atomic(path, "".join(map(as_line, kept)))
            elif event.row:
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(as_line(event.row))
        except OSError as error:
            raise write_error(path, error) from error

    return write


class TensorBoard:
    """Scalars, and the pictures that are given to it, for TensorBoard.

    Arguments:
        folder: Where its event files go.
        stack: What closes them at the end, whatever happens.
        warn: Told where TensorBoard cannot write to the folder, since its name is not UTF-8.
    """

    def __init__(self, folder: Path, stack: ExitStack, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._stack = stack
        self._warn = warn
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        """Write the scalars of a row, each under its split."""
        if event.kind == "start":
            from torch.utils.tensorboard import SummaryWriter

            if not _is_utf8(self._folder):
                self._warn(
                    "nothing is written for TensorBoard, which cannot open a folder whose name is "
                    f"not UTF-8 in this locale: {self._folder}"
                )
                return
            # What a killed process wrote after the checkpoint is to be forgotten.
            with self._writing():
                self._writer = SummaryWriter(str(self._folder), purge_step=event.step + 1)
            self._stack.callback(self._close)
        for name, value in event.row.items() if self._writer is not None else ():
            if name not in ("split", "epoch", "step") and not isinstance(value, str):
                with self._writing():
                    self._writer.add_scalar(f"{name}/{event.row['split']}", value, event.step)

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


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def pictures(
    folder: Path,
    spec: DataSpec,
    examples: Batch,
    options: TrainingOptions,
    device: torch.device,
    show: Callable[[str, "Image", int], None],
) -> Callback:
    """Return what draws samples, and inputs beside their reconstructions, after every N epochs.

    The same latent draws and the same inputs every time, so that the pictures can be compared.

    Arguments:
        folder: Where the pictures go.
        spec: The shape of an image, and the condition of the model.
        examples: Inputs to reconstruct.
        options: The options of the run; N is ``pictures_every``.
        device: The device of the model.
        show: Told of every picture too: its name, the picture and the step.
    """

    def draw(event: Event) -> None:
        if event.kind != "epoch" or not options.pictures_every:
            return
        if event.epoch % options.pictures_every and event.epoch != options.epochs:
            return
        event.model.eval()
        with seeded(device, options.seed), torch.no_grad():
            for name, image in epoch_pictures(event.model, examples, spec).items():
                save(image, folder / f"{name}-epoch-{event.epoch:03d}.png")
                show(name, image, event.step)

    return draw


def epoch_pictures(model: nn.Module, examples: Batch, spec: DataSpec) -> dict[str, "Image"]:
    """Return the pictures that a model can make, by name."""
    made = {}
    samples = sample_images(model, N_PICTURED, spec)
    if samples is not None:
        made["samples"] = grid(samples.cpu())
    if is_latent(model):
        latent = as_latent(model)
        x = latent.as_event(examples.x)
        made["reconstructions"] = side_by_side(x.cpu(), latent.reconstruct(x, examples.c).cpu())
    return made


def sample_images(model: nn.Module, n_samples: int, spec: DataSpec) -> Tensor | None:
    """Return images as pictures show them, with shape (n, *shape); None where none are generated.

    They are the means of p(x | z), for z drawn from the prior, and draws where there is no z. Under
    a condition the classes come in turn.
    """
    shape = spec.shape
    if is_latent(model):
        model = as_latent(model)
        c = conditions(spec, n_samples)
        if c is not None:
            c = c.to(next(model.parameters()).device)
        if isinstance(model.prior, NoPrior):
            return None
        return model.sample(n_samples, c, mean=True).reshape(-1, *shape)
    if isinstance(model, DirectedModel):
        try:
            return model.assemble(model.sample(n_samples), shape)
        except ReparamError:
            return None
    return None
