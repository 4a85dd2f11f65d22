"""Validation while a model trains, with early stopping and the best weights by its score."""

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from reparam.batch import Batch, concatenated, for_module, in_chunks
from reparam.errors import DataError
from reparam.training.length import Length
from reparam.training.monitor import Row
from reparam.training.options import BATCH_SIZE, HELD_OUT
from reparam.training.state import TrainingState
from reparam.training.step import Step
from reparam.utils.seeding import seeded

CHUNK = 500
"""The least number of examples that are validated at once."""

N_DRAWS = 4_000
"""The largest number of draws of z behind a score that chooses the number of steps."""

PATIENCE, LEAST_STEPS = 0.25, 350
"""The share of all steps after which a run whose length is chosen ends without a better score, and
the least number of steps: in the first steps of a short run the learning rate has not risen yet."""


def patience_of(n_steps: int) -> int:
    """Return the number of steps without a better score after which a run of n steps ends.

    >>> patience_of(7000), patience_of(100)
    (1750, 350)
    """
    return max(round(PATIENCE * n_steps), LEAST_STEPS)


def repeated(examples: Batch, n_trained: int, n_draws: int = N_DRAWS) -> Batch:
    """Return examples that are repeated, each of which has its own draw of z.

    The mean over many draws has little noise. They are at most half as many as the examples that
    are trained on from one validation to the next, and so take at most a sixth of the work.

    Arguments:
        examples: The examples.
        n_trained: The number of examples that are trained on between two validations.
        n_draws: The largest number of repeated examples.
    """
    n_draws = min(n_draws, n_trained // 2)
    times = max(1, round(n_draws / len(examples)))
    return concatenated([examples] * times, times * len(examples))


def scalars_on(step: Step, examples: Batch) -> dict[str, float]:
    """Return the scalars of the objective as means over examples; always with the same draws.

    The model is put into evaluation mode.

    Arguments:
        step: The step, with the current model and its objective.
        examples: The examples, on the device.
    """
    model, options = step.current.eval(), step.options
    totals: dict[str, Tensor] = {}
    with seeded(step.runtime.device, options.seed), torch.no_grad():
        for batch in in_chunks(examples, max(options.batch_size or 0, CHUNK)):
            scalars = step.objective(model, for_module(batch, model)).scalars()
            for name, value in scalars.items():
                totals[name] = totals.get(name, 0.0) + value * (len(batch) / len(examples))
    return {name: float(value) for name, value in totals.items()}


@dataclass(frozen=True)
class Patience:
    """When training ends for want of a better score.

    Arguments:
        validations: The number of validations without a better score; 0 for no limit.
        steps: The number of steps without a better score; 0 for no limit.
        by_loss: Whether the score is minus the loss, which the objective minimizes, instead of the
            ELBO.
    """

    validations: int = 0
    steps: int = 0
    by_loss: bool = False

    def __bool__(self) -> bool:
        return bool(self.validations or self.steps)

    def score(self, scalars: dict[str, float]) -> float:
        """Return the score of a validation, in nats per example; -inf if it is not finite."""
        name = "elbo" if "elbo" in scalars else "reconstruction"
        score = -scalars["loss"] if self.by_loss else scalars[name]
        return score if isfinite(score) else -float("inf")


class Validation:
    """Validate the current model, keep the best weights, and decide when to stop.

    The score of ``early_stopping`` is the ELBO, or the log-likelihood of an objective without one.
    The best score and its weights are a part of the state of the training.

    Arguments:
        examples: The validation split, as one batch on the device; None without one.
        state: The state of the training, whose options have ``early_stopping``.
        length: The length of a run that ends by the validation split, some time after the best
            loss: see ``patience_of``; None for other runs.

    Raises:
        DataError: Early stopping without a validation split.
    """

    def __init__(
        self, examples: Batch | None, state: TrainingState, length: Length | None = None
    ) -> None:
        options = state.step.options
        self.examples, self.state = examples, state
        given = options.early_stopping
        self.patience = Patience(0 if given == HELD_OUT else given or 0)
        if length is not None and examples is not None:
            self.patience = Patience(steps=patience_of(length.steps), by_loss=True)
            every = length.every or length.steps
            self.examples = repeated(examples, every * (options.batch_size or BATCH_SIZE))
        if self.patience and examples is None:
            raise DataError(
                f"early_stopping={options.early_stopping}: needs a validation split; load the data "
                "with one, such as validation=0.1 for a tenth of the training data"
            )

    def row(self) -> Row:
        """Return the scalars of the objective as means over the split; empty without one.

        The model is put into evaluation mode. All validations have the same draws.
        """
        if self.examples is None:
            return {}
        progress = self.state.progress
        row: Row = {"split": "validation", "epoch": progress.epoch, "step": progress.step}
        row["seconds"] = progress.seconds
        # The machines of several processes may round in different ways, and all must stop alike.
        return row | self.state.step.runtime.first(scalars_on(self.state.step, self.examples))

    def keep_best(self, row: Row) -> None:
        """Keep the current weights if their row has the best score so far."""
        if not self.patience:
            return
        score = self.patience.score({k: v for k, v in row.items() if not isinstance(v, str)})
        progress = self.state.progress
        progress.epochs_since_best += 1
        if score > progress.best:
            progress.best, progress.epochs_since_best = score, 0
            progress.best_step = progress.step
            weights = self.state.step.current.state_dict()
            self.state.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
        if progress.step and score > progress.trained:
            progress.trained, progress.trained_step = score, progress.step

    @property
    def stops(self) -> bool:
        """Whether there was no better score for as long as the run allows.

        The weights that a run begins with may be better than those of many steps, where they are
        factor analysis. A run whose length is chosen then goes on while its own score rises.
        """
        patience, progress, step = self.patience, self.state.progress, self.state.step
        best_step = progress.best_step or progress.trained_step
        # A clock may pass the place of a step sooner or later than was planned.
        speed = 1.0 if step.clock is None else (progress.position or 1.0) / max(progress.step, 1)
        return (
            0 < patience.validations <= progress.epochs_since_best
            or 0 < patience.steps <= speed * (progress.step - best_step)
        )

    @property
    def kept_first(self) -> bool:
        """Whether the weights that training began with are the best."""
        progress = self.state.progress
        is_known = bool(self.patience) and bool(self.state.best)
        return is_known and progress.best_step == 0 < progress.step

    @property
    def summary(self) -> str:
        """One sentence on the moment whose weights are kept; empty where it is the last one."""
        progress = self.state.progress
        if not self.patience or not progress.epochs_since_best:
            return ""
        if self.kept_first:
            return (
                f"stopped after step {progress.step:,}; the first weights are kept, since no "
                "others are better on the validation split: give a lower lr, or more examples"
            )
        last, best = f"step {progress.step:,}", f"step {progress.best_step:,}"
        if self.state.step.options.epochs is not None:
            last = f"epoch {progress.epoch}"
            best = f"epoch {progress.epoch - progress.epochs_since_best}"
        score = f"{progress.best:.2f} nats"
        if self.patience.by_loss:
            score = f"a loss of {-progress.best:.2f} nats"
        return (
            f"stopped after {last}; the weights of {best} are kept, the best with {score} on the "
            "validation split"
        )
