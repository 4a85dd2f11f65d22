"""``reparam models``: list the variants, or describe one."""

import inspect
import re
from dataclasses import dataclass
from textwrap import indent

import tyro

from reparam.cli.parse import verb
from reparam.cli.table import print_table
from reparam.families import LIKELIHOODS
from reparam.variants import REFUSALS, Variant, get, names, options_of
from reparam.variants.kinds import KINDS


@dataclass(frozen=True)
class Options:
    """List the variants, each a name for a composition; or describe one of them.

    Arguments:
        name: The variant to describe: its paper, its use, its limits, its formulas and symbols.
    """

    name: tyro.conf.Positional[str | None] = None


@verb
def main(options: Options) -> None:
    """Print the table of variants, or the entry of one."""
    if options.name is not None:
        print(described(get(options.name)))
        return
    found = [get(name) for name in names()]
    print_table(
        ("variant", "what it is", "paper"),
        [(v.name, v.summary.rstrip("."), v.paper) for v in found],
    )
    print("\nParts for any variant whose encoder is a network and a family:")
    for kind, known in KINDS.items():
        print(f"  --{kind:<9}  {', '.join(known)}")
    print("  --condition  label")
    print("\nLikelihoods, with --likelihood, and their data:")
    for name, part in LIKELIHOODS.items():
        print(f"  {name:<20}  {', '.join(part.kind.supports)}")
    print("\nNot together:")
    for what, reason in REFUSALS:
        print(f"  {what}: {reason}")
    print("\nreparam models VARIANT describes one: its use, its limits and its formulas.")
    print("reparam train VARIANT --help shows its options.")


def described(variant: Variant) -> str:
    """Return the description of a variant.

    >>> described(get("beta-vae")).splitlines()[0]
    'beta-vae: Higgins et al., ICLR 2017'
    """
    text = inspect.getdoc(variant.builder) or ""
    text = re.split(r"\n(?:Symbols|Arguments):\n", text)[0].rstrip()
    description = re.sub(r"\n +", "\n    ", text.replace(".. math:: ", "")).replace("``", "")
    known = options_of(variant.name)
    symbols = [
        f"  {s.name}{f' (--{flag(s.argument)})' if s.argument in known else ''}: {s.meaning}"
        for s in variant.description.symbols
    ]
    options = [
        f"  --{flag(name)} {as_words(option.default)}".rstrip()
        for name, option in variant.options.items()
    ]
    return "\n".join(
        [
            f"{variant.name}: {variant.paper}",
            "",
            indent(description, "  "),
            "",
            "  Symbols:",
            *(indent(symbol.replace("``", ""), "    ") for symbol in symbols),
            "",
            "Its own options and their defaults:",
            *options,
        ]
    )


def flag(name: str) -> str:
    """Return the name of an option as it is typed.

    >>> flag("latent_dim")
    'latent-dim'
    """
    return name.replace("_", "-")


def as_words(default: object) -> str:
    """Return a default as it is typed.

    >>> as_words((300, 300)), as_words(None)
    ('300 300', '(see --help)')
    """
    if default is None:
        return "(see --help)"
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return str(default)
