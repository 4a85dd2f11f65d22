"""One step of training, for the training loop and for loops of the user's own.

A step does all that changes a model: schedules by the number of the step, milestones, the updates
of the main objective and of every player, and the moving average of the weights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from reparam.batch import Batch, concatenated
from reparam.errors import OptionError
from reparam.nn.autocast import float32_where_narrow
from reparam.objectives.recipe import Milestone, Recipe
from reparam.objectives.terms import Terms
from reparam.training.average import MovingAverage
from reparam.training.kl_warmup import warmed_up
from reparam.training.optimizers import Optimizer, OptimizerFactory, SchedulerFactory
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime, SingleDevice
from reparam.training.turn import make_turns
from reparam.utils.arguments import numbers
from reparam.utils.seeding import seeded


@runtime_checkable
class Annealed(Protocol):
    """A module that changes with the share of the training that is done."""

    def anneal(self, progress: float) -> None:
        """Change the module, given the share of all steps that are taken, from 0 to 1."""
        ...


@numbers(n_steps=1)
class Step:
    """One step of training, with everything that ``fit`` does to the model in a step.

    Calling it with a batch

    1. anneals the modules that are ``Annealed``,
    2. runs the milestones of the recipe that are due,
    3. sets the learning rate,
    4. updates the model: the main objective, then every player, with clipped gradients,
    5. updates the moving average of the weights (``options.ema``),

    and counts the step. After ``n_steps`` steps all schedules keep their last value. Of the options
    it uses those of the optimizer, the schedules, ``clip_norm``, ``ema`` and, for the draws of
    milestones, ``seed``; an epoch of ``kl_warmup`` has ``n_steps / options.epochs`` steps.

    Arguments:
        recipe: The model, its objective, its players and milestones.
        options: The options of training.
        n_steps: The number of all steps, which schedules refer to.
        runtime: The device and the precision; float32 on the device of the model when None.
        examples: Batches of training examples, for recipes with milestones; anything that can be
            iterated over more than once.
        optimizer: A function from the parameters of the main objective, or of a player, to their
            ``torch.optim.Optimizer``. It keeps its own learning rate and weight decay: ``lr``,
            ``lr_schedule``, ``lr_warmup`` and ``weight_decay`` of the options are not used; the
            ``lr`` of a player is.
        scheduler: A function from an optimizer to its ``LRScheduler``, in place of ``lr_schedule``
            and ``lr_warmup``. It steps after every update, not after every epoch.

    Raises:
        OptionError: Milestones without ``examples``; a function that returns no optimizer or no
            scheduler; ``kl_warmup`` for an objective without a KL.

    Example:
        >>> from reparam import DataSpec, variants
        >>> recipe = variants.vae(DataSpec((4,), "binary"), latent_dim=2, hidden=[8])
        >>> batches = [Batch(torch.rand(16, 4).round()) for _ in range(3)]
        >>> step = Step(recipe, TrainingOptions(epochs=2, ema=0.9), n_steps=2 * len(batches))
        >>> for epoch in range(2):
        ...     for batch in batches:
        ...         scalars = step(batch)
        >>> step.n_taken, sorted(scalars)
        (6, ['elbo', 'kl', 'loss', 'reconstruction'])
        >>> model = step.current.eval()
    """

    def __init__(
        self,
        recipe: Recipe,
        options: TrainingOptions,
        n_steps: int,
        runtime: Runtime | None = None,
        examples: Iterable[Batch] | None = None,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
    ) -> None:
        if recipe.milestones and examples is None:
            raise OptionError(
                "examples=None: the milestones of this recipe start a part of the model from "
                "training examples; give batches of them"
            )
        if runtime is None:
            runtime = SingleDevice(next(recipe.model.parameters()).device, "float32")
        recipe = warmed_up(recipe, options.kl_warmup, n_steps / options.epochs)
        # Networks of the user's own may have narrow maps, too.
        self.model = float32_where_narrow(recipe.model)
        self.objective = recipe.objective
        self.options = options
        self.runtime = runtime
        self.n_steps = n_steps
        self.n_taken = 0
        """The number of steps taken."""
        self.has_own_optimizer = optimizer is not None or scheduler is not None
        """Whether optimizers or schedulers are the user's, so that their whole state is stored."""
        self.turns = make_turns(recipe, options, runtime, n_steps, optimizer, scheduler)
        self.average = MovingAverage(recipe.model, options.ema) if options.ema else None
        self.annealed = [module for module in self.model.modules() if isinstance(module, Annealed)]
        self._examples = examples
        self._milestones: dict[int, list[Milestone]] = {}
        for milestone in recipe.milestones:
            # A share just below one is still before the last step, however few there are.
            at = min(round(milestone.at * n_steps), n_steps - 1)
            self._milestones.setdefault(at, []).append(milestone)
        self._own_lr = self.turns[0].lr

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Take a step, and return the scalars to log, without dimensions, on the device.

        The names of a player's scalars begin with the name of the player and a slash.

        Arguments:
            batch: The examples, on the device of the model.
        """
        if not self.model.training:
            self.model.train()
        progress = min(self.n_taken / self.n_steps, 1.0)
        for module in self.annealed:
            module.anneal(progress)
        self.run_milestones()
        for turn in self.turns:
            if turn.rate is not None:
                turn.set_lr(turn.rate(self.n_taken))
        scalars = self.update(replace(batch, step=self.n_taken, progress=progress))
        if self.has_own_optimizer:
            self._own_lr = self.turns[0].lr
            for turn in self.turns:
                for scheduler in turn.schedulers:
                    scheduler.step()
        self.n_taken += 1
        return scalars

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Update the model and the average with a batch that has its step, and nothing else."""
        scalars: dict[str, Tensor] = {}
        for turn in self.turns:
            scalars |= turn.update(batch, self.runtime, self.options.clip_norm)
        if self.average is not None:
            self.average.update(self.model)
        return scalars

    @property
    def current(self) -> nn.Module:
        """The model as it would be used now: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def lr(self, step: int) -> float:
        """Return the learning rate of the main objective at a step.

        With an optimizer or a scheduler of the user it is that of the last step taken.
        """
        rate = self.turns[0].rate
        return self._own_lr if rate is None else rate(step)

    @property
    def highest_lr(self) -> float:
        """The highest learning rate of the main objective; that of now for the user's optimizer."""
        rate = self.turns[0].rate
        return self.turns[0].lr if rate is None else rate.peak

    @property
    def keeps_terms(self) -> bool:
        """Whether ``terms`` is kept after a step. Set it before the step; False by default."""
        return self.turns[0].loss.keeps_terms

    @keeps_terms.setter
    def keeps_terms(self, keeps: bool) -> None:
        self.turns[0].loss.keeps_terms = keeps

    @property
    def terms(self) -> Terms | None:
        """The terms of the main objective in the last step, if ``keeps_terms`` was set."""
        return self.turns[0].loss.terms

    @property
    def optimizers(self) -> Iterator[Optimizer]:
        """All optimizers, in the order of the turns."""
        return (optimizer for turn in self.turns for optimizer in turn.optimizers)

    @property
    def has_milestones_ahead(self) -> bool:
        """Whether a milestone is due before the next step or a later one."""
        return any(at >= self.n_taken for at in self._milestones)

    def run_milestones(self) -> None:
        """Run, once, the milestones that are due before the next step.

        The draws of training go on as if a milestone had drawn nothing, and the average of the
        weights starts again at what a milestone has set.
        """
        for milestone in self._milestones.pop(self.n_taken, ()):
            self.model.eval()
            with seeded(self.runtime.device, self.options.seed), torch.no_grad():
                examples = _first(self._examples or (), milestone.n_examples)
                milestone.action(self.model, examples)
            self.model.train()
            if self.average is not None:
                self.average.module.load_state_dict(self.model.state_dict())


def _first(batches: Iterable[Batch], n: int) -> Batch:
    """Return the first n examples of batches, or all of them if there are fewer."""
    found: list[Batch] = []
    for batch in batches:
        found.append(batch)
        if sum(map(len, found)) >= n:
            break
    return concatenated(found, n)
