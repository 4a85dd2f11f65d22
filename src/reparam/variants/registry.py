"""The registry of variants."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reparam.objectives.recipe import Recipe
from reparam.utils.registry import Registry
from reparam.variants.description import Description, description_of
from reparam.variants.networks import Net
from reparam.variants.specification import Specification


@dataclass(frozen=True)
class Variant:
    """A registered preset of a specification.

    Arguments:
        name: The name.
        builder: (spec, options) -> Recipe, as ``reparam.variants`` exports it.
        year: The year of its paper.
        paper: The paper.
    """

    name: str
    builder: Callable[..., Recipe]
    year: int
    paper: str

    @property
    def specify(self) -> Callable[..., Specification]:
        """The function that was decorated: (spec, all options) -> Specification."""
        return inspect.unwrap(self.builder)

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def description(self) -> Description:
        """Its use, its limits, its formulas and their symbols, as its docstring has them."""
        return description_of(self.builder)

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """The builder's options, without the data spec.

        The options that a builder takes as ``**net`` have the defaults of ``vae``.
        """
        options = dict(list(inspect.signature(self.specify).parameters.items())[1:])
        if options.pop("net", None) is not None:
            options |= {k: get("vae").options[k] for k in Net.__annotations__}
        return options


VARIANTS: Registry[Variant] = Registry("variant")
"""The variants by name."""


def names() -> tuple[str, ...]:
    """Return the names of all variants: the VAE, then the others in the order of their papers.

    >>> names()[0]
    'vae'
    """
    found = sorted(VARIANTS.values(), key=lambda v: (v.name != "vae", v.year, v.name))
    return tuple(v.name for v in found)


def get(name: str) -> Variant:
    """Return the variant of a name; underscores count as dashes, and case does not matter.

    Raises:
        OptionError: A name that does not exist, with the nearest one.

    Example:
        >>> get("Beta_VAE").name
        'beta-vae'
    """
    return VARIANTS[name]
