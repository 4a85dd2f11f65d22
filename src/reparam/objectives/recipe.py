"""A recipe, what ``fit`` takes: a model, its objective, players and milestones."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from torch import nn

from reparam.batch import Batch
from reparam.errors import OptionError, unknown
from reparam.objectives.terms import Objective, check_share
from reparam.spec import DataSpec
from reparam.utils.arguments import as_float, numbers
from reparam.utils.equality import by_value


@numbers()
@dataclass(frozen=True)
class Player:
    """A part of the model that has its own objective and optimizer.

    In each step the main objective updates the parameters that belong to no player. Then every
    player updates its own, in order, on the same batch.

    Arguments:
        module: The path of the part within the model, such as ``discriminator``.
        objective: The objective of the player.
        lr: The learning rate of the player; None for that of the run.

    Raises:
        OptionError: A learning rate that is not above zero.

    Example:
        >>> from reparam.objectives import DensityRatio
        >>> Player("discriminator", DensityRatio(), lr=1e-3).module
        'discriminator'
    """

    module: str
    objective: Objective
    lr: float | None = None

    def __post_init__(self) -> None:
        if self.lr is not None:
            as_float("lr", self.lr, minimum=0.0, open_ends=True)


@numbers(n_examples=1)
@dataclass(frozen=True)
class Milestone:
    """An action on the model that happens once, with training examples and without gradients.

    Arguments:
        action: The action, a function of the model and examples.
        at: The time of the action, as a share of all steps; 0 is before the first.
        n_examples: The number of training examples that the action gets.
        first_batch: Whether the first batch takes the place of the examples in a loop that has
            none.
        is_fit: Whether the action fits the model to its examples, so that every fold has its own.

    Raises:
        OptionError: A share outside [0, 1), or no examples.

    Example:
        >>> Milestone(lambda model, examples: None, at=0.5).n_examples
        10000
    """

    action: Callable[[Any, Batch], None]
    at: float = 0.0
    n_examples: int = 10_000
    first_batch: bool = False
    is_fit: bool = False

    def __post_init__(self) -> None:
        check_share("at", self.at)


@dataclass(frozen=True)
class Source:
    """The variant and the options that a recipe was built from, to build it again.

    Arguments:
        variant: The name of a registered variant.
        options: All of its builder's options, as plain values.
    """

    variant: str
    options: Mapping[str, Any]


@by_value
@dataclass(frozen=True)
class Recipe:
    """A model, an objective and players, as ``fit`` takes them.

    Arguments:
        model: A ``LatentModel``, a ``DirectedModel``, or another model that the objective takes.
        objective: (model, batch) -> Terms.
        players: Further players, for adversarial objectives.
        milestones: Actions on the model that happen once, such as fitting a mixture to its codes.
        spec: The shape, support and condition of the data that the model was built for.
        source: The variant that built the model; None for one that was composed by hand.

    Raises:
        OptionError: A player of a part that the model does not have.

    Example:
        >>> from reparam.objectives import MaximumLikelihood
        >>> Recipe(nn.Linear(1, 1), MaximumLikelihood(), (Player("critic", MaximumLikelihood()),))
        Traceback (most recent call last):
        reparam.errors.OptionError: player 'critic': the model has no part of this name
    """

    model: nn.Module
    objective: Objective
    players: tuple[Player, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    spec: DataSpec | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        parts = {name for name, _ in self.model.named_modules()}
        for player in self.players:
            if player.module not in parts:
                raise OptionError(f"player {player.module!r}: the model has no part of this name")


class Changes(TypedDict, total=False):
    """The fields of a recipe."""

    model: nn.Module
    objective: Objective
    players: tuple[Player, ...]
    milestones: tuple[Milestone, ...]
    spec: DataSpec | None
    source: Source | None


def replace(recipe: Recipe, **changes: Unpack[Changes]) -> Recipe:
    """Return a recipe with some of its fields changed.

    Raises:
        OptionError: A field that a recipe does not have.

    Example:
        >>> from reparam.objectives import ELBO, MaximumLikelihood
        >>> recipe = Recipe(nn.Linear(1, 1), MaximumLikelihood())
        >>> replace(recipe, objective=ELBO(beta=4.0)).objective.beta
        4.0
    """
    fields = [field.name for field in dataclasses.fields(recipe)]
    for name in changes:
        if name not in fields:
            raise unknown("field of a recipe", name, fields)
    if "model" in changes:
        # The variant does not build the new model.
        changes = {"source": None, **changes}
    return dataclasses.replace(recipe, **changes)
