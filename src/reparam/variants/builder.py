"""From a variant and options to a recipe.

The function of a variant returns a ``Specification``. The parts that the user names are merged into
it, the rules of ``compatibility`` are checked, and the model is built once.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, cast

from reparam.errors import OptionError, unknown
from reparam.families import Family
from reparam.objectives.recipe import Recipe, Source
from reparam.spec import DataSpec
from reparam.utils.arguments import as_declared, is_about_numbers
from reparam.utils.memory import building
from reparam.variants.compatibility import check
from reparam.variants.networks import with_data_defaults
from reparam.variants.options import Option, options_of, part_options
from reparam.variants.registry import VARIANTS, Variant, get
from reparam.variants.specification import (
    Composition,
    OptionValue,
    Specification,
    merged,
)
from reparam.variants.start import start_milestones

P = ParamSpec("P")
Specify = Callable[Concatenate[DataSpec, P], Specification]
"""The function of a variant, from data and options to its specification."""

Build = Callable[Concatenate[DataSpec, P], Recipe]
"""The function that a variant becomes, from the same arguments to a recipe."""


def variant(name: str, *, year: int, paper: str) -> Callable[[Specify[P]], Build[P]]:
    """Return a decorator that registers a function from data and options to a specification.

    Arguments:
        name: The name, in lower case with dashes.
        year: The year of the paper.
        paper: Its authors and where it appeared.

    Raises:
        OptionError: The name is taken.
    """

    def register(specify: Specify[P]) -> Build[P]:
        @functools.wraps(specify)
        def builder(spec: DataSpec, *args: P.args, **kwargs: P.kwargs) -> Recipe:
            own = get(name).options
            for option in kwargs:
                if option not in own:
                    raise unknown(f"option of {name!r}", option, own)
            _, *given = inspect.signature(specify).bind(spec, *args, **kwargs).arguments.items()
            options: dict[str, Any] = dict(given)
            return build(name, spec, **(options | options.pop("net", {})))

        signature = inspect.signature(specify).replace(return_annotation=Recipe)
        builder.__signature__ = signature  # type: ignore[attr-defined]
        VARIANTS.add(name, Variant(name, builder, year, paper))
        return cast(Build[P], builder)

    return register


def build(name: str, spec: DataSpec, **options: OptionValue) -> Recipe:
    """Build the recipe of a variant for data.

    Arguments:
        name: The name of the variant.
        spec: The shape and support of the data.
        options: The options of the variant, and the parts that replace its own: see
            ``options_of``.

    Raises:
        OptionError: A variant, or an option of it, that does not exist.
        SupportError: Parts that are incompatible: see ``compatibility.RULES``.

    Example:
        >>> build("vae", DataSpec((1, 8, 8), "binary"), latnt_dim=2)
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown option of 'vae' 'latnt_dim': did you mean ...
    """
    variant, known = get(name), options_of(name)
    for option in options:
        if option not in known:
            raise unknown(f"option of {variant.name!r}", option, known)
    if not isinstance(spec, DataSpec):
        raise OptionError(
            f"spec of type {type(spec).__name__}: {variant.name!r} is built for a DataSpec, such "
            "as data.spec"
        )
    given = {k: _declared(known[k], options[k]) for k in known if k in options}
    defaults = {k: parameter.default for k, parameter in variant.options.items()}
    asked = {k: v for k, v in given.items() if v != known[k].default}
    values = defaults | {k: v for k, v in given.items() if k in defaults}
    values = with_data_defaults(values, given, spec)
    parts = {k: v for k, v in asked.items() if k not in defaults}
    # Options of parts can be options of the variant too, as n_components of vamp-vae is.
    shared = defaults.keys() & part_options().keys()
    with building(**given):
        chosen = {k: values[k] for k in shared} | parts
        specification = merged(variant.specify(spec, **values), chosen)
        check(specification, {k: asked[k] for k in shared & asked.keys()} | parts)
        if specification.composition is not None and parts:
            for option in sorted(asked.keys() - shared - parts.keys()):
                others = variant.specify(spec, **(values | {option: defaults[option]}))
                if merged(others, chosen) == specification:
                    named = ", ".join(f"{k}={v!r}" for k, v in parts.items())
                    raise OptionError(
                        f"{option}={asked[option]}: has no effect with {named}; drop one of them"
                    )
        model = specification.model
        model = model.build(specification.data) if isinstance(model, Composition) else model
        milestones = start_milestones(model, bool(parts.get("start_at_mean", True)))
    return Recipe(
        model,
        specification.objective,
        specification.players,
        (*specification.milestones, *milestones),
        specification.data,
        _source(variant.name, values | parts),
    )


def _declared(option: Option, value: Any) -> Any:
    """Return a number as its declared type; a name is checked where it is looked up."""
    is_number = is_about_numbers(option.type)
    return as_declared(option.name, value, option.type) if is_number else value


def _source(variant: str, options: Mapping[str, Any]) -> Source | None:
    """Return the source of a recipe; None where an option is a family, not a plain value."""
    if any(isinstance(value, Family) for value in options.values()):
        return None
    return Source(variant, {name: _plain(value) for name, value in options.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # a subclass of str cannot be written as YAML
    return [_plain(item) for item in value] if isinstance(value, Sequence) else value
