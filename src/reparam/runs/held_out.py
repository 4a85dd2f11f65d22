r"""The number of steps of a run on small data, chosen by held-out examples.

A model of a few hundred rows over-fits within the default number of steps. With 500 rows or more, a
tenth of them is held out: training keeps the weights with the best loss on them. With fewer rows a
tenth says too little, and every row counts. Then K-fold cross-fitting trains a copy of the model
without each fold :math:`F_k`, and the model itself is trained on all rows for

.. math:: s^\star = \arg\min_s \sum_k \sum_{x \in F_k} \mathcal{L}_k^{(s)}(x)

steps of the same schedule, where :math:`\mathcal{L}_k^{(s)}` is the loss after s steps without fold
k. The initial weights, s = 0, are a candidate.

References:
    Stone, Cross-validatory choice, Journal of the Royal Statistical Society B, 1974; Prechelt,
    Early stopping, but when?, 1998.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import replace as with_changes
from itertools import chain, count, islice
from math import inf

import torch
from torch import Tensor

from reparam.batch import Batch, to_device
from reparam.data import Dataset, Stream
from reparam.data.dataset import HELD_FROM, validation_size
from reparam.data.given import training_batches
from reparam.errors import OptionError
from reparam.objectives import ModelObjective
from reparam.objectives.recipe import Recipe
from reparam.training.batches import FirstEpoch
from reparam.training.length import Length
from reparam.training.optimizers import OptimizerFactory, SchedulerFactory
from reparam.training.options import BATCH_SIZE, HELD_OUT, TrainingOptions
from reparam.training.step import Step
from reparam.training.trainer import Trainer
from reparam.training.validation import (
    LEAST_STEPS,
    N_DRAWS,
    Patience,
    patience_of,
    repeated,
    scalars_on,
)
from reparam.utils.seeding import seeded

FEWER_THAN = 20_000
"""The number of training examples from which the default number of steps over-fits little."""

LEAST_PATIENCE = 0.05
"""The least share of all steps after which cross-fitting ends without a better score."""

SECONDS_BETWEEN = 5.0
"""The seconds between two messages on the progress of cross-fitting."""

FOLDS = {100: 3, 20: 5}
"""The number of folds by the least number of examples; fewer have one for every two of them.
Training takes one copy of the model for each fold."""


def chooses_length(recipe: Recipe, source: Dataset | Stream, options: TrainingOptions) -> bool:
    """Return whether held-out examples choose the number of steps.

    They do so with ``early_stopping='held-out'``, and for variants on small data in memory unless
    ``epochs`` or ``early_stopping`` is given. They do not where a loss on held-out examples says
    little: against a second player, or where the model changes its form in the middle of the
    training.

    Arguments:
        recipe: The recipe.
        source: The data.
        options: The options of training.

    Raises:
        OptionError: ``early_stopping='held-out'`` where it is not possible.
    """
    n = len(source.split("train")) if isinstance(source, Dataset) else 0
    is_possible = (
        n > 1 and not recipe.players and all(milestone.at == 0 for milestone in recipe.milestones)
    )
    if options.early_stopping != HELD_OUT:
        is_small = n < FEWER_THAN and recipe.source is not None
        return is_small and is_possible and options.epochs is options.early_stopping is None
    if not is_possible:
        raise OptionError(
            f"early_stopping={HELD_OUT!r}: needs at least 2 examples in memory and a model "
            "without players that does not change its form; give early_stopping=0"
        )
    return True


def with_held_out(source: Dataset, seed: int) -> Dataset:
    """Return data with a validation split of a tenth of train; too small or named data unchanged.

    Data that are loaded have a validation split by default, so that those without one are meant to
    have none.

    Arguments:
        source: Data without a validation split.
        seed: The seed of the choice.
    """
    n_held = 0 if source.options is not None else validation_size(None, len(source.split("train")))
    return source.with_validation(n_held, seed) if n_held else source


def n_folds_of(source: Dataset | Stream) -> int:
    """Return the number of folds of cross-fitting; 0 for data that need none.

    >>> from reparam.data import from_arrays
    >>> [n_folds_of(from_arrays(torch.randn(n, 2))) for n in (1000, 100, 12, 3)]
    [0, 3, 6, 2]
    """
    n = len(source.split("train")) if isinstance(source, Dataset) else HELD_FROM
    if n >= HELD_FROM or "validation" in source.splits:
        return 0
    return next((k for least, k in FOLDS.items() if n >= least), max(2, n // 2))


@dataclass
class Fold:
    """A copy of the model that trains without a fold, and the examples of the fold.

    Arguments:
        step: The step of the copy.
        batches: The batches of all other examples, without an end.
        held: The examples of the fold, repeated.
        n_held: The number of examples of the fold.
    """

    step: Step
    batches: Iterator[Batch]
    held: Batch
    n_held: int

    def train(self, n_steps: int) -> None:
        """Take a number of steps."""
        for batch in islice(self.batches, n_steps):
            self.step(batch)

    def score(self) -> float:
        """Return the sum of minus the loss over the examples of the fold, in nats."""
        return self.n_held * Patience(by_loss=True).score(scalars_on(self.step, self.held))


def patience(best_step: int, n_steps: int) -> float:
    """Return the number of steps without a better score after which cross-fitting ends.

    They are as many as before the best step, but at least a twentieth and at most a quarter of all,
    and never fewer than 350.

    Arguments:
        best_step: The step with the best score so far.
        n_steps: The number of steps of the whole run.

    Example:
        >>> patience(0, 7000), patience(700, 7000), patience(5000, 7000), patience(30, 300)
        (350.0, 700, 1750, 350)
    """
    usual = min(patience_of(n_steps), max(LEAST_PATIENCE * n_steps, best_step))
    return max(usual, LEAST_STEPS)


def fitted_length(
    trainer: Trainer,
    recipe: Recipe,
    source: Dataset,
    optimizer: OptimizerFactory | None = None,
    scheduler: SchedulerFactory | None = None,
    show: Callable[[str], None] | None = None,
) -> Length:
    """Return the length of a run on few examples, which ends after the best step by cross-fitting.

    The folds train side by side, and end some time after the best step: see ``patience``. A copy
    that diverges ends them too. Data with a validation split keep the length of the trainer.
    Each of several processes trains all folds, and the first one decides.

    Arguments:
        trainer: The trainer of the run, which has not begun.
        recipe: The recipe, on the device; it is not changed.
        source: The data.
        optimizer: See ``fit``.
        scheduler: See ``fit``.
        show: A function that receives a message every few seconds.
    """
    options, length, runtime = trainer.options, trainer.length, trainer.runtime.alone()
    k = n_folds_of(source)
    if not k:
        return length
    train, every = source.split("train"), length.every or 1
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(options.seed))
    number = torch.arange(len(train))
    own = recipe.objective if isinstance(recipe.objective, ModelObjective) else None

    def fold(is_held: Tensor) -> Fold:
        held = source.only_train(order[is_held]).examples("train", options.seed)
        copy = deepcopy(recipe)
        batches = training_batches(
            source.only_train(order[~is_held]),
            options.batch_size or BATCH_SIZE,
            device=runtime.device,
            seed=options.seed,
            repeat_labeled=own is not None and own.repeats_labeled,
        )
        step = Step(
            copy,
            options,
            length.steps,
            runtime,
            FirstEpoch(batches),
            optimizer,
            scheduler,
            steps_per_epoch=len(trainer.batches),
        )
        step.begin()
        endless = chain.from_iterable(map(batches.epoch, count()))
        n_trained = every * (options.batch_size or BATCH_SIZE)
        draws = to_device(repeated(held, n_trained, N_DRAWS // k), runtime.device)
        return Fold(step, endless, draws, len(held))

    best, best_step, taken, told = -inf, length.steps, 0, time.monotonic()
    with seeded(runtime.device, options.seed):
        folds = [fold(number % k == i) for i in range(k)]
        while True:
            try:
                score = sum(each.score() for each in folds)
                if score > best:
                    best, best_step = score, min(taken, length.steps)
                if show is not None and time.monotonic() - told >= SECONDS_BETWEEN:
                    place = f"step {taken:,}/{length.steps:,}"
                    show(f"{k}-fold cross-fitting: {place}  loss {-score / len(train):.2f}")
                    told = time.monotonic()
                if taken >= length.steps or taken - best_step >= patience(best_step, length.steps):
                    break
                for each in folds:
                    each.train(every)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError, ArithmeticError):  # a copy diverges
                break
            taken += every
    best, best_step = trainer.runtime.first((best, best_step))
    if best == -inf:
        return length  # training itself explains the error
    reason = f"stopped at step {best_step:,}, chosen by {k}-fold cross-fitting"
    if best_step == 0:
        reason = (
            f"the first weights are kept: by {k}-fold cross-fitting, training makes examples that "
            "it has not seen less probable; give more examples, fewer latents or a smaller network"
        )
    return with_changes(length, stop=best_step, reason=reason)
