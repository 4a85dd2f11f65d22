"""``reparam reconstruct``: inputs beside what the model makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.options import DataOptions
from reparam.cli.output import write
from reparam.cli.parse import parse
from reparam.report.pictures import side_by_side


@dataclass(frozen=True)
class Options(DataOptions):
    """Show inputs, each above its reconstruction; --out FILE.npy writes the reconstructions."""

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 32
    """How many."""
    out: Path = Path("reconstructions.png")
    """The file: .png for a picture, .npy for an array."""


def main(arguments: Sequence[str]) -> None:
    """Reconstruct the first examples of a split and write them."""
    options = parse(Options, "reconstruct", arguments)
    run = options.load()
    batch = run.examples(options.dataset(run), options.split, options.seed, options.n)
    made = run.reconstruct(batch)
    write(options.out, made, run.spec, lambda: side_by_side(batch.x, made))
