"""``reparam reconstruct``: inputs beside what the model makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.options import DataOptions
from reparam.cli.output import as_line, write, write_lines
from reparam.cli.parse import parse
from reparam.pictures import side_by_side

SEEN = "bands of inputs, as the model is given them, each above its reconstruction"


@dataclass(frozen=True)
class Options(DataOptions):
    """Show inputs, each above its reconstruction; --out FILE.npy writes the reconstructions.

    Text is printed: what was read, and below it the greedy text of its code.
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 32
    """How many."""
    out: Path | None = None
    """The file, .png or .npy; in the run\'s folder by default. For text .txt or .npy."""


def main(arguments: Sequence[str]) -> None:
    """Reconstruct the first examples of a split and write them."""
    options = parse(Options, "reconstruct", arguments)
    run = options.load()
    batch = run.examples(options.dataset(run), options.split, options.seed, options.n)
    made = run.reconstruct(batch)
    if run.vocabulary is not None:
        pairs = zip(run.vocabulary.texts(batch.x), run.vocabulary.texts(made), strict=True)
        lines = [f"read: {as_line(x)}\nmade: {as_line(y)}\n" for x, y in pairs]
        return write_lines(options.out, lines, made)
    return write(
        options.out,
        options.run / "reconstructions.png",
        made,
        run.spec,
        lambda: side_by_side(batch.x, made),
        SEEN,
    )
