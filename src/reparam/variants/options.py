"""The options of a variant: its own, then the parts that can take the place of its own."""

from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import docstring_parser

from reparam.variants.parts import Parts
from reparam.variants.registry import get


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
    """Return all options of a variant by name: those of its builder, then the parts.

    Raises:
        OptionError: A variant that does not exist.

    Example:
        >>> options_of("beta-vae")["beta"].default, options_of("vae")["prior"].default
        (4.0, None)
    """
    found = get(variant)
    types = get_type_hints(get("vae").builder) | get_type_hints(found.builder)
    helps = documented(get("vae").builder) | documented(found.builder)
    own = {
        name: Option(name, types[name], parameter.default, helps.get(name, ""))
        for name, parameter in found.options.items()
    }
    kinds, said = get_type_hints(Parts), documented(Parts)
    parts = {
        f.name: Option(f.name, kinds[f.name], f.default, said.get(f.name, ""))
        for f in fields(Parts)
    }
    return own | {name: option for name, option in parts.items() if name not in own}


def documented(part: Any) -> dict[str, str]:
    """Return what a docstring says of each argument.

    >>> documented(Parts)["prior"]
    'p(z), by name.'
    """
    said = docstring_parser.parse(part.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    return {p.arg_name: " ".join((p.description or "").split()) for p in said.params}
