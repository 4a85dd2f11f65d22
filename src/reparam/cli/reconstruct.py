"""``reparam reconstruct``: show inputs beside their reconstructions."""

from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import Count, ExampleOptions, RunOptions
from reparam.cli.output import as_line, write, write_lines
from reparam.cli.parse import verb
from reparam.pictures import side_by_side

SEEN = "bands of inputs of the model, each above its reconstruction"


@dataclass(frozen=True)
class Options:
    """Show inputs, each above its reconstruction; --out FILE.npy writes the reconstructions.

    Text is printed: each input, and below it the most likely text of its code.

    Arguments:
        n: The number of examples.
        out: The file, .png or .npy; in the run's folder by default. For text .txt or .npy.
    """

    run: RunOptions
    examples: ExampleOptions
    n: Count = 32
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Reconstruct the first examples of a split and write them."""
    run = options.run.load()
    batch = options.examples.of(run, options.run.seed, options.n)
    made = run.reconstruct(batch)
    if run.vocabulary is not None:
        pairs = zip(run.vocabulary.texts(batch.x), run.vocabulary.texts(made), strict=True)
        lines = [f"read: {as_line(x)}\nmade: {as_line(y)}\n" for x, y in pairs]
        return write_lines(options.out, lines, made)
    return write(
        options.out,
        options.run.folder / "reconstructions.png",
        made,
        run.spec,
        lambda: side_by_side(batch.x, made),
        SEEN,
    )
