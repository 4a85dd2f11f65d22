"""The one training loop."""

import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from reparam.batch import Batch, concatenated, for_module, in_chunks
from reparam.data.batches import Batches as ResidentBatches
from reparam.errors import (
    CheckpointError,
    DataError,
    Interrupted,
    NonFiniteError,
    ReparamError,
    RunError,
)
from reparam.objectives.bounds import value_at
from reparam.training.capture import CapturedStep
from reparam.training.checkpoint import (
    Checkpoint,
    flatten,
    load_weights,
    save_checkpoint,
    unflatten,
)
from reparam.training.events import Callback, Event
from reparam.training.optimizers import Optimizer
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime, lost_a_process
from reparam.training.signals import StopSignal
from reparam.training.step import Step
from reparam.utils.seeding import mixed_seed, reseed, rng_state, seeded, set_rng_state
from reparam.variants.recipe import Milestone, Recipe

OPTIMIZER_STATES = (("exp_avg", "exp_avg_sq", "step"), ("momentum_buffer",))
"""The names of what the optimizers remember of a parameter: Adam and Muon."""

_NON_FINITE = re.compile(r"\b(nan|inf|infs?|NaNs?|non-?finite|not finite)\b|found invalid values")
"""What torch says of numbers that are not finite."""


class Batches(Protocol):
    """Where batches come from; see ``data.batches``."""

    @property
    def n_examples(self) -> int:
        """The number of examples of an epoch."""
        ...

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Return the batches of an epoch, from number ``start`` on."""
        ...


@dataclass
class Progress:
    """Where a run stands: what a checkpoint holds beside tensors."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float = -inf
    epochs_since_best: int = 0

    def to_values(self) -> dict[str, Any]:
        """Return plain values; JSON has no infinity."""
        return {**vars(self), "best": self.best if isfinite(self.best) else None}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Progress":
        """Return what ``to_values`` wrote.

        Raises:
            CheckpointError: Values of other names or types, which only another program writes.
        """
        wrong = sorted({field.name for field in fields(cls)} ^ set(values))
        wrong += [
            name
            for name in ("epoch", "batch", "step", "epochs_since_best")
            if type(values.get(name)) is not int or values[name] < 0
        ]
        best = values.get("best")
        if not _is_finite(values.get("seconds")):
            wrong.append("seconds")
        if best is not None and not _is_finite(best):
            wrong.append("best")
        if wrong:
            raise CheckpointError(
                f"the checkpoint was not written by reparam: its value {wrong[0]!r} is missing, "
                "unknown, or of another kind; delete it to go on from the one before it"
            )
        return cls(**{**values, "best": -inf if best is None else best})


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # type: ignore[arg-type]


@dataclass
class Window:
    """The scalars of the steps since the last row of metrics, still on the device."""

    names: list[str] = field(default_factory=list)
    blocks: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, names: list[str], values: Tensor, size: int) -> None:
        """Remember the scalars of K steps, with shape (K, n), each of so many examples."""
        self.names = names
        self.blocks.append(values)
        self.sizes += [size] * len(values)

    def table(self) -> Tensor:
        """Return the values of all steps, one row for each; the only synchronization."""
        return torch.cat(self.blocks).double().cpu()


class Trainer:
    """Train a recipe on batches.

    Arguments:
        recipe: The model, its objective and its players; the model must be on the device.
        batches: The training split.
        options: How to train.
        runtime: Where to train.
        validation: The validation split, as one batch on the device.
        callbacks: Who is told of what happens.
        checkpoints: The folder of the checkpoints; None to keep none.
        capture: Whether to take steps as a graph does; None where there is a GPU, and the recipe
            allows it.

    Raises:
        DataError: There is nothing to train on.
    """

    def __init__(
        self,
        recipe: Recipe,
        batches: Batches,
        options: TrainingOptions,
        runtime: Runtime,
        *,
        validation: Batch | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoints: Path | None = None,
        capture: bool | None = None,
    ) -> None:
        if len(batches) == 0:
            raise DataError("the training split has no examples: give it some")
        if options.early_stopping and validation is None:
            raise DataError(
                f"early_stopping={options.early_stopping} needs a validation split: "
                "set --validation to a share of the training data"
            )
        self.model = recipe.model
        self.objective = recipe.objective
        self.batches = batches
        self.options = options
        self.runtime = runtime
        self.validation = validation
        self.callbacks = callbacks
        self.checkpoints = checkpoints
        self.config_sha256: str | None = None
        self.progress = Progress()
        self.n_steps = options.epochs * len(batches)
        # Small data have short epochs, and every epoch deserves its row.
        self.log_every = min(options.log_every, len(batches))
        self.step = Step(recipe, options, runtime, self.n_steps)
        self.annealed: list[Any] = [m for m in self.model.modules() if hasattr(m, "anneal")]
        self.milestones: dict[int, list[Milestone]] = {}
        for milestone in recipe.milestones:
            # A share just below one is still before the last step, however few there are.
            at = min(round(milestone.at * self.n_steps), self.n_steps - 1)
            self.milestones.setdefault(at, []).append(milestone)
        self.captured = self._captured(capture)
        self._best: dict[str, Tensor] = {}
        self._window = Window()
        self._saved_at = time.perf_counter()

    @property
    def current(self) -> nn.Module:
        """The model as it would be used now: the average of the weights where there is one."""
        return self.model if self.step.average is None else self.step.average.module

    def fit(self) -> nn.Module:
        """Train from where ``progress`` stands to the end, and return the model.

        Raises:
            NonFiniteError: A loss became infinite or not a number.
            Interrupted: Ctrl-C or SIGTERM came; a checkpoint was written.
        """
        began = time.perf_counter() - self.progress.seconds
        self._tell("start", {})
        with StopSignal() as stop:
            if self.progress.step == 0:
                # The weights that a run begins with may come from anywhere: they are a part of it.
                self.save()
            while not self._is_done:
                with self._explained():
                    self._train_epoch(stop, began)
        if self._best:
            self.current.load_state_dict(self._best)
        if self.step.average is not None:
            self.model.load_state_dict(self.step.average.module.state_dict())
        self.model.eval()
        self._tell("end", {})
        return self.model

    def _train_epoch(self, stop: StopSignal, began: float) -> None:
        progress = self.progress
        self._seed_draws()
        self.model.train()
        self._take_captured(stop, began)
        resumed = time.perf_counter()
        for batch in self.batches.epoch(progress.epoch, start=progress.batch):
            self._step(batch)
            self._after(1, began, resumed)
            is_inside = progress.batch < len(self.batches)
            if progress.step % self.log_every == 0:
                self._log()
                if is_inside:
                    self._save_now_and_then()
            if is_inside:
                self._stop_if_asked(stop)
                self._seed_draws()
            resumed = time.perf_counter()
        # A window may reach over several epochs, so that every row is a mean over as many steps.
        self._check()
        if progress.step == self.n_steps or self.captured is not None:
            self._log()
        row = self._validate()
        progress.epoch += 1
        progress.batch = 0
        self._keep_best(row)
        self._tell("epoch", row)
        if self._is_done:
            self._log()
            # The last state stays beside the weights, should those be damaged some day.
            self.save()
            return
        self._save_now_and_then()
        self._stop_if_asked(stop)

    def _seed_draws(self) -> None:
        """Let all further draws follow from the seed and the place in the run alone.

        Several processes do so before every step, since a checkpoint holds the random state of one
        of them; a single one, whose state is stored, once an epoch.
        """
        progress, runtime = self.progress, self.runtime
        place = (progress.epoch, runtime.rank)
        if runtime.world_size > 1:
            reseed(runtime.device, mixed_seed(self.options.seed, *place, progress.step))
        elif progress.batch == 0:
            reseed(runtime.device, mixed_seed(self.options.seed, *place))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what is wrong where an error of torch's is but its consequence.

        Numbers that are not finite are refused by a distribution, a decomposition or a quantile
        before the loss is looked at; and a process that is gone lets those fail that wait for it.
        """
        try:
            yield
        except ReparamError:
            raise
        except (RuntimeError, ValueError, ArithmeticError) as error:
            if lost_a_process(self.runtime, error):
                raise RunError(f"another process of this run has ended; {self._way_on}") from error
            # Another process cannot be asked: it may be waiting within the step that failed.
            table = self._window.table() if self._window.blocks else torch.empty(0)
            self._require_finite(table, error)
            self._require_finite_weights(error)
            if _NON_FINITE.search(str(error)):
                raise NonFiniteError(
                    f"the loss is not finite at step {self.progress.step} (epoch "
                    f"{self.progress.epoch + 1}): {likely_cause({}, self._lr, self.progress.step)};"
                    f" {self._kept}"
                ) from error
            raise

    def _stop_if_asked(self, stop: StopSignal) -> None:
        """Save and leave where a signal came, to this process or, at whole windows, to another."""
        number = stop.received or 0
        if self.runtime.world_size > 1:
            if self.progress.batch and self.progress.step % self.log_every:
                return
            # All processes must leave at the same step, since each waits for the others in a step.
            asked = self.runtime.mean(torch.tensor([float(number > 0)]))
            number = number or (signal.SIGTERM if asked > 0 else 0)
        if number:
            self._log()
            raise self._interrupted(number)

    def _after(self, n_steps: int, began: float, resumed: float) -> None:
        """Count steps, and the time that they took."""
        progress = self.progress
        progress.batch += n_steps
        progress.step += n_steps
        now = time.perf_counter()
        progress.seconds = now - began
        self._window.seconds += now - resumed

    def _captured(self, capture: bool | None) -> CapturedStep | None:
        """Return what takes whole batches as a graph does, where there can be one."""
        asked = self.runtime.device.type == "cuda" if capture is None else capture
        # What changes with the step on the host is no part of a graph.
        if not asked or self.annealed or self.runtime.world_size > 1:
            return None
        if not isinstance(self.batches, ResidentBatches) or not self.batches.is_plain:
            return None
        return CapturedStep(self.step, self.batches, self.n_steps)

    def _take_captured(self, stop: StopSignal, began: float) -> None:
        """Take the whole batches of an epoch that are left, without a look at what they give."""
        captured, progress = self.captured, self.progress
        if captured is None:
            return
        self._reach_milestones()
        # A milestone may put other tensors in the place of those that a graph knows.
        if any(at >= progress.step for at in self.milestones):
            return
        resumed, start = time.perf_counter(), progress.batch
        captured.begin(progress.epoch, start, progress.step)
        taken = 0
        while start + taken < captured.n_whole and captured.is_possible and not stop.received:
            captured()
            taken += 1
        if taken:
            names, values = captured.rows(start, start + taken)
            self._begin_block(names)
            self._window.add(names, values, self.options.batch_size)
            self._after(taken, began, resumed)
        if not captured.is_possible:
            self.captured = None
        if stop.received and progress.batch < len(self.batches):
            self._stop_if_asked(stop)

    def _step(self, batch: Batch) -> None:
        """Take one step."""
        step = self.progress.step
        share = step / self.n_steps
        for module in self.annealed:
            module.anneal(share)
        self._reach_milestones()
        for turn in self.step.turns:
            turn.set_lr(turn.lr(step))
        scalars = self.step(replace(batch, step=step, progress=share))
        names = list(scalars)
        self._begin_block(names)
        self._window.add(names, torch.stack(list(scalars.values()))[None], len(batch))

    def _begin_block(self, names: list[str]) -> None:
        """Write a row first where an objective of phases has begun another, with other terms."""
        if self._window.names and self._window.names != names:
            self._log()

    def _reach_milestones(self) -> None:
        """Do, once, what is to be done before the next step."""
        for milestone in self.milestones.pop(self.progress.step, ()):
            self._reach(milestone)

    def _reach(self, milestone: Milestone) -> None:
        """Do what a milestone says; the run's own draws go on as if nothing had been drawn."""
        self.model.eval()
        with seeded(self.runtime.device, self.options.seed), torch.no_grad():
            milestone.action(self.model, self._examples(milestone.n_examples))
        self.model.train()
        if self.step.average is not None:
            self.step.average.module.load_state_dict(self.model.state_dict())

    def _examples(self, n: int) -> Batch:
        """Return training examples as the first epoch has them."""
        batches: list[Batch] = []
        for batch in self.batches.epoch(0):
            batches.append(batch)
            if sum(map(len, batches)) >= n:
                break
        return concatenated(batches, n)

    def _log(self) -> None:
        """Write a row of the means over the window, once they are seen to be finite."""
        window = self._window
        if not window.blocks:
            return
        names, values = self._check()
        sizes = torch.tensor(window.sizes, dtype=values.dtype)
        means = self.runtime.mean((values * sizes[:, None]).sum(0) / sizes.sum())
        row: dict[str, float | int | str] = {"split": "train", "epoch": self.progress.epoch}
        row |= {"step": self.progress.step, **dict(zip(names, means.tolist(), strict=True))}
        row["lr"] = self.step.turns[0].lr(self.progress.step - 1)
        if hasattr(self.objective, "beta"):
            row["beta"] = value_at(self.objective.beta, self.progress.step - 1)
        row["images_per_second"] = (
            self.runtime.world_size * sum(window.sizes) / max(window.seconds, 1e-9)
        )
        row["seconds"] = self.progress.seconds
        self._window = Window()
        self._tell("log", row)

    def _check(self) -> tuple[list[str], Tensor]:
        """Return the window's table, once its values are seen to be finite."""
        if not self._window.blocks:
            return [], torch.empty(0)
        names, values = self._window.names, self._window.table()
        is_bad = not bool(values.isfinite().all())
        is_bad_somewhere = bool(self.runtime.mean(torch.tensor([float(is_bad)])) > 0)
        self._require_finite(values)
        if is_bad_somewhere:
            raise NonFiniteError("the loss is not finite in another process, which says where")
        return names, values

    def _require_finite(self, values: Tensor, cause: Exception | None = None) -> None:
        """Refuse a window's table with values that are not finite."""
        bad = (~values.isfinite()).flatten(1).any(1).nonzero() if len(values) else values
        if len(bad) == 0:
            return
        index = int(bad[0])
        step = self.progress.step - len(values) + index
        terms = dict(zip(self._window.names, values[index].tolist(), strict=True))
        said = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        raise NonFiniteError(
            f"the loss is not finite at step {step} (epoch {self.progress.epoch + 1}): {said}; "
            f"{likely_cause(terms, self._lr, step)}; {self._kept}"
        ) from cause

    @property
    def _lr(self) -> float:
        """The highest learning rate."""
        return self.step.turns[0].lr.peak

    def _require_finite_weights(self, cause: Exception | None = None) -> None:
        """Refuse weights that a gradient has ruined, while the losses were still finite."""
        for name, parameter in self.model.named_parameters():
            if not parameter.isfinite().all():
                raise NonFiniteError(
                    f"the weights of {name} are not finite after step {self.progress.step}, though "
                    "the loss was: a gradient overflowed; lower the learning rate "
                    f"(--lr {self._lr / 10:g}); {self._kept}"
                ) from cause

    @property
    def _kept(self) -> str:
        if self.checkpoints is not None and any(self.checkpoints.glob("step-*.json")):
            return f"the last good checkpoint is in {self.checkpoints}"
        return "no checkpoint was written yet"

    def _validate(self) -> dict[str, float | int | str]:
        """Return the objective's terms on the validation split, with the same draws every epoch."""
        if self.validation is None:
            return {}
        row: dict[str, float | int | str] = {"split": "validation", "epoch": self.progress.epoch}
        row |= {"step": self.progress.step, "seconds": self.progress.seconds}
        model, whole = self.current, self.validation
        model.eval()
        totals: dict[str, Tensor] = {}
        with seeded(self.runtime.device, self.options.seed), torch.no_grad():
            for batch in in_chunks(whole, max(self.options.batch_size, 500)):
                scalars = self.objective(model, for_module(batch, model)).scalars()
                for name, value in scalars.items():
                    totals[name] = totals.get(name, 0.0) + value * (len(batch) / len(whole))
        return row | {name: float(value) for name, value in totals.items()}

    def _keep_best(self, row: Mapping[str, float | int | str]) -> None:
        if not self.options.early_stopping:
            return
        score = float(row["elbo"] if "elbo" in row else row["reconstruction"])
        self.progress.epochs_since_best += 1
        if score > self.progress.best:
            self.progress.best, self.progress.epochs_since_best = score, 0
            state = self.current.state_dict()
            self._best = {name: tensor.detach().clone() for name, tensor in state.items()}

    @property
    def _is_done(self) -> bool:
        patience = self.options.early_stopping
        out_of_patience = patience > 0 and self.progress.epochs_since_best >= patience
        return self.progress.epoch >= self.options.epochs or out_of_patience

    @property
    def stopped_early(self) -> str:
        """What early stopping did, in words; empty where it did nothing."""
        progress = self.progress
        if not progress.epochs_since_best or not self.options.early_stopping:
            return ""
        best = progress.epoch - progress.epochs_since_best
        return (
            f"stopped after epoch {progress.epoch}; the weights of epoch {best} are kept, the best "
            f"with {progress.best:.2f} nats on the validation split"
        )

    def _tell(self, kind: Any, row: Mapping[str, float | int | str]) -> None:
        event = Event(kind, self.progress.epoch, self.progress.step, row, self.current)
        # Who watches may draw and evaluate as it likes: the run goes on as if nobody had looked.
        random, is_training = rng_state(self.runtime.device), self.model.training
        for callback in self.callbacks:
            callback(event)
        set_rng_state(random, self.runtime.device)
        self.model.train(is_training)

    def _interrupted(self, number: int) -> Interrupted:
        place = f"epoch {self.progress.epoch + 1}, step {self.progress.step}"
        if self.checkpoints is None:
            return Interrupted(f"stopped at {place}; {self._way_on}", number)
        self.save()
        return Interrupted(f"stopped at {place} and saved; {self._way_on}", number)

    @property
    def _way_on(self) -> str:
        """What to type to go on with a run that was cut short."""
        if self.checkpoints is None:
            return "nothing was saved, since no out was given"
        return f"go on with: reparam train --resume {self.checkpoints.parent}"

    def _save_now_and_then(self) -> None:
        if time.perf_counter() - self._saved_at >= self.options.checkpoint_every:
            self.save()
            self._saved_at = time.perf_counter()

    def save(self) -> None:
        """Write a checkpoint, where the run keeps them.

        Raises:
            NonFiniteError: The weights are not finite, and so not worth keeping.
        """
        self._require_finite_weights()
        if self.checkpoints is None or self.runtime.rank != 0:
            return
        tensors = flatten("model", self.model.state_dict())
        tensors |= flatten("rng", rng_state(self.runtime.device))
        tensors |= flatten("best", self._best)
        if self.step.average is not None:
            tensors |= flatten("average", self.step.average.state_dict())
        for index, optimizer in self._optimizers():
            for number, state in optimizer.state_dict()["state"].items():
                tensors |= flatten(f"optimizer.{index}.{number}", state)
        checkpoint = Checkpoint(
            self.progress.step, tensors, self.progress.to_values(), self.config_sha256
        )
        save_checkpoint(self.checkpoints, checkpoint)

    def _optimizers(self) -> Iterator[tuple[int, Optimizer]]:
        """Yield all optimizers, numbered."""
        yield from enumerate(o for turn in self.step.turns for o in turn.optimizers)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Bring everything back to where a checkpoint was written.

        Raises:
            CheckpointError: It is one of another model, or was not written by this loop.
        """
        progress = Progress.from_values(checkpoint.values)
        # A loader alone knows how many batches it gives in an epoch.
        counts = isinstance(self.batches, ResidentBatches)
        at = progress.epoch * len(self.batches) + progress.batch if counts else progress.step
        if not progress.step == checkpoint.step == at:
            raise CheckpointError(
                f"the checkpoint after step {checkpoint.step} says that it is of step "
                f"{progress.step}, batch {progress.batch} of epoch {progress.epoch}, which do not "
                "go together: delete it to go on from the one before it"
            )
        tensors = checkpoint.tensors
        load_weights(self.model, unflatten("model", tensors), "the checkpoint")
        try:
            self._restore(tensors, progress)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            said = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"the checkpoint after step {checkpoint.step} is not one of this run ({said}): "
                "delete it to go on from the one before it"
            ) from error
        self.progress = progress
        if self.runtime.rank:
            # The stored random numbers are those of the first process: others need their own.
            place = (self.progress.epoch, self.runtime.rank, self.progress.step)
            reseed(self.runtime.device, mixed_seed(self.options.seed, *place))

    def _restore(self, tensors: Mapping[str, Tensor], progress: Progress) -> None:
        """Take up all tensors but the weights; what does not fit raises an error of Python."""
        best = unflatten("best", tensors)
        if best:
            require_like(best, self.current.state_dict())
        self._best = best
        if self.step.average is not None:
            self.step.average.load_state_dict(unflatten("average", tensors))
        moved = 0
        for index, optimizer in self._optimizers():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            states: dict[int, dict[str, Tensor]] = {}
            for name, tensor in unflatten(f"optimizer.{index}", tensors).items():
                number, key = name.split(".", 1)
                if tensor.shape not in (parameters[int(number)].shape, torch.Size()):
                    raise ValueError(f"{name} of the optimizer has another shape than its weight")
                states.setdefault(int(number), {})[key] = tensor
            if any(tuple(sorted(state)) not in OPTIMIZER_STATES for state in states.values()):
                raise ValueError("the state of an optimizer has other names")
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": states, "param_groups": groups})
            moved += len(states)
        if progress.step and not moved:
            raise ValueError("it has no state of the optimizer")
        set_rng_state(unflatten("rng", tensors), self.runtime.device)


def require_like(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors that have not the names and the shapes of others.

    >>> require_like({"weight": torch.zeros(2)}, {"weight": torch.zeros(3)})
    Traceback (most recent call last):
    ValueError: the tensors have other names or shapes
    """
    if {k: t.shape for k, t in found.items()} != {k: t.shape for k, t in expected.items()}:
        raise ValueError("the tensors have other names or shapes")


def likely_cause(terms: Mapping[str, float], lr: float, step: int) -> str:
    """Return, in words, why a loss is not finite, and what to change.

    >>> likely_cause({"reconstruction": -100.0, "kl": float("inf")}, 1.0, step=9)
    'the KL overflowed, so a posterior scale ran away: lower the learning rate (--lr 0.1)'
    """
    if step == 0 and not isfinite(terms.get("loss", inf)):
        return (
            "no weight was changed yet, so the data are too large for networks that expect values "
            "around one: standardize them, (x - mean) / standard deviation"
        )
    lower = f"lower the learning rate (--lr {lr / 10:g})"
    if not isfinite(terms.get("reconstruction", 0.0)) and isfinite(terms.get("kl", 0.0)):
        return (
            "the reconstruction is not finite while the KL is: the decoder's scale collapsed or "
            f"its output overflowed; {lower}, or use --likelihood gaussian-shared for real data"
        )
    if terms.get("kl", 0.0) == inf:
        return f"the KL overflowed, so a posterior scale ran away: {lower}"
    return f"the weights themselves are no longer finite: {lower}"
