"""``reparam sample``: what a run's prior generates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.options import RunOptions
from reparam.cli.output import as_line, write, write_lines
from reparam.cli.parse import parse
from reparam.report.pictures import grid

SEEN = "the means of p(x | z) for z drawn from the prior"


@dataclass(frozen=True)
class Options(RunOptions):
    """Draw examples from a run's prior, as a picture or (--out FILE.npy) as an array.

    Text is printed, each example on a line of its own.
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """How many."""
    label: int | None = None
    """The label to generate, for a model under a condition; all in turn by default."""
    out: Path | None = None
    """The file, .png or .npy; in the run\'s folder by default. For text .txt or .npy."""


def main(arguments: Sequence[str]) -> None:
    """Draw examples and write them."""
    options = parse(Options, "sample", arguments)
    run = options.load()
    examples = run.sample(options.n, seed=options.seed, label=options.label)
    if run.vocabulary is not None:
        lines = [as_line(text) for text in run.vocabulary.texts(examples)]
        return write_lines(options.out, lines, examples)
    labeled = options.label is not None
    name = f"samples-label-{options.label}.png" if labeled else "samples.png"
    return write(
        options.out,
        options.run / name,
        examples,
        run.spec,
        lambda: grid(examples.cpu()),
        f"{SEEN}, under label {options.label}" if labeled else SEEN,
    )
