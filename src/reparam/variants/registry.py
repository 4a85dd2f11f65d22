"""The registry of variants. The command line, the README's table and the contract tests read it."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, cast

from reparam.errors import OptionError, folded, unknown
from reparam.spec import DataSpec
from reparam.variants.recipe import Recipe, Source, replace

P = ParamSpec("P")
Builder = Callable[Concatenate[DataSpec, P], Recipe]


@dataclass(frozen=True)
class Variant:
    """A registered composition.

    Arguments:
        name: What the command line calls it.
        builder: (spec, **options) -> Recipe.
        year: The year of its paper.
        paper: The paper.
    """

    name: str
    builder: Callable[..., Recipe]
    year: int
    paper: str

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """The builder's options, without the data spec."""
        parameters = list(inspect.signature(self.builder).parameters.items())
        return dict(parameters[1:])


_VARIANTS: dict[str, Variant] = {}


def variant(name: str, *, year: int, paper: str) -> Callable[[Builder[P]], Builder[P]]:
    """Register a builder under a name.

    Arguments:
        name: The name, in lower case with dashes.
        year: The year of the paper.
        paper: Its authors and where it appeared.

    Raises:
        OptionError: The name is taken.
    """

    def register(builder: Builder[P]) -> Builder[P]:
        if name in _VARIANTS:
            raise OptionError(f"variant {name!r} is registered already: choose another name")

        @functools.wraps(builder)
        def built(spec: DataSpec, *args: P.args, **kwargs: P.kwargs) -> Recipe:
            recipe = builder(spec, *args, **kwargs)
            return replace(recipe, source=_source(name, builder, spec, *args, **kwargs))

        _VARIANTS[name] = Variant(name, built, year, paper)
        return cast(Builder[P], built)

    return register


def _source(name: str, builder: Callable[..., Recipe], *args: Any, **kwargs: Any) -> Source | None:
    """Return what builds the recipe again; None where an option is no plain value, as a family."""
    bound = inspect.signature(builder).bind(*args, **kwargs)
    bound.apply_defaults()
    options = {k: _plain(value) for k, value in list(bound.arguments.items())[1:]}
    plain = (str, int, float, bool, list, type(None))
    if not all(isinstance(value, plain) for value in options.values()):
        return None
    return Source(name, options)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def names() -> tuple[str, ...]:
    """Return the names of all variants.

    >>> "vae" in names()
    True
    """
    return tuple(_VARIANTS)


def get(name: str) -> Variant:
    """Return the variant of this name; underscores and capitals are forgiven.

    Raises:
        OptionError: A name that does not exist, with the nearest one.

    Example:
        >>> get("Beta_VAE").name
        'beta-vae'
    """
    if folded(name) not in _VARIANTS:
        raise unknown("variant", name, _VARIANTS)
    return _VARIANTS[folded(name)]


def build(name: str, spec: DataSpec, **options: Any) -> Recipe:
    """Build the recipe of a variant for data of a spec.

    Raises:
        OptionError: A variant, or an option of it, that does not exist.

    Example:
        >>> build("vae", DataSpec((1, 8, 8), "binary"), latnt_dim=2)
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown option of 'vae' 'latnt_dim': did you mean ...
    """
    found = get(name)
    for option in options:
        if option not in found.options:
            raise unknown(f"option of {found.name!r}", option, found.options)
    return found.builder(spec, **options)
