"""``reparam denoise``: what a run makes of corrupted inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from reparam.cli.options import DataOptions
from reparam.cli.output import write
from reparam.cli.parse import parse
from reparam.errors import OptionError
from reparam.evaluation.samples import psnr
from reparam.evaluation.statistics import mean_and_stderr
from reparam.objectives.corruption import Corruption, Kind
from reparam.pictures import grid
from reparam.runs.run import Run
from reparam.utils.seeding import seeded

SEEN = "bands of inputs, the same corrupted, and what the model makes of those"


@dataclass(frozen=True)
class Options(DataOptions):
    """Corrupt inputs and let a run clean them; --out FILE.npy writes the cleaned ones.

    Any run with latent variables will do; one of the variant dae was trained for it, and is given
    the noise that it was trained on.
    """

    corruption: Kind | None = None
    """The noise; that of the run by default, else gaussian."""
    level: float | None = None
    """Its standard deviation, or the share of entries changed; that of the run, else 0.5."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 20
    """How many are pictured; the figures are of all of the split."""
    out: Path | None = None
    """The file, .png or .npy; in the run's folder by default."""


def main(arguments: Sequence[str]) -> None:
    """Corrupt the examples of a split, clean them, and write both."""
    options = parse(Options, "denoise", arguments)
    if options.n < 1:
        raise OptionError(f"n={options.n}: give at least 1")
    run = options.load()
    if run.spec.support in ("categorical", "tokens"):
        raise OptionError(f"{run.spec.name!r} has classes, not shades: noise means nothing to them")
    batch = run.examples(options.dataset(run), options.split, options.seed)
    noise = noise_of(run, options.corruption, options.level)
    with seeded(torch.device("cpu"), options.seed):
        noisy = noise(batch.x)
    cleaned = run.denoise(replace(batch, x=noisy))
    for name, images in (("corrupted", noisy), ("cleaned", cleaned)):
        mean, stderr = mean_and_stderr(psnr(batch.x, images))
        error = "" if stderr is None else f" ± {stderr:.2f}"  # a single example has none
        print(f"PSNR of the {name} examples: {mean:.2f}{error} dB")
    width = min(10, options.n)
    shown = [part[: options.n].split(width) for part in (batch.x, noisy, cleaned)]
    bands = torch.cat([row for band in zip(*shown, strict=True) for row in band])
    write(
        options.out,
        options.run / "denoised.png",
        cleaned,
        run.spec,
        lambda: grid(bands, n_columns=width),
        f"{SEEN}; {noise.kind} noise of level {noise.level:g}",
    )


def noise_of(run: Run, kind: Kind | None, level: float | None) -> Corruption:
    """Return the noise asked for; where nothing is asked, that which the run was trained on."""
    own = (run.config.get("corruption"), run.config.get("level"))
    kind = kind or own[0] or "gaussian"
    level = own[1] if level is None and kind == own[0] else level
    return Corruption(kind, 0.5 if level is None else level)
