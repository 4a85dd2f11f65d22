"""The options of a variant: its own, then the parts that can replace its own."""

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

import docstring_parser

from reparam.utils.registry import parameters_of
from reparam.variants.kinds import options_of_parts
from reparam.variants.registry import get

_HELP = {
    "posterior": "q(z | x), by name.",
    "prior": "p(z), by name.",
    "objective": "The objective to maximize, by name.",
}

_START_AT_MEAN = (
    "Start the decoder at the mean and the variance of 10,000 training examples, for every z, "
    "where the likelihood can."
)


@dataclass(frozen=True)
class Option:
    """One option of a variant.

    Arguments:
        name: Its name in Python.
        type: Its type.
        default: Its default value.
        help: Its meaning, in a sentence.
    """

    name: str
    type: Any
    default: Any
    help: str


def options_of(variant: str) -> dict[str, Option]:
    """Return all options of a variant by name: its own, then the parts.

    Raises:
        OptionError: A variant that does not exist.

    Example:
        >>> options_of("beta-vae")["beta"].default, options_of("vae")["prior"].default
        (4.0, None)
    """
    found = get(variant)
    types = get_type_hints(get("vae").specify) | get_type_hints(found.specify)
    helps = documented(get("vae").specify) | documented(found.specify)
    own = {
        name: Option(name, types[name], parameter.default, helps.get(name, ""))
        for name, parameter in found.options.items()
    }
    return own | {name: option for name, option in part_options().items() if name not in own}


def part_options() -> dict[str, Option]:
    """Return the options of every variant: the kinds of parts, and the options of parts.

    Example:
        >>> list(part_options())
        ['posterior', 'prior', 'objective', 'n_components', 'free_bits', 'n_importance',
        'start_at_mean']
    """
    found = {kind: Option(kind, str | None, None, text) for kind, text in _HELP.items()}
    for name, (kind, parts) in options_of_parts().items():
        helps: dict[str, list[str]] = {}
        for part in parts:
            default = parameters_of(part.kind)[name].default
            text = f"{documented(part.kind).get(name, '').rstrip('.')}; {default} by default"
            helps.setdefault(text, []).append(part.name)
        text = " ".join(f"With {kind} {' or '.join(n)}: {text}." for text, n in helps.items())
        hint = get_type_hints(inspect.unwrap(parts[0].kind.__init__))[name]
        found[name] = Option(name, hint | None, None, text)
    return found | {"start_at_mean": Option("start_at_mean", bool, True, _START_AT_MEAN)}


def documented(part: object) -> dict[str, str]:
    """Return the description of each argument in a docstring.

    >>> documented(Option)["default"]
    'Its default value.'
    """
    return _parsed(part.__doc__ or "")


@cache
def _parsed(text: str) -> dict[str, str]:
    found = docstring_parser.parse(text, docstring_parser.DocstringStyle.GOOGLE)
    return {p.arg_name: " ".join((p.description or "").split()) for p in found.params}
