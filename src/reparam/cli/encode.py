"""``reparam encode``: the latent codes of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import DataOptions
from reparam.cli.output import write
from reparam.cli.parse import parse


@dataclass(frozen=True)
class Options(DataOptions):
    """Write the posterior means of a split as an array of shape (examples, latent dimensions)."""

    out: Path | None = None
    """The file, ending in .npy; codes.npy in the run's folder by default."""


def main(arguments: Sequence[str]) -> None:
    """Encode a split and write the codes."""
    options = parse(Options, "encode", arguments)
    run = options.load()
    batch = run.examples(options.dataset(run), options.split, options.seed)
    write(options.out, options.run / "codes.npy", run.encode(batch), run.spec, None)
