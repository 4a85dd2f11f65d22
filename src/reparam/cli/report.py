"""``reparam report``: write one page on runs: figures, pictures, the latent space, findings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.parse import verb
from reparam.report import report
from reparam.runs.folder import RunFolder
from reparam.runs.load import load
from reparam.runs.options import EvaluationOptions
from reparam.utils.arguments import as_int
from reparam.utils.terminal import note

ADVISES_ON = (EvaluationOptions,)
"""The options of other verbs that the advice of the diagnosis speaks of."""


@dataclass(frozen=True)
class Options:
    """Write a self-contained page on trained runs, which any browser opens offline.

    It shows what was trained, the figures with their errors, samples and reconstructions, training,
    and what the doctor finds. In the map of the latent space a small decoder computes what lies
    under the pointer. Several runs are compared by paired differences.

    Arguments:
        folders: The folders of the runs.
        out: The file; report.html in the folder of the first run by default.
        n_samples: The number of importance samples of figures that are not stored yet.
        data_dir: The folder that holds the data set's folder; no other place is searched then.
        device: The device: auto, cpu, cuda, cuda:1 ...
        seed: The seed of every draw.
    """

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    out: Path | None = None
    n_samples: int = 100
    data_dir: Path | None = None
    device: str = "auto"
    seed: int = 0


@verb
def main(options: Options) -> None:
    """Write the page."""
    as_int("seed", options.seed)
    runs = [load(folder, device=options.device) for folder in options.folders]
    for run in runs:
        if options.data_dir is not None:
            run.data = run.dataset(data_dir=options.data_dir)
    page = report(*runs, n_samples=options.n_samples, seed=options.seed)
    place = page.save(options.out or RunFolder(options.folders[0]).report_file)
    note(f"wrote {place} ({len(page.html) / 1e6:.1f} MB): open it in a browser")
