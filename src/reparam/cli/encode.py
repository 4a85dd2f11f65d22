"""``reparam encode``: write the latent codes of a split."""

from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import ExampleOptions, ProcessOptions, RunOptions
from reparam.cli.output import write
from reparam.cli.parse import verb


@dataclass(frozen=True)
class Options:
    """Write the posterior means of a split as an array of shape (examples, latent dimensions).

    Arguments:
        out: The file, ending in .npy; codes.npy in the run's folder by default.
    """

    run: RunOptions
    examples: ExampleOptions
    processes: ProcessOptions
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Encode a split and write the codes."""
    run = options.run.load()
    examples = options.examples.of(run, options.run.seed)
    codes = run.encode(examples, **vars(options.processes))
    if run.is_main:
        write(options.out, options.run.folder / "codes.npy", codes, run.spec, None)
