"""``reparam export``: write the model of a run as files that run without this library."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.output import elsewhere
from reparam.cli.parse import verb
from reparam.export import Format
from reparam.export.files import BATCHES
from reparam.runs.folder import RunFolder
from reparam.runs.load import load


@dataclass(frozen=True)
class Options:
    """Write the model of a run as files that run without this library: for ONNX, or torch.export.

    They are an encoder, a decoder and a sampler of the prior, and model.json, which describes their
    inputs and outputs and what to draw. Each is compared with the model before it is written.

    Arguments:
        folder: The folder of the run.
        to: The format: onnx, or torch for torch.export.load.
        out: The folder of the files; export/onnx or export/torch in that of the run by default,
            where they replace those of an earlier export.
        overwrite: Replace the files of an earlier export in --out.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    to: Format = "onnx"
    out: Path | None = None
    overwrite: bool = False


@verb
def main(options: Options) -> None:
    """Write the files, and print their largest differences from the model."""
    place = options.out or RunFolder(options.folder).exports / options.to
    with elsewhere(options.out):
        made = load(options.folder, device="cpu").export(
            place, to=options.to, overwrite=options.overwrite or options.out is None
        )
    for name, file in made.files.items():
        checked = made.differences.get(name)
        said = "what to feed, and what to draw" if checked is None else f"difference {checked:.1e}"
        print(f"{file}  ({said})")
    sizes = ", ".join(map(str, BATCHES))
    print(f"largest difference from the model: {made.difference:.1e}, in batches of {sizes}")
