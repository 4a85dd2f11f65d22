"""The registry of variants. The command line, the README's table and the contract tests read it."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from reparam.errors import OptionError, folded, unknown
from reparam.spec import DataSpec
from reparam.utils.arguments import as_declared, is_about_numbers
from reparam.utils.memory import building
from reparam.variants.parts import PARTS, Parts, with_parts
from reparam.variants.recipe import Recipe, Source, replace

Builder = TypeVar("Builder", bound=Callable[..., Recipe])


@dataclass(frozen=True)
class Variant:
    """A registered composition.

    Arguments:
        name: What the command line calls it.
        builder: (spec, **options) -> Recipe.
        year: The year of its paper.
        paper: The paper.
        owned: The options that belong to a part, and go with it when another takes its place: the
            name of the part, ``posterior``, ``prior`` or ``objective``, for each.
    """

    name: str
    builder: Callable[..., Recipe]
    year: int
    paper: str
    owned: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """The builder's options, without the data spec.

        Options that a builder takes as ``**net`` are those of ``vae`` that it does not name.
        """
        options = dict(list(inspect.signature(self.builder).parameters.items())[1:])
        passed_on = [k for k, p in options.items() if p.kind is inspect.Parameter.VAR_KEYWORD]
        for name in passed_on:
            del options[name]
        if passed_on:
            options |= {k: p for k, p in get("vae").options.items() if k not in options}
        return options


_VARIANTS: dict[str, Variant] = {}


def variant(
    name: str, *, year: int, paper: str, **owned: Sequence[str]
) -> Callable[[Builder], Builder]:
    """Register a builder under a name.

    Arguments:
        name: The name, in lower case with dashes.
        year: The year of the paper.
        paper: Its authors and where it appeared.
        owned: For a part, ``posterior``, ``prior`` or ``objective``, the options that mean nothing
            without it.

    Raises:
        OptionError: The name is taken.
    """

    def register(builder: Builder) -> Builder:
        if name in _VARIANTS:
            raise OptionError(f"variant {name!r} is registered already: choose another name")

        @functools.wraps(builder)
        def built(spec: DataSpec, *args: Any, **kwargs: Any) -> Recipe:
            if not isinstance(spec, DataSpec):
                raise OptionError(
                    f"spec of type {type(spec).__name__}: {name!r} is built for a DataSpec, such "
                    "as data.spec"
                )
            made = get(name)
            for option in kwargs:
                if option not in made.options:
                    raise unknown(f"option of {name!r}", option, made.options)
            given = _declared(inspect.signature(builder).bind(spec, *args, **kwargs), made.options)
            with building(**{**given.arguments, **kwargs}):
                recipe = builder(*given.args, **given.kwargs)
            return replace(recipe, spec=recipe.spec or spec, source=_source(made, given, recipe))

        of_part = {option: part for part, options in owned.items() for option in options}
        _VARIANTS[name] = Variant(name, built, year, paper, of_part)
        return cast(Builder, built)

    return register


def _declared(
    given: inspect.BoundArguments, options: Mapping[str, inspect.Parameter]
) -> inspect.BoundArguments:
    """Return arguments whose numbers are plain ones, as the options declare them."""

    def declared(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            # A name of the wrong type is refused where it is looked up, with the known names.
            name: as_declared(name, value, options[name].annotation)
            if name in options and is_about_numbers(options[name].annotation)
            else value
            for name, value in values.items()
        }

    for name, value in given.arguments.items():
        passed_on = given.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        given.arguments[name] = declared(value) if passed_on else declared({name: value})[name]
    return given


def _source(variant: Variant, given: inspect.BoundArguments, recipe: Recipe) -> Source | None:
    """Return what builds the recipe again; None where an option is no plain value, as a family."""
    options = {name: parameter.default for name, parameter in variant.options.items()}
    if recipe.source is not None:
        # Another variant's builder did the work, and has recorded what it was passed.
        options |= {k: v for k, v in recipe.source.options.items() if k in options}
    for name, value in given.arguments.items():
        passed_on = given.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        options |= value if passed_on else {name: value} if name in options else {}
    options = {name: _plain(value) for name, value in options.items()}
    plain = (str, int, float, bool, list, type(None))
    if not all(isinstance(value, plain) for value in options.values()):
        return None
    return Source(variant.name, options)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # and no subclass, which YAML would not write
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value


def names() -> tuple[str, ...]:
    """Return the names of all variants: the VAE, then the others in the order of their papers.

    >>> names()[0]
    'vae'
    """
    found = sorted(_VARIANTS.values(), key=lambda v: (v.name != "vae", v.year, v.name))
    return tuple(v.name for v in found)


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

    Arguments:
        name: The name of the variant.
        spec: The shape and support of the data.
        options: Those of its builder, and ``Parts`` that take the place of its own.

    Raises:
        OptionError: A variant, or an option of it, that does not exist.

    Example:
        >>> build("vae", DataSpec((1, 8, 8), "binary"), latnt_dim=2)
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown option of 'vae' 'latnt_dim': did you mean ...
    """
    found = get(name)
    for option in options:
        if option not in (*found.options, *PARTS):
            raise unknown(f"option of {found.name!r}", option, [*found.options, *PARTS])
    # A part that is what it is anyway was not asked for.
    usual = Parts()
    others = {k: v for k, v in options.items() if k not in found.options and v != getattr(usual, k)}
    recipe = found.builder(spec, **{k: v for k, v in options.items() if k in found.options})
    # An option of the builder's own goes with the part that takes the place of its own.
    shared = {
        "n_components": {"prior", "posterior"} & set(others),
        "n_importance": {"objective"} & set(others),
        "free_bits": {"objective"} & set(others),
    }
    given = {k: options[k] for k, parts in shared.items() if parts and options.get(k) is not None}
    own = recipe.objective
    with building(**options):
        recipe = with_parts(recipe, Parts(**(given | others)))
    # An objective of the same kind keeps the variant's weights; posterior and prior are made anew.
    kept = "objective" if type(recipe.objective) is type(own) else None
    for option, part in found.owned.items():
        default = found.options[option].default
        if part in others and part != kept and options.get(option, default) != default:
            raise OptionError(
                f"{option}={options[option]}: an option of the {part} of {found.name!r}, which "
                f"{part} {others[part]!r} takes the place of; drop one of them"
            )
    return recipe
