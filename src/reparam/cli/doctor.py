"""``reparam doctor``: find what is wrong with a run or with data, and what to change."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

import numpy as np
import tyro

from reparam import data as data_sets
from reparam.cli.output import show
from reparam.cli.parse import verb
from reparam.data import SOURCES
from reparam.data.files import ARRAYS, CELLS
from reparam.data.image_folder import ENDINGS, find_images
from reparam.data.image_set import Binarize
from reparam.data.sources.array import is_sparse
from reparam.diagnostics import Diagnosis, examine, examine_data
from reparam.errors import DataError, OptionError, unknown
from reparam.runs.folder import RunFolder
from reparam.runs.load import load
from reparam.runs.options import EvaluationOptions
from reparam.spec import Support
from reparam.utils.arguments import as_int
from reparam.utils.files import as_path
from reparam.utils.terminal import reworded

UNREADABLE = (
    *(OSError, ValueError, LookupError, EOFError, MemoryError, ArithmeticError),
    *(NotImplementedError, BadZipFile, zlib.error),
)
"""The errors of files that are no arrays, or damaged ones."""

TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
"""Files of tables; as text they would be digits and commas."""

ADVISES_ON = (EvaluationOptions,)
"""The options of other verbs that the advice of the diagnosis speaks of."""


@dataclass(frozen=True)
class Options:
    """Find the problems of a run or of data, their evidence, and what to change.

    Arguments:
        target: The folder of a run; or a data set, a text, a folder of images or a .npy file.
        data_dir: The folder that holds the data set's folder; no other place is searched
            then.
        path: Your own file: the place of the run's file now, or that of the data sets text
            and images.
        binarize: How grey images of a data set become binary; each data set has a default
            of its own.
        dequantize: Whether uniform noise makes pixel levels of a data set continuous.
        support: The set that contains the entries of a .npy file.
        n_examples: The largest number of random examples of each split to examine.
        device: The device: auto, cpu, cuda, cuda:1 ...
        seed: The seed of every draw.
        all: Show the evidence of checks that passed, too.
        json: Print JSON.
    """

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN|DATA")]
    data_dir: str | None = None
    path: str | None = None
    binarize: Binarize | None = None
    dequantize: bool | None = None
    support: Support | None = None
    n_examples: int = 1000
    device: str = "auto"
    seed: int = 0
    all: bool = False
    json: bool = False


@verb
def main(options: Options) -> None:
    """Examine a run or data, and print the findings."""
    as_int("seed", options.seed)
    found = diagnosis(options)
    if options.json:
        found = replace(found, findings=tuple(replace(f, fix=reworded(f.fix)) for f in found))
    show(found.to_dict() if options.json else found.report(options.all), Options)


def diagnosis(options: Options) -> Diagnosis:
    """Return the findings about the run or data that the options name.

    Raises:
        OptionError: No run, data set or file of this name, or an option that it does not have.
    """
    place = as_path(options.target, "target")
    limits: dict[str, Any] = {"n_examples": options.n_examples, "seed": options.seed}
    if RunFolder(place).holds_run:
        for name in ("binarize", "dequantize", "support"):
            if vars(options)[name] is not None:
                raise OptionError(f"{name}=: a run has prepared data; leave it out")
        run = load(place, device=options.device)
        return examine(run, run.dataset(None, options.data_dir, options.path), **limits)
    if place.is_file() and (place.suffix in CELLS or (place.suffix in ARRAYS and is_sparse(place))):
        return examine_data(data_sets.read(place, support=options.support), **limits)
    if place.suffix in ARRAYS and place.is_file():
        return examine_data(read_array(place), support=options.support, **limits)
    if options.support is not None:
        raise OptionError("support=: a data set has its own; give it for .npy files only")
    return examine_data(data_sets.load(**named(options, place)), **limits)


def named(options: Options, place: Path) -> dict[str, Any]:
    """Return the options of ``data.load`` for a data set, or for files of the user's own.

    Raises:
        OptionError: There is neither a data set nor a file of this name.
    """
    names = ("data_dir", "binarize", "dequantize", "path")
    given = {k: v for k, v in vars(options).items() if k in names and v is not None}
    if options.target in SOURCES:
        return {"name": options.target, **given}
    if place.is_dir() and not find_images(place).images:
        raise OptionError(
            f"{place} holds no run (no config.yaml) and no images ({', '.join(ENDINGS)}): give the "
            "folder of a run, or of images"
        )
    if place.suffix.lower() in TABLES and place.is_file():
        raise OptionError(
            f"{place} is a table: 'reparam data inspect' shows what is understood of it, and this "
            "examines a run, a data set, arrays, a text or a folder of images"
        )
    if not place.exists():
        raise unknown("run or data set", options.target, SOURCES)
    return {"name": "images" if place.is_dir() else "text", **given, "path": str(place)}


def read_array(path: Path) -> Any:
    """Return the array of a ``.npy`` or ``.npz`` file; nothing in it is executed.

    Raises:
        DataError: A file that is damaged, or holds objects or nothing.
    """
    try:
        # A map into the file needs no memory for an array that a damaged header declares.
        with np.errstate(over="raise"):
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded as archive:
                loaded = archive["x" if "x" in archive else archive.files[0]]
        found = np.array(loaded)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read as an array of numbers ({reason}): it is cut short or damaged, "
            "larger than the memory, or holds something else"
        ) from error
    if found.ndim == 0 or found.size == 0:
        raise DataError(f"{path} has shape {found.shape}: give at least one example, a row each")
    return found
