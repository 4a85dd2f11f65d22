"""``reparam models``: the variants there are."""

from collections.abc import Sequence
from dataclasses import dataclass

from reparam.cli.parse import parse
from reparam.cli.table import print_table
from reparam.variants import get, names


@dataclass(frozen=True)
class Options:
    """List the variants; each is a name for a composition."""


def main(arguments: Sequence[str]) -> None:
    """Print the table of variants."""
    parse(Options, "models", arguments)
    found = [get(name) for name in names()]
    print_table(
        ("variant", "what it is", "paper"),
        [(v.name, v.summary.rstrip("."), v.paper) for v in found],
    )
    print("\nreparam train VARIANT --help tells the options of a variant.")
