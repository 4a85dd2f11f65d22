"""One step of training: every player's loss, gradient and update, and the average of weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reparam.batch import Batch, for_module
from reparam.nn.autocast import float32_where_narrow
from reparam.objectives.terms import Objective
from reparam.training.average import MovingAverage
from reparam.training.optimizers import Optimizer, linear_weights, make_optimizers
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime
from reparam.training.schedules import LearningRate, learning_rate
from reparam.variants.recipe import Recipe


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
        return terms.loss, terms.scalars()


@dataclass
class Turn:
    """What one player does in each step: its loss, its parameters and what updates them."""

    name: str
    loss: nn.Module
    parameters: list[nn.Parameter]
    optimizers: Sequence[Optimizer]
    lr: LearningRate

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(lr)
                else:
                    group["lr"] = lr


class Step:
    """What happens to a model in one step.

    Arguments:
        recipe: The model, its objective and its players; the model must be on the device.
        options: How to train.
        runtime: Where to train.
        n_steps: The number of all steps.
    """

    def __init__(
        self, recipe: Recipe, options: TrainingOptions, runtime: Runtime, n_steps: int
    ) -> None:
        # Networks of the user's own may have narrow maps, too.
        self.model = float32_where_narrow(recipe.model)
        self.options = options
        self.runtime = runtime
        self.n_steps = n_steps
        self.turns = self._turns(recipe)
        self.average = MovingAverage(recipe.model, options.ema) if options.ema else None

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Update the model with a batch, and return the scalars to log."""
        scalars: dict[str, Tensor] = {}
        for turn in self.turns:
            with self.runtime.autocast():
                loss, named = turn.loss(batch.x, batch.y, batch.c, batch.step, batch.progress)
            # Inside a context of the caller, even one that is off, weights that were cast in this
            # step would be kept for the next.
            torch.clear_autocast_cache()
            for optimizer in turn.optimizers:
                optimizer.zero_grad()
            self.runtime.backward(loss)
            if self.options.clip_norm:
                nn.utils.clip_grad_norm_(turn.parameters, self.options.clip_norm)
            for optimizer in turn.optimizers:
                optimizer.step()
            scalars |= {f"{turn.name}/{k}" if turn.name else k: v for k, v in named.items()}
        if self.average is not None:
            self.average.update(self.model)
        return scalars

    def _turns(self, recipe: Recipe) -> list[Turn]:
        owned = {
            id(parameter)
            for player in recipe.players
            for parameter in recipe.model.get_submodule(player.module).parameters()
        }
        main = [p for p in recipe.model.parameters() if p.requires_grad and id(p) not in owned]
        turns = [self._turn("", recipe.objective, main, self.options.lr)]
        for player in recipe.players:
            parameters = list(recipe.model.get_submodule(player.module).parameters())
            lr = player.lr or self.options.lr
            turns.append(self._turn(player.module, player.objective, parameters, lr))
        return turns

    def _turn(
        self, name: str, objective: Objective, parameters: list[nn.Parameter], lr: float
    ) -> Turn:
        optimizers = make_optimizers(
            self.options.optimizer,
            parameters,
            lr,
            self.runtime.device,
            matrices=linear_weights(self.model),
            of_torch=self.runtime.world_size > 1,
        )
        loss, ready = self.runtime.setup(Loss(self.model, objective), optimizers)
        warmup = round(self.options.lr_warmup * self.n_steps)
        schedule = learning_rate(self.options.lr_schedule, lr, warmup, self.n_steps)
        return Turn(name, loss, parameters, ready, schedule)
