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

SEEN = "bands of inputs, as the model is given them, each above its reconstruction"


@dataclass(frozen=True)
class Options(DataOptions):
    """Show inputs, each above its reconstruction; --out FILE.npy writes the reconstructions."""

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 32
    """How many."""
    out: Path | None = None
    """The file, .png or .npy; in the run\'s folder by default."""


def main(arguments: Sequence[str]) -> None:
    """Reconstruct the first examples of a split and write them."""
    options = parse(Options, "reconstruct", arguments)
    run = options.load()
    batch = run.examples(options.dataset(run), options.split, options.seed, options.n)
    made = run.reconstruct(batch)
    write(
        options.out or options.run / "reconstructions.png",
        made,
        run.spec,
        lambda: side_by_side(batch.x, made),
        SEEN,
    )
