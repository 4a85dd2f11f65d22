"""Tables on a terminal."""

import sys
from collections.abc import Sequence

from reparam.utils.terminal import width

COLUMN = 12
"""The fewest columns of the terminal that a column of a table has on average."""


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, folded to the terminal's width; unfolded into a pipe."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table

    # Narrower than this a column would have no room for its words.
    narrowest = COLUMN * len(header) if sys.stdout.isatty() else 200
    columns = [Column(name, overflow="fold") for name in header]
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(width=max(width(), narrowest))
    with console.capture() as printed:
        console.print(table)
    print(printed.get(), end="")
