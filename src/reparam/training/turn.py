"""The turn of a player in a step: its loss, its parameters, and what updates them.

A recipe without further players has one turn, that of the main objective. With players, the main
objective updates the parameters that belong to no player; then every player updates its own, in
order, on the same batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from reparam.batch import Batch, for_module
from reparam.objectives.recipe import Player, Recipe
from reparam.objectives.terms import Objective, Terms
from reparam.training.optimizers import (
    Optimizer,
    OptimizerFactory,
    SchedulerFactory,
    linear_weights,
    make_optimizers,
    own_optimizer,
    own_scheduler,
)
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime
from reparam.training.schedules import LearningRate, learning_rate


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
        step: int | Tensor | None,
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
        module: The loss as the runtime has prepared it.
        parameters: The parameters that it updates.
        optimizers: The optimizers of these parameters.
        rate: The learning rate by step; None where the user's optimizer or scheduler has its own.
        schedulers: The user's schedulers, one for each optimizer, or none.
    """

    name: str
    loss: Loss
    module: nn.Module
    parameters: list[nn.Parameter]
    optimizers: Sequence[Optimizer]
    rate: LearningRate | None
    schedulers: Sequence[LRScheduler] = ()

    @property
    def lr(self) -> float:
        """The learning rate that the first optimizer has now."""
        return float(self.optimizers[0].param_groups[0]["lr"]) if self.optimizers else 0.0

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(lr)
                else:
                    group["lr"] = lr

    def update(self, batch: Batch, runtime: Runtime, clip_norm: float) -> dict[str, Tensor]:
        """Update the parameters with a batch, and return the scalars to log by their names.

        Arguments:
            batch: The batch.
            runtime: What computes the gradients.
            clip_norm: The largest norm of the gradient; 0 for no limit.
        """
        with runtime.autocast():
            loss, scalars = self.module(batch.x, batch.y, batch.c, batch.step, batch.progress)
        # In a caller's autocast context, even a disabled one, weights that were cast in this step
        # would be kept for the next.
        torch.clear_autocast_cache()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        runtime.backward(loss)
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
        lr = player.lr or options.lr
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
                of_torch=runtime.world_size > 1 or scheduler is not None,
            )
        schedulers, rate = [], None
        if scheduler is not None:
            own = (cast(torch.optim.Optimizer, each) for each in made)
            schedulers = [own_scheduler(scheduler, each) for each in own]
        elif optimizer is None:
            warmup = round(options.lr_warmup * n_steps)
            rate = learning_rate(options.lr_schedule, lr, warmup, n_steps)
        loss = Loss(model, player.objective)
        module, ready = runtime.setup(loss, made)
        turns.append(Turn(player.module, loss, module, parameters, ready, rate, schedulers))
    return turns
