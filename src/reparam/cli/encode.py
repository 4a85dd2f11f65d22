"""``reparam encode``: write the latent codes of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import ExampleOptions, RunOptions
from reparam.cli.output import write
from reparam.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """Write the posterior means of a split as an array of shape (examples, latent dimensions).

    Arguments:
        out: The file, ending in .npy; codes.npy in the run's folder by default.
    """

    run: RunOptions
    examples: ExampleOptions
    out: Path | None = None


def main(arguments: Sequence[str]) -> None:
    """Encode a split and write the codes."""
    options = parse(Options, "encode", arguments)
    run = options.run.load()
    codes = run.encode(options.examples.of(run, options.run.seed))
    write(options.out, options.run.folder / "codes.npy", codes, run.spec, None)
