"""Exchange parts of a recipe: another posterior, prior or objective for the same variant."""

from collections.abc import Mapping
from typing import Any, TypedDict

from reparam.errors import OptionError
from reparam.objectives.recipe import Recipe
from reparam.variants.builder import build


class Parts(TypedDict, total=False):
    """Parts by name, and their options: see ``options_of``."""

    posterior: str
    prior: str
    objective: str
    n_components: int
    free_bits: float
    n_importance: int
    start_at_mean: bool


def with_parts(recipe: Recipe, parts: Parts) -> Recipe:
    """Return the recipe of the same variant with other parts; its model is built again.

    Arguments:
        recipe: The recipe of a variant, which does not change.
        parts: The parts to exchange.

    Raises:
        OptionError: A recipe that was composed by hand, or a part that does not exist.
        SupportError: Parts that are incompatible.

    Example:
        >>> from reparam.spec import DataSpec
        >>> from reparam.variants.bounds import vae
        >>> recipe = with_parts(vae(DataSpec((4,), "binary")), Parts(objective="iwae"))
        >>> recipe.objective
        IWAE(n_importance=5)
    """
    if not isinstance(recipe, Recipe) or not isinstance(parts, Mapping):
        raise OptionError(
            f"with_parts of a {type(recipe).__name__} and a {type(parts).__name__}: give a recipe, "
            "and parts such as {'prior': 'vamp'}"
        )
    if recipe.source is None or recipe.spec is None:
        raise OptionError(
            "recipe was composed by hand: parts are exchanged in the recipe of a variant, such as "
            "variants.vae(spec)"
        )
    options: dict[str, Any] = {**recipe.source.options, **parts}
    return build(recipe.source.variant, recipe.spec, **options)
