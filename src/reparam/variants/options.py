"""The options of a variant: its own, then the parts that can replace its own."""

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

import docstring_parser

from reparam.utils.registry import parameters_of
from reparam.variants.parts import KINDS
from reparam.variants.registry import get

_HELP = {
    "posterior": "q(z | x), by name.",
    "prior": "p(z), by name.",
    "objective": "The objective to maximize, by name.",
}

_START_AT_MEAN = (
    "Start the decoder at the mean of 10,000 training examples, for every z, as the code of Burda "
    "et al. (ICLR 2016) does. For pixels with a Bernoulli or the cross-entropy; a Gaussian with a "
    "learned variance becomes worse."
)


@dataclass(frozen=True)
class Option:
    """One option of a variant.

    Arguments:
        name: Its name in Python.
        type: Its type.
        default: Its default value.
        help: What it is, in a sentence.
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
    """Return the options of every variant: the parts, and what the parts declare as options.

    Example:
        >>> list(part_options())
        ['posterior', 'prior', 'n_components', 'objective', 'free_bits', 'n_importance',
        'start_at_mean']
    """
    found: dict[str, Option] = {}
    for kind, registry in KINDS.items():
        found[kind] = Option(kind, str | None, None, _HELP[kind])
        for name in dict.fromkeys(name for part in registry.values() for name in part.kind.options):
            parts = [part for part in registry.values() if name in part.kind.options]
            helps: dict[str, list[str]] = {}
            for part in parts:
                default = parameters_of(part.kind)[name].default
                said = f"{documented(part.kind)[name].rstrip('.')}; {default} by default"
                helps.setdefault(said, []).append(part.name)
            said = " ".join(f"With {kind} {' or '.join(n)}: {said}." for said, n in helps.items())
            hint = get_type_hints(inspect.unwrap(parts[0].kind.__init__))[name]
            found[name] = Option(name, hint | None, None, said)
    return found | {"start_at_mean": Option("start_at_mean", bool, False, _START_AT_MEAN)}


def documented(part: Any) -> dict[str, str]:
    """Return what a docstring says of each argument.

    >>> documented(Option)["default"]
    'Its default value.'
    """
    return _parsed(part.__doc__ or "")


@cache
def _parsed(text: str) -> dict[str, str]:
    found = docstring_parser.parse(text, docstring_parser.DocstringStyle.GOOGLE)
    return {p.arg_name: " ".join((p.description or "").split()) for p in found.params}
