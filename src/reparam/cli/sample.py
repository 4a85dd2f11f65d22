"""``reparam sample``: what a run's prior generates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from reparam.cli.options import RunOptions
from reparam.cli.output import as_line, write, write_lines
from reparam.cli.parse import parse
from reparam.models.latent import is_latent
from reparam.pictures import grid

MEANS = "the means of p(x | z) for z drawn from the prior"
DRAWS = "draws from p(x | z) for z drawn from the prior"


@dataclass(frozen=True)
class Options(RunOptions):
    """Generate examples from a run's prior, as a picture or (--out FILE.npy) as an array.

    They are the means of p(x | z), as is usual in pictures, or with --draw draws from it. Text is
    always drawn, and printed, each example on a line of its own.
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """How many."""
    label: int | None = None
    """The label to generate, for a model under a condition; all in turn by default."""
    draw: bool = False
    """Give draws from p(x | z), and not its means; also in a file .npy."""
    out: Path | None = None
    """The file, .png or .npy; in the run\'s folder by default. For text .txt or .npy."""


def main(arguments: Sequence[str]) -> None:
    """Draw examples and write them."""
    options = parse(Options, "sample", arguments)
    run = options.load()
    is_drawn = options.draw or run.vocabulary is not None or not is_latent(run.model)
    means: dict[str, Any] = {} if is_drawn else {"mean": True}
    examples = run.sample(options.n, seed=options.seed, label=options.label, **means)
    if run.vocabulary is not None:
        lines = [as_line(text) for text in run.vocabulary.texts(examples)]
        return write_lines(options.out, lines, examples)
    seen = DRAWS if is_drawn else MEANS
    labeled = options.label is not None
    name = "draws" if options.draw else "samples"
    name += f"-label-{options.label}.png" if labeled else ".png"
    return write(
        options.out,
        options.run / name,
        examples,
        run.spec,
        lambda: grid(examples.cpu()),
        f"{seen}, under label {options.label}" if labeled else seen,
    )
