"""The state of a training run: everything that a checkpoint holds, and its exact restoration.

A checkpoint holds tensors and plain values. The tensors are the weights (``model``), the moving
average (``average``), the best weights of early stopping (``best``), the random state (``rng``) and
the tensors of the optimizers (``optimizer.i``). The plain values are the progress and, for
optimizers and schedulers of the user's own, the rest of their states.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from reparam.errors import CheckpointError, OptionError
from reparam.training.checkpoint import (
    Checkpoint,
    flatten,
    load_weights,
    save_checkpoint,
    unflatten,
)
from reparam.training.optimizers import Optimizer
from reparam.training.step import Step
from reparam.utils.arguments import as_declared, as_float
from reparam.utils.seeding import mixed_seed, reseed, rng_state, set_rng_state

OPTIMIZER_STATES = (("exp_avg", "exp_avg_sq", "step"), ("momentum_buffer",))
"""The names in the state of a parameter, sorted: of Adam and of Muon."""

SCORES = ("best", "trained")
"""The values of a checkpoint that are scores, and may be infinite."""

OWN = ("optimizers", "schedulers")
"""The values of a checkpoint that hold states of the user's optimizers and schedulers."""

_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "Counter": lambda pairs: Counter(dict(pairs)),
}


@dataclass
class Progress:
    """How far a run has come.

    Arguments:
        epoch: The number of completed epochs.
        batch: The number of batches taken in the current epoch.
        step: The number of optimizer steps taken.
        seconds: The time that they took.
        best: The best validation score, in nats per example; -inf before the first.
        epochs_since_best: The number of validations since then.
        best_step: The number of steps before the best score.
        position: The place of the last step in the schedules.
        trained: The best score after the first step.
        trained_step: The number of steps before that score.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float = -inf
    epochs_since_best: int = 0
    best_step: int = 0
    position: float = 0.0
    trained: float = -inf
    trained_step: int = 0

    def to_values(self) -> dict[str, Any]:
        """Return plain values; JSON has no infinity."""
        scores = {name: vars(self)[name] for name in SCORES}
        return {**vars(self), **{k: v if isfinite(v) else None for k, v in scores.items()}}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Progress":
        """Return the progress among the values of a checkpoint.

        Raises:
            CheckpointError: Values of other names or types, which only another program writes.
        """
        kinds = get_type_hints(cls)
        # Older checkpoints do not have the last values, and no clock moved their schedules.
        added: dict[str, Any] = {"best_step": 0, "position": values.get("step")}
        added |= {"trained": values.get("best"), "trained_step": values.get("best_step", 0)}
        found = added | {name: value for name, value in values.items() if name not in OWN}
        wrong = sorted(kinds.keys() ^ found.keys())
        try:
            if wrong:
                raise OptionError(f"the value {wrong[0]!r} is missing or unknown")
            scores = {name: found.pop(name) for name in SCORES}
            found = {
                name: as_declared(name, value, kinds[name], 0) for name, value in found.items()
            }
            for name, score in scores.items():
                found[name] = -inf if score is None else as_float(name, score)
            progress = cls(**found)
        except OptionError as error:
            raise CheckpointError(
                f"the checkpoint was not written by reparam: {error}; delete it to go on from the "
                "one before it"
            ) from error
        if "position" not in values:
            progress.position = max(progress.step - 1, 0)
        return progress


@dataclass
class Checkpointing:
    """Where and how often a run is saved.

    Arguments:
        folder: The folder of the checkpoints; None to write none.
        every: The least number of seconds between two checkpoints within the training.
        config_sha256: The checksum of the configuration of the run.
        how_to_resume: One clause on how to go on with a run that was interrupted, for messages.
    """

    folder: Path | None = None
    every: float = 0.0
    config_sha256: str | None = None
    how_to_resume: str = ""
    _saved_at: float = field(default_factory=time.perf_counter)

    def save(self, state: "TrainingState") -> None:
        """Write a checkpoint, in the first process of a run that keeps them."""
        self._saved_at = time.perf_counter()
        if self.folder is not None and state.step.runtime.rank == 0:
            save_checkpoint(self.folder, state.to_checkpoint(self.config_sha256))

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough for the next one."""
        return time.perf_counter() - self._saved_at >= self.every

    def what_is_kept(self) -> str:
        """Return one clause on the last checkpoint."""
        if self.folder is not None and any(self.folder.glob("step-*.json")):
            return f"the last good checkpoint is in {self.folder}"
        return "no checkpoint was written yet"

    def advice(self) -> str:
        """Return one clause on how to go on."""
        if self.how_to_resume or self.folder is None:
            return self.how_to_resume or "nothing was saved, since checkpoints=None"
        return f"go on from the newest checkpoint in {self.folder}"


class TrainingState:
    """Everything that changes while a model trains.

    Arguments:
        step: The step, with the model, the average and the optimizers.
        seed: The seed of the run.
    """

    def __init__(self, step: Step, seed: int) -> None:
        self.step, self.seed = step, seed
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        """The weights with the best validation score; empty without early stopping."""

    def seed_draws(self) -> None:
        """Seed all further draws by the seed and the place in the run alone.

        Several processes do so before every step, since a checkpoint holds the random state of one
        of them. A single one, whose state is stored, does so once an epoch.
        """
        runtime, progress = self.step.runtime, self.progress
        place = [progress.epoch, runtime.rank]
        if runtime.world_size > 1:
            place.append(progress.step)
        if runtime.world_size > 1 or progress.batch == 0:
            reseed(runtime.device, mixed_seed(self.seed, *place))

    def to_checkpoint(self, config_sha256: str | None = None) -> Checkpoint:
        """Return the state as a checkpoint.

        Arguments:
            config_sha256: The checksum of the configuration of the run.

        Raises:
            OptionError: The user's optimizer or scheduler has a state that JSON cannot hold.
        """
        step = self.step
        tensors = flatten("model", step.model.state_dict())
        tensors |= flatten("rng", rng_state(step.runtime.device))
        tensors |= flatten("best", self.best)
        if step.average is not None:
            tensors |= flatten("average", step.average.state_dict())
        values = self.progress.to_values()
        for kind, each in _own(step).items():
            values[kind] = [
                [type(one).__name__, packed(f"{kind}.{i}", one.state_dict(), tensors)]
                for i, one in enumerate(each)
            ]
        for index, optimizer in _named(step):
            for number, state in optimizer.state_dict()["state"].items():
                tensors |= flatten(f"optimizer.{index}.{number}", state)
        return Checkpoint(self.progress.step, tensors, values, config_sha256)

    def load(self, checkpoint: Checkpoint, batches_per_epoch: int | None) -> None:
        """Restore the state that a checkpoint holds.

        Arguments:
            checkpoint: The checkpoint.
            batches_per_epoch: The number of batches of every epoch; None where it may vary.

        Raises:
            CheckpointError: It is one of another model or of other optimizers, or was not written
                by this program.
        """
        progress = Progress.from_values(checkpoint.values)
        load_weights(self.step.model, unflatten("model", checkpoint.tensors), "the checkpoint")
        expected = progress.step
        if batches_per_epoch is not None:
            expected = progress.epoch * batches_per_epoch + progress.batch
        try:
            if not progress.step == checkpoint.step == expected:
                raise ValueError(
                    f"it records step {progress.step}, batch {progress.batch} of epoch "
                    f"{progress.epoch}"
                )
            self._load(checkpoint)
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"the checkpoint after step {checkpoint.step} is not one of this run ({reason}): "
                "delete it to go on from the one before it"
            ) from error
        self.progress = progress
        self.step.go_on(progress.step, progress.position)
        runtime = self.step.runtime
        if runtime.rank:
            # The stored random state is that of the first process: others need their own.
            place = (progress.epoch, runtime.rank, progress.step)
            reseed(runtime.device, mixed_seed(self.seed, *place))

    def _load(self, checkpoint: Checkpoint) -> None:
        """Load all tensors but the weights; a mismatch raises a built-in error of Python."""
        step, tensors, values = self.step, checkpoint.tensors, checkpoint.values
        best, current = unflatten("best", tensors), step.current.state_dict()
        shapes = [{name: t.shape for name, t in each.items()} for each in (best, current)]
        if best and shapes[0] != shapes[1]:
            raise ValueError("the best weights have other names or shapes")
        self.best = best
        if step.average is not None:
            step.average.load_state_dict(unflatten("average", tensors))
        if step.has_own_optimizer != any(kind in values for kind in OWN):
            raise ValueError("only one of them has an optimizer or scheduler of the user")
        for kind, each in _own(step).items():
            for one, (name, state) in zip(each, values[kind], strict=True):
                if name != type(one).__name__:
                    raise ValueError(f"it has a {name}, and the run has a {type(one).__name__}")
                one.load_state_dict(unpacked(state, tensors))
        moved = [
            _load_optimizer(optimizer, unflatten(f"optimizer.{index}", tensors))
            for index, optimizer in _named(step)
        ]
        if checkpoint.step and moved and not any(moved):
            raise ValueError("it has no state of the optimizer")
        set_rng_state(unflatten("rng", tensors), step.runtime.device)


def _own(step: Step) -> dict[str, list[Any]]:
    """Return the user's optimizers and schedulers by their names in a checkpoint, if there are."""
    if not step.has_own_optimizer:
        return {}
    schedulers = [scheduler for turn in step.turns for scheduler in turn.schedulers]
    return dict(zip(OWN, (list(step.optimizers), schedulers), strict=True))


def _named(step: Step) -> list[tuple[int, Optimizer]]:
    """Return the numbered optimizers that were chosen by name, whose states have known tensors."""
    return [] if step.has_own_optimizer else list(enumerate(step.optimizers))


def _load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> int:
    """Load the state of an optimizer, and return the number of its parameters that have one."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        if tensor.shape not in (parameters[int(number)].shape, torch.Size()):
            raise ValueError(f"{name} of the optimizer has another shape than its weight")
        states.setdefault(int(number), {})[key] = tensor
    if any(tuple(sorted(state)) not in OPTIMIZER_STATES for state in states.values()):
        raise ValueError("the state of an optimizer has other names")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    return len(states)


def packed(name: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a state as JSON holds it, and put its tensors aside.

    Tensors and containers become mappings with one key, which names their kind.

    Arguments:
        name: The name of the value; the names of its tensors begin with it.
        value: Tensors, numbers, strings, None, and lists, tuples and dicts of them.
        tensors: The mapping that receives the tensors.

    Raises:
        OptionError: A value of another type.

    Example:
        >>> tensors = {}
        >>> packed("state", [torch.ones(2), (0.9, None)], tensors), list(tensors)
        ({'list': [{'tensor': 'state.0'}, {'tuple': [0.9, None]}]}, ['state.0'])
        >>> unpacked({"tuple": [0.9, {"tensor": "state.0"}]}, tensors)
        (0.9, tensor([1., 1.]))
    """
    kind = type(value).__name__
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if kind in _CONTAINERS:
        items = enumerate(value.items() if isinstance(value, dict) else value)
        return {kind: [packed(f"{name}.{i}", item, tensors) for i, item in items]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise OptionError(
        f"{name} of type {kind}: a checkpoint holds tensors, numbers, strings and lists and dicts "
        "of them; use an optimizer and a scheduler with such a state, or train without checkpoints"
    )


def unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the state that ``packed`` put into JSON."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    return _CONTAINERS[kind]([unpacked(item, tensors) for item in content])
