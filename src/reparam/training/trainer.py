"""The training loop."""

from collections.abc import Sequence
from functools import partial
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
    ) -> None:
        if len(batches) == 0:
            raise DataError("the training split has no examples: give at least one")
        self.model, self.batches, self.options = recipe.model, batches, options
        self.callbacks, self.capture = callbacks, capture
        self.n_steps = options.epochs * len(batches)
        # Small data have short epochs, and every epoch should have a row.
        self.log_every = min(options.log_every, len(batches))
        examples = FirstEpoch(batches)
        self.step = Step(recipe, options, self.n_steps, runtime, examples, optimizer, scheduler)
        self.runtime = self.step.runtime
        self.state = TrainingState(self.step, options.seed)
        self.checkpointing = Checkpointing(checkpoints, options.checkpoint_every)
        self.validation = Validation(validation, options, self.state)
        self.monitor = Monitor(self.state, partial(self._send, "log"), self.checkpointing)
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
        progress, monitor = self.progress, self.monitor
        is_watched = self.step.keeps_terms
        self.state.seed_draws()
        self.model.train()
        monitor.resume()
        if self.captured is not None:
            self._take_captured(self.captured)
        for batch in self.batches.epoch(progress.epoch, start=progress.batch):
            scalars = self.step(batch)
            monitor.add(list(scalars), torch.stack(list(scalars.values()))[None], len(batch))
            if is_watched:
                self._send("step", batch=batch)
            is_inside = progress.batch < len(self.batches)
            if progress.step % self.log_every == 0:
                monitor.log()
                if is_inside and self.checkpointing.is_due:
                    self.save()
            if is_inside:
                if self._stops():
                    return
                self.state.seed_draws()
            monitor.resume()
        # A window may reach over several epochs, so that every row is a mean over as many steps.
        monitor.check()
        if progress.step == self.n_steps or self.captured is not None:
            monitor.log()
        row = self.validation.row()
        progress.epoch, progress.batch = progress.epoch + 1, 0
        self.validation.keep_best(row)
        self._send("epoch", row)
        if not self._stops() and self.checkpointing.is_due:
            self.save()

    def _take_captured(self, captured: CapturedStep) -> None:
        """Take the whole batches of an epoch that are left as a graph."""
        progress = self.progress
        names, values = captured.take(progress.epoch, progress.batch, self._requests)
        if len(values):
            self.monitor.add(names, values, self.options.batch_size)
            self.monitor.resume()
        if not captured.is_possible:
            self.captured = None

    @property
    def _is_done(self) -> bool:
        is_last = self.progress.epoch >= self.options.epochs
        return is_last or self.validation.stops or self._requests.ends_training

    def _stops(self) -> bool:
        """Return whether training ends here, with its last row and checkpoint written.

        Raises:
            Interrupted: A signal came, to this process or, at whole windows, to another.
        """
        progress = self.progress
        if self.runtime.world_size > 1 and progress.batch and progress.step % self.log_every:
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

    def _send(self, kind: Kind, row: Row | None = None, batch: Batch | None = None) -> None:
        """Send an event to the callbacks."""
        place, stop = (self.progress.epoch, self.progress.step), self._requests.from_callback
        terms = None if batch is None else self.step.terms
        event = Event(kind, *place, row or {}, self.step.current, batch, terms, stop)
        callbacks = every_step(self.callbacks) if kind == "step" else self.callbacks
        send(event, callbacks, self.runtime.device)
