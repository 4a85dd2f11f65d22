r"""KL warm-up: the weight of the KL rises from zero while training begins.

.. math:: \beta(t) = \beta \min(t / T, 1), \qquad T = \text{epochs} \times \text{steps per epoch}

References:
    Bowman et al., Generating sentences from a continuous space, CoNLL 2016, section 3.1.
"""

from dataclasses import replace as with_changes
from typing import Protocol, runtime_checkable

from reparam.errors import OptionError
from reparam.objectives.bounds import ELBO, Schedule
from reparam.objectives.recipe import Recipe, replace
from reparam.objectives.terms import Objective
from reparam.training.schedules import linear


@runtime_checkable
class WeightsKL(Protocol):
    """An objective that multiplies the KL by a number, or by a schedule of it."""

    beta: float | Schedule


def weighted(objective: Objective, beta: float | Schedule | None) -> Objective:
    """Return an objective with another weight β of the KL.

    Raises:
        OptionError: The objective has no such weight.
    """
    if not isinstance(objective, WeightsKL) or (callable(beta) and not isinstance(objective, ELBO)):
        raise OptionError(
            f"objective {type(objective).__name__} has no KL to weigh in this way: leave "
            "out beta= and kl_warmup="
        )
    return with_changes(objective, beta=beta)  # type: ignore[type-var]


def warmed_up(recipe: Recipe, epochs: float, steps_per_epoch: float) -> Recipe:
    """Return a recipe whose KL weight rises from zero over a number of epochs.

    Arguments:
        recipe: A recipe whose objective has a number β.
        epochs: The number of epochs; 0 for no warm-up.
        steps_per_epoch: The number of steps in an epoch.

    Raises:
        OptionError: The objective has no KL, or already a schedule of β.
    """
    if not epochs:
        return recipe
    beta = recipe.objective.beta if isinstance(recipe.objective, WeightsKL) else None
    if callable(beta):
        raise OptionError(
            f"kl_warmup={epochs}: the objective already has a schedule of beta; use one of them"
        )
    steps = max(1, round(epochs * steps_per_epoch))
    schedule = None if beta is None else linear(0.0, beta, steps)
    return replace(recipe, objective=weighted(recipe.objective, schedule))
