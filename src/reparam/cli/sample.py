"""``reparam sample``: draw examples from a run's prior."""

from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import Count, RunOptions
from reparam.cli.output import as_line, write, write_lines
from reparam.cli.parse import verb
from reparam.models.latent import is_latent
from reparam.pictures import grid


@dataclass(frozen=True)
class Options:
    """Generate examples from a run's prior, as a picture or (--out FILE.npy) as an array.

    The examples are the means of p(x | z), as is usual in pictures, or with --draw draws from it.
    Text is always drawn, and printed, one example on each line.

    Arguments:
        n: The number of examples.
        label: The label to generate, for a model under a condition; all in turn by default.
        draw: Write draws from p(x | z) instead of its means; also in a file .npy.
        out: The file, .png or .npy; in the run's folder by default. For text .txt or .npy.
    """

    run: RunOptions
    n: Count = 64
    label: int | None = None
    draw: bool = False
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Draw examples and write them."""
    run = options.run.load()
    is_drawn = options.draw or run.vocabulary is not None or not is_latent(run.model)
    seed = options.run.seed
    examples = run.sample(options.n, seed=seed, label=options.label, mean=not is_drawn)
    if run.vocabulary is not None:
        lines = [as_line(text) for text in run.vocabulary.texts(examples)]
        return write_lines(options.out, lines, examples)
    seen = f"{'draws from' if is_drawn else 'the means of'} p(x | z) for z drawn from the prior"
    labeled = options.label is not None
    name = "draws" if options.draw else "samples"
    name += f"-label-{options.label}.png" if labeled else ".png"
    return write(
        options.out,
        options.run.folder / name,
        examples,
        run.spec,
        lambda: grid(examples.cpu()),
        f"{seen}, under label {options.label}" if labeled else seen,
    )
