"""One step of training, for the training loop and for loops of the user's own.

A step does everything that changes a model: schedules by the number of the step, milestones, the
updates of the main objective and of every player, and the moving average of the weights.

A recipe without players has one ``Turn``, that of the main objective. With players, the main
objective updates the parameters that belong to no player. Then every player updates its own, in
order, on the same batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from reparam.batch import Batch, concatenated, for_module
from reparam.errors import OptionError
from reparam.nn.autocast import float32_where_narrow
from reparam.objectives.recipe import Milestone, Player, Recipe
from reparam.objectives.terms import Objective, Terms
from reparam.training.average import MovingAverage
from reparam.training.kl_warmup import warmed_up
from reparam.training.optimizers import (
    Optimizer,
    OptimizerFactory,
    SchedulerFactory,
    linear_weights,
    make_optimizers,
    own_optimizer,
    own_scheduler,
)
from reparam.training.options import LR, LR_SCHEDULE, TrainingOptions
from reparam.training.runtime import Runtime, SingleDevice
from reparam.training.schedules import LearningRate, learning_rate
from reparam.utils.arguments import numbers
from reparam.utils.seeding import seeded


class Loss(nn.Module):
    """A model and one objective of it, as a module whose forward pass is the loss.

    Arguments:
        model: The model.
        objective: (model, batch) -> Terms.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.keeps_terms = False
        """Whether ``terms`` is set in every step."""
        self.terms: Terms | None = None

    def forward(
        self,
        x: Tensor,
        y: Tensor | None,
        c: Tensor | None,
        step: float | Tensor | None,
        progress: float | Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the scalars to log of the batch (x, y, c)."""
        batch = for_module(Batch(x, y, c, step, progress), self.model)
        terms = self.objective(self.model, batch)
        if self.keeps_terms:
            values = vars(terms)
            self.terms = Terms(**{f.name: _detached(values[f.name]) for f in fields(Terms)})
        return terms.loss, terms.scalars()


def _detached(value: Any) -> Any:
    """Return tensors, or mappings of them, without gradients; everything else as it is."""
    if isinstance(value, Mapping):
        return {name: _detached(item) for name, item in value.items()}
    return value.detach() if isinstance(value, Tensor) else value


@dataclass
class Turn:
    """The turn of one player in each step.

    Arguments:
        name: The name of the player; empty for the main objective.
        loss: The loss.
        parameters: The parameters that it updates.
        optimizers: The optimizers of these parameters.
        rate: The learning rate by step; None where the user's optimizer or scheduler has its own.
        schedulers: The user's schedulers, one for each optimizer, or none.
    """

    name: str
    loss: Loss
    parameters: list[nn.Parameter]
    optimizers: Sequence[Optimizer]
    rate: LearningRate | None
    schedulers: Sequence[LRScheduler] = ()

    @property
    def groups(self) -> Iterator[dict[str, Any]]:
        """The groups of parameters of all optimizers, each with its learning rate as ``lr``."""
        return (group for optimizer in self.optimizers for group in optimizer.param_groups)

    @property
    def lr(self) -> float:
        """The learning rate that the first optimizer has now."""
        return next((float(group["lr"]) for group in self.groups), 0.0)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        for group in self.groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def update(self, batch: Batch, runtime: Runtime, clip_norm: float) -> dict[str, Tensor]:
        """Update the parameters with a batch, and return the scalars to log by their names.

        Arguments:
            batch: The batch.
            runtime: The runtime, which averages the gradients over processes.
            clip_norm: The largest norm of the gradient; 0 for no limit.
        """
        with runtime.autocast():
            loss, scalars = self.loss(batch.x, batch.y, batch.c, batch.step, batch.progress)
        # In a caller's autocast context, even a disabled one, weights that were cast in this step
        # would be kept for the next.
        torch.clear_autocast_cache()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        gradients = [each.grad for each in self.parameters if each.grad is not None]
        runtime.average(gradients, batch.weight)
        if clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return {f"{self.name}/{k}": v for k, v in scalars.items()} if self.name else scalars


def make_turns(
    recipe: Recipe,
    options: TrainingOptions,
    runtime: Runtime,
    n_steps: int,
    optimizer: OptimizerFactory | None = None,
    scheduler: SchedulerFactory | None = None,
) -> list[Turn]:
    """Create the turns of a recipe: the main objective, then every player.

    The arguments are those of ``Step``.
    """
    model = recipe.model
    owned = {
        id(parameter)
        for player in recipe.players
        for parameter in model.get_submodule(player.module).parameters()
    }
    turns = []
    # The main objective is the player of the whole model, without the parts of the others.
    for player in (Player("", recipe.objective), *recipe.players):
        parameters = list(model.get_submodule(player.module).parameters())
        if not player.module:
            parameters = [p for p in parameters if p.requires_grad and id(p) not in owned]
        lr = player.lr or options.lr or LR
        made: list[Optimizer]
        if optimizer is not None:
            made = [own_optimizer(optimizer, parameters, player.lr)] if parameters else []
        else:
            made = make_optimizers(
                options.optimizer,
                parameters,
                lr,
                runtime.device,
                matrices=linear_weights(model),
                weight_decay=options.weight_decay,
                of_torch=scheduler is not None,
            )
        schedulers, rate = [], None
        if scheduler is not None:
            own = (cast(torch.optim.Optimizer, each) for each in made)
            schedulers = [own_scheduler(scheduler, each) for each in own]
        elif optimizer is None:
            warmup = round(options.lr_warmup * n_steps)
            rate = learning_rate(options.lr_schedule or LR_SCHEDULE, lr, warmup, n_steps)
        loss = Loss(model, player.objective)
        turns.append(Turn(player.module, loss, parameters, made, rate, schedulers))
    return turns


class Buffers:
    """The buffers of a model in several processes, which a step may change, as running means are.

    Arguments:
        model: The model.
        runtime: The processes.
    """

    def __init__(self, model: nn.Module, runtime: Runtime) -> None:
        self.model, self.runtime = model, runtime
        self.keep()

    def keep(self) -> None:
        """Keep the values of now, which are the same in all processes."""
        self.before = [each.clone() for each in self._floats() if self.runtime.world_size > 1]

    @torch.no_grad()
    def average(self) -> None:
        """Replace what has changed by its average; whole numbers change alike in all processes."""
        means = [each.clone() for each in self._floats()]
        self.runtime.average(means)
        for buffer, before, mean in zip(self._floats(), self.before, means, strict=True):
            buffer.copy_(torch.where(buffer == before, buffer, mean))
            before.copy_(buffer)

    def _floats(self) -> list[Tensor]:
        return [each for each in self.model.buffers() if each.is_floating_point()]


@runtime_checkable
class Annealed(Protocol):
    """A module that changes with the share of the training that is done."""

    def anneal(self, progress: float) -> None:
        """Change the module, given the share of all steps that are taken, from 0 to 1."""


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
    milestones, ``seed``.

    Arguments:
        recipe: The model, its objective, its players and milestones.
        options: The options of training.
        n_steps: The number of all steps, which schedules refer to.
        runtime: The device and the precision; float32 on the device of the model when None.
        examples: Batches of training examples, for recipes with milestones; anything that can be
            iterated over more than once. Without them the standardization of the data and the start
            of the decoder come from the first batch.
        optimizer: A function from the parameters of the main objective, or of a player, to their
            ``torch.optim.Optimizer``. It keeps its own learning rate and weight decay: ``lr``,
            ``lr_schedule``, ``lr_warmup`` and ``weight_decay`` of the options are not used; the
            ``lr`` of a player is.
        scheduler: A function from an optimizer to its ``LRScheduler``, in place of ``lr_schedule``
            and ``lr_warmup``. It steps after every update, not after every epoch.
        steps_per_epoch: The number of steps of an epoch of ``kl_warmup``;
            ``n_steps / options.epochs`` when None.
        clock: A function that returns the share of the training that is done, from 0 to 1, which
            then moves all schedules; None for the number of the step.

    Raises:
        OptionError: Milestones that need more than one batch without ``examples``; a function that
            returns no optimizer or no scheduler; ``kl_warmup`` for an objective without a KL, or
            without the length of an epoch.

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
        steps_per_epoch: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if examples is None and not all(each.first_batch for each in recipe.milestones):
            raise OptionError(
                "examples=None: the milestones of this recipe start a part of the model from "
                "training examples; give batches of them"
            )
        if runtime is None:
            runtime = SingleDevice(next(recipe.model.parameters()).device, "float32")
        if steps_per_epoch is None and options.epochs is not None:
            steps_per_epoch = n_steps / options.epochs
        if options.kl_warmup and steps_per_epoch is None:
            raise OptionError(
                f"kl_warmup={options.kl_warmup}: a number of epochs, whose length is not known; "
                "give steps_per_epoch="
            )
        recipe = warmed_up(recipe, options.kl_warmup, steps_per_epoch or 1)
        # Networks of the user's own may have narrow maps, too.
        self.model = float32_where_narrow(recipe.model)
        self.objective = recipe.objective
        self.options = options
        self.runtime = runtime
        self.n_steps = n_steps
        self.n_taken = 0
        """The number of steps taken."""
        self.clock = clock
        self.position: float = 0
        """The place of the last step in the schedules: the number of the steps before it, or what a
        clock makes of it."""
        self.has_own_optimizer = optimizer is not None or scheduler is not None
        """Whether optimizers or schedulers are the user's, so that their whole state is stored."""
        # The weights of a module of the user may have been drawn in each process.
        runtime.share(self.model)
        self._buffers = Buffers(self.model, runtime)
        self.turns = make_turns(recipe, options, runtime, n_steps, optimizer, scheduler)
        self.average = MovingAverage(recipe.model, options.ema) if options.ema else None
        self.annealed = [module for module in self.model.modules() if isinstance(module, Annealed)]
        self._examples = examples
        self._milestones: dict[int, list[Milestone]] = {}
        for milestone in recipe.milestones:
            # The milestone runs at the latest before the last step.
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
        self.begin([batch])
        progress = min(self.position / self.n_steps, 1.0)
        for module in self.annealed:
            module.anneal(progress)
        for turn in self.turns:
            if turn.rate is not None:
                turn.set_lr(turn.rate(self.position))
        scalars = self.update(replace(batch, step=self.position, progress=progress))
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
            scalars |= turn.update(batch, self.runtime, self.options.clip_norm or 0.0)
        if self.runtime.world_size > 1:
            self._buffers.average()
        if self.average is not None:
            self.average.update(self.model)
        return scalars

    @property
    def current(self) -> nn.Module:
        """The current model: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def lr(self, step: float) -> float:
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
        """Whether a milestone is still due."""
        return bool(self._milestones)

    def go_on(self, n_taken: int, position: float) -> None:
        """Go on after a number of steps, the last of which had this place in the schedules."""
        self.n_taken, self.position = n_taken, position
        self._buffers.keep()
        if n_taken:
            self._milestones = {at: m for at, m in self._milestones.items() if at > position}

    def begin(self, batches: Iterable[Batch] = ()) -> None:
        """Find the place of the next step, and run, once, the milestones that are due there.

        The draws of training go on as if a milestone had drawn nothing, and the average of the
        weights starts again at what a milestone has set.

        Arguments:
            batches: The examples in a loop that has no others: the first batch.
        """
        if self.clock is None:
            self.position = self.n_taken
        else:
            self.position = min(self.clock(), 1.0) * self.n_steps
        due = sorted(at for at in self._milestones if at <= self.position)
        for milestone in [one for at in due for one in self._milestones.pop(at)]:
            self.model.eval()
            with seeded(self.runtime.device, self.options.seed), torch.no_grad():
                examples = _first(self._examples or batches, milestone.n_examples)
                milestone.action(self.model, examples)
                self.runtime.share(self.model)
                self._buffers.keep()
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
