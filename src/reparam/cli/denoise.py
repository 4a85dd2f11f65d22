"""``reparam denoise``: reconstruct corrupted inputs with a run."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from reparam.cli.options import Count, ExampleOptions, RunOptions
from reparam.cli.output import write
from reparam.cli.parse import verb
from reparam.errors import OptionError
from reparam.evaluation.figure import mean_and_stderr
from reparam.evaluation.samples import psnr
from reparam.objectives.corruption import Kind, corruption_of
from reparam.pictures import grid
from reparam.utils.seeding import seeded

SEEN = "bands of inputs, the same corrupted, and their reconstructions"


@dataclass(frozen=True)
class Options:
    """Corrupt inputs and reconstruct them; --out FILE.npy writes the reconstructions.

    The run may be any with latent variables. One of the variant dae gets the noise of its training
    by default.

    Arguments:
        corruption: The noise; that of the run by default, else gaussian.
        level: The standard deviation, or the share of entries changed; that of the run,
            else 0.5.
        n: The number of examples in the picture; the figures are those of the whole split.
        out: The file, .png or .npy; in the run's folder by default.
    """

    run: RunOptions
    examples: ExampleOptions
    corruption: Kind | None = None
    level: float | None = None
    n: Count = 20
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Corrupt the examples of a split, reconstruct them, and write both."""
    if options.n < 1:
        raise OptionError(f"n={options.n}: give at least 1")
    run = options.run.load()
    if run.spec.support in ("categorical", "tokens", "mixed"):
        raise OptionError(
            f"{run.spec.name!r} has categorical values, which cannot be corrupted by small noise"
        )
    batch = options.examples.of(run, options.run.seed)
    noise = corruption_of(run.config, options.corruption, options.level)
    with seeded(torch.device("cpu"), options.run.seed):
        noisy = noise(batch.x)
    cleaned = run.denoise(replace(batch, x=noisy))
    for name, images in (("corrupted", noisy), ("cleaned", cleaned)):
        mean, stderr = mean_and_stderr(psnr(batch.x, images))
        error = "" if stderr is None else f" ± {stderr:.2f}"  # a single example has none
        print(f"PSNR of the {name} examples: {mean:.2f}{error} dB")
    width = min(10, options.n)
    rows = [part[: options.n].split(width) for part in (batch.x, noisy, cleaned)]
    bands = torch.cat([row for band in zip(*rows, strict=True) for row in band])
    write(
        options.out,
        options.run.folder / "denoised.png",
        cleaned,
        run.spec,
        lambda: grid(bands, n_columns=width),
        f"{SEEN}; {noise.kind} noise of level {noise.level:g}",
    )
