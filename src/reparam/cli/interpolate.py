"""``reparam interpolate``: walk between examples through the latent space."""

from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import Count, ExampleOptions, RunOptions
from reparam.cli.output import as_line, write, write_lines
from reparam.cli.parse import verb
from reparam.divergence import is_direction
from reparam.errors import OptionError
from reparam.evaluation.latents.activity import interpolate
from reparam.pictures import grid
from reparam.utils.memory import allocating

SEEN = "each row walks from the reconstruction of one example to that of another"


@dataclass(frozen=True)
class Options:
    """Decode the points between the codes of two examples, a pair of them in each row.

    Text is printed: both examples, and between them the most likely text of each point.

    Arguments:
        n: The number of pairs.
        steps: The number of pictures in each row, with the ends.
        out: The file, .png or .npy; in the run's folder by default. For text .txt or .npy.
    """

    run: RunOptions
    examples: ExampleOptions
    n: Count = 8
    steps: int = 10
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Interpolate between the first examples of a split and write the pictures."""
    if options.n < 1 or options.steps < 2:
        raise OptionError(f"n={options.n}, steps={options.steps}: at least 1 pair and 2 steps")
    run = options.run.load()
    batch = options.examples.of(run, options.run.seed, 2 * options.n)
    codes = run.encode(batch)
    if len(codes) < 2:
        raise OptionError(f"split {options.examples.split!r} has one example: a walk needs two")
    codes = codes[: len(codes) // 2 * 2]
    c = batch.c
    prior = run.latent_model.prior_distribution(None if c is None else c.to(run.device))
    on_sphere = is_direction(prior)
    with allocating(n=options.n, steps=options.steps):
        walks = interpolate(codes[0::2], codes[1::2], options.steps, on_sphere=on_sphere)
    if c is not None:
        # The condition is interpolated as the code is.
        c = interpolate(c[0 : len(codes) : 2], c[1 : len(codes) : 2], options.steps).flatten(0, 1)
    images = run.decode(walks.flatten(0, 1), c)
    if run.vocabulary is not None:
        ends, steps = run.vocabulary.texts(batch.x), run.vocabulary.texts(images)
        lines = []
        for i in range(len(walks)):
            walk = [as_line(text) for text in steps[i * options.steps : (i + 1) * options.steps]]
            first, last = as_line(ends[2 * i]), as_line(ends[2 * i + 1])
            lines += [f"from  {first}", *(f"      {line}" for line in walk), f"to    {last}", ""]
        return write_lines(options.out, lines, images)
    return write(
        options.out,
        options.run.folder / "interpolation.png",
        images,
        run.spec,
        lambda: grid(images.cpu(), n_columns=options.steps),
        SEEN,
    )
