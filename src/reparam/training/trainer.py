"""The training loop."""

from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path

import torch
from torch import nn

from reparam.batch import Batch
from reparam.errors import DataError, Interrupted
from reparam.objectives.recipe import Recipe
from reparam.training.batches import Batches, FirstEpoch
from reparam.training.capture import CapturedStep, captured_step
from reparam.training.checkpoint import Checkpoint
from reparam.training.events import Event, EventHandler, Kind, every_step, send
from reparam.training.length import Length, length_of
from reparam.training.monitor import Monitor, Row
from reparam.training.optimizers import OptimizerFactory, SchedulerFactory
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime
from reparam.training.signals import StopRequests
from reparam.training.state import Checkpointing, Progress, TrainingState
from reparam.training.step import Step
from reparam.training.validation import Validation


class Trainer:
    """Train a recipe on batches.

    Arguments:
        recipe: The model, its objective and its players; the model must be on the device.
        batches: The training split.
        options: The options of training.
        runtime: The device and the precision; float32 on the device of the model when None.
        validation: The validation split, as one batch on the device.
        callbacks: Functions of an ``Event``, or objects of a subclass of ``Callback``.
        checkpoints: The folder of the checkpoints; None to write none.
        capture: Whether to take steps as one CUDA graph, where the recipe allows it; on a GPU when
            None.
        optimizer: A function from parameters to their optimizer; see ``Step``.
        scheduler: A function from an optimizer to its scheduler; see ``Step``.
        length: The number of steps; that of the options when None.
        chooses_length: Whether training ends after a quarter of all steps without a better loss on
            the validation split, with the best weights. The initial weights are a candidate.

    Raises:
        DataError: No training examples, or early stopping without a validation split.
        OptionError: See ``Step``.

    Example:
        >>> from reparam import data, variants
        >>> ones = data.from_arrays(torch.ones(64, 4))
        >>> batches = data.Batches(ones.split("train"), ones.transform, batch_size=16)
        >>> trainer = Trainer(variants.vae(ones.spec), batches, TrainingOptions(epochs=2),
        ...                   optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
        >>> model = trainer.fit()
        >>> trainer.progress.step
        8
    """

    def __init__(
        self,
        recipe: Recipe,
        batches: Batches,
        options: TrainingOptions,
        runtime: Runtime | None = None,
        *,
        validation: Batch | None = None,
        callbacks: Sequence[EventHandler] = (),
        checkpoints: Path | None = None,
        capture: bool | None = None,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        length: Length | None = None,
        chooses_length: bool = False,
    ) -> None:
        if len(batches) == 0:
            raise DataError("the training split has no examples: give at least one")
        self.model, self.batches, self.options = recipe.model, batches, options
        self.callbacks, self.capture = callbacks, capture
        if length is None:
            n_validated = 0 if validation is None or chooses_length else len(validation)
            n_weights = sum(p.numel() for p in recipe.model.parameters())
            length = length_of(options, len(batches), n_validated, n_weights)
        self.length = length
        # Small data have short epochs, and every validation should have a row of training.
        self.log_every = min(options.log_every, self.length.every or len(batches))
        self.step = Step(
            recipe,
            options,
            self.length.steps,
            runtime,
            FirstEpoch(batches),
            optimizer,
            scheduler,
            steps_per_epoch=len(batches),
            clock=None if self.length.seconds is None else self._share_of_time,
        )
        self.runtime = self.step.runtime
        self.state = TrainingState(self.step, options.seed)
        self.checkpointing = Checkpointing(checkpoints, options.checkpoint_every)
        self.validation = Validation(validation, self.state, length if chooses_length else None)
        is_clock = self.length.seconds is not None
        send_row = partial(self._send, "log")
        self.monitor = Monitor(self.state, send_row, self.checkpointing, is_clock)
        self._requests = StopRequests()

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self.state.progress

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: see ``TrainingState.load``."""
        self.state.load(checkpoint, len(self.batches) if self.batches.has_exact_length else None)

    def save(self) -> None:
        """Write a checkpoint, if the run keeps them.

        Raises:
            NonFiniteError: A weight is not finite.
        """
        self.monitor.require_finite_weights()
        self.checkpointing.save(self.state)

    def fit(self) -> nn.Module:
        """Train from the current progress to the end, and return the model.

        Raises:
            NonFiniteError: A loss or a weight became infinite or NaN.
            Interrupted: Ctrl-C or SIGTERM came; a checkpoint was written.
        """
        self.captured = captured_step(self.step, self.batches, self.callbacks, self.capture)
        self.step.keeps_terms = bool(every_step(self.callbacks))
        self.monitor.start()
        with self._requests:
            self._send("start")
            if self.progress.step == 0:
                # The first weights may come from anywhere: they are a part of the run.
                self.save()
                with self.monitor.diagnosis():
                    self.step.begin()
                    if self.validation.patience.steps:
                        self.validation.keep_best(self.validation.row())
            with self.monitor.diagnosis():
                self._requests.agreed(self.runtime)  # a callback may have stopped the run already
            while not self._is_done:
                with self.monitor.diagnosis():
                    self._train_epoch()
        if self.state.best:
            self.step.current.load_state_dict(self.state.best)
        if self.step.average is not None:
            self.model.load_state_dict(self.step.average.module.state_dict())
        self.model.eval()
        self._send("end")
        return self.model

    def _train_epoch(self) -> None:
        """Train to the end of the current epoch, or to the end of the training within it."""
        progress, monitor = self.progress, self.monitor
        is_watched = self.step.keeps_terms
        self.state.seed_draws()
        monitor.resume()
        while self.captured is not None and self._take_captured(self.captured):
            if progress.batch < len(self.batches) and self._ends(is_inside=True):
                return
        for batch in self.batches.epoch(progress.epoch, start=progress.batch):
            scalars = self.step(batch)
            monitor.add(list(scalars), torch.stack(list(scalars.values()))[None], len(batch))
            if is_watched:
                self._send("step", batch=batch)
            if progress.step % self.log_every == 0:
                monitor.log()
            if progress.batch < len(self.batches) and self._ends(is_inside=True):
                return
            monitor.resume()
        self._ends(is_inside=False)

    def _take_captured(self, captured: CapturedStep) -> bool:
        """Take whole batches as a graph, up to the next validation, and return whether there are.

        The other batches of the epoch are taken without a graph.
        """
        progress, every = self.progress, self.length.every
        most = self.length.last - progress.step
        if every is not None:
            most = min(most, every - progress.step % every)
        self.model.train()
        names, values = captured.take(progress.epoch, progress.batch, self._requests, most)
        if len(values):
            self.monitor.add(names, values, captured.batches.size)
            self.monitor.resume()
        if not captured.is_possible:
            self.captured = None
        return len(values) > 0

    def _ends(self, *, is_inside: bool) -> bool:
        """Do the work after a step or an epoch, and return whether the training ends here.

        Arguments:
            is_inside: Whether the epoch goes on.

        Raises:
            Interrupted: A signal came.
        """
        progress, every = self.progress, self.length.every
        is_validated = not is_inside if every is None else progress.step % every == 0
        is_last = self._is_complete
        row: Row = {}
        if is_validated or is_last:
            # A window may reach over several epochs, so that every row is a mean over as many
            # steps.
            self.monitor.check()
            if progress.step >= self.length.last or is_last or self.captured is not None:
                self.monitor.log()
            row = self.validation.row()
        if not is_inside:
            progress.epoch, progress.batch = progress.epoch + 1, 0
        if is_validated or is_last:
            if row:
                self.validation.keep_best(row)
            self._send("epoch", row)
        if self._stops():
            return True
        # Within an epoch a checkpoint follows a row of metrics.
        if (not is_inside or progress.step % self.log_every == 0) and self.checkpointing.is_due:
            self.save()
        if is_inside:
            self.state.seed_draws()
        return False

    @property
    def _is_complete(self) -> bool:
        """Whether the run has its full length."""
        length, progress = self.length, self.progress
        if length.epochs is not None:
            return progress.epoch >= length.epochs  # a loader may yield fewer batches
        if length.seconds is not None:
            return progress.seconds >= length.seconds
        return progress.step >= length.last

    @property
    def _is_done(self) -> bool:
        return self._is_complete or self.validation.stops or self._requests.ends_training

    def _stops(self) -> bool:
        """Return whether training ends here, with its last row and checkpoint written.

        Raises:
            Interrupted: A signal came, to this process or, at whole windows, to another.
        """
        progress, is_done = self.progress, self._is_done
        is_window = progress.batch == 0 or progress.step % self.log_every == 0
        if self.runtime.world_size > 1 and not is_window and not is_done:
            return False
        number = self._requests.agreed(self.runtime)
        if not self._is_done and not number:
            return False
        self.monitor.log()
        # After the last step, too: the checkpoint can replace weights that are damaged later.
        self.save()
        if self._is_done:
            return True
        saved = "" if self.checkpointing.folder is None else " and saved"
        place = f"epoch {progress.epoch + 1}, step {progress.step}"
        raise Interrupted(f"stopped at {place}{saved}; {self.checkpointing.advice()}", number)

    def _share_of_time(self) -> float:
        """Return the share of the time of the run that has passed at the end of the last step."""
        return self.progress.seconds / (self.length.seconds or inf)

    def _send(self, kind: Kind, row: Row | None = None, batch: Batch | None = None) -> None:
        """Send an event to the callbacks."""
        place, stop = (self.progress.epoch, self.progress.step), self._requests.from_callback
        terms = None if batch is None else self.step.terms
        event = Event(kind, *place, row or {}, self.step.current, batch, terms, stop)
        callbacks = every_step(self.callbacks) if kind == "step" else self.callbacks
        send(event, callbacks, self.runtime.device)
