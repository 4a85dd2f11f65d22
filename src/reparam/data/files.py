"""``read``: data of the user's own, whatever their kind."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from reparam.data.arrays import is_frame
from reparam.data.dataset import Dataset
from reparam.data.download import StrPath
from reparam.data.image_set import Binarize
from reparam.data.registry import SOURCES, Frame, Missing, current_name, load
from reparam.data.tables import COLUMNAR, DELIMITED
from reparam.data.vocabulary import Unit
from reparam.errors import DataError
from reparam.schema import Schema
from reparam.spec import Support
from reparam.utils.files import as_path

ARRAYS = (".npy", ".npz")
"""The endings of files of NumPy."""

CELLS = (".h5ad",)
"""The endings of files of AnnData."""

HUB = "hf:"
"""The start of the name of a data set of the Hugging Face hub."""

_PROSE = (".txt",)
"""The endings of files that may be text as well as a table."""


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """Return the name of the source that reads a file or folder: see ``SOURCES``.

    A folder is of images. A file that ends in ``.txt``, or a file of text without an ending, is a
    table if its lines have the same number of cells, at least two, and most of the cells of the
    last column are numbers; else it is text.

    Arguments:
        path: The file or folder.

    Raises:
        DataError: A place that does not exist, or a file of an unknown kind.

    Example:
        >>> kind_of_file("nowhere.csv")
        Traceback (most recent call last):
        reparam.errors.DataError: nowhere.csv is no file or folder: give another path
    """
    if is_of_hub(path):
        return "hub"
    place = as_path(path)
    if not place.exists():
        is_name = current_name(str(path)) in SOURCES
        fix = (
            f"load it by its name, as data.load({str(path)!r})" if is_name else "give another path"
        )
        raise DataError(f"{place} is no file or folder: {fix}")
    if place.is_dir():
        _refuse_matrix_market(sorted(place.glob("*.mtx*")))
        return "images"
    _refuse_matrix_market([place] if ".mtx" in place.suffixes else [])
    is_packed = place.suffix.lower() == ".gz"
    ending = place.with_suffix("").suffix.lower() if is_packed else place.suffix.lower()
    if is_packed and (ending not in DELIMITED or (ending in _PROSE and not _is_table(place))):
        raise DataError(
            f"{place} is compressed, and only tables of text are read so: unpack it with gunzip"
        )
    if ending in ARRAYS:
        return "array"
    if ending in CELLS:
        return "anndata"
    if ending in _PROSE or (not ending and _is_text(place)):
        return "table" if _is_table(place) else "text"
    if ending in DELIMITED or ending in COLUMNAR:
        return "table"
    raise DataError(
        f"{place} ends in {ending or 'nothing'}: files of {', '.join((*DELIMITED, *COLUMNAR))} "
        f"(tables), {', '.join(ARRAYS)} (arrays), {', '.join(CELLS)} (AnnData), .txt (text) and "
        "folders of images are read, so convert or rename it"
    )


def is_of_hub(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a data set of the Hugging Face hub.

    >>> is_of_hub("hf:owner/name"), is_of_hub("name.csv")
    (True, False)
    """
    return str(path).startswith(HUB)


def is_place(name: str) -> bool:
    """Return whether the name of data is a path, and not the name of a data set.

    >>> is_place("mnist"), is_place("people.csv"), is_place("data/faces")
    (False, True, True)
    """
    place = as_path(name, "data")
    return current_name(name) not in SOURCES and (
        bool(place.suffix) or len(place.parts) > 1 or place.exists()
    )


class ReadOptions(TypedDict, total=False):
    """The options of own data: those of ``load`` that some kind of file has."""

    binarize: Binarize | None
    dequantize: bool | None
    validation: int | float | None
    labels_per_class: int | None
    seed: int | None
    unit: Unit | None
    window: int | None
    stride: int | None
    symbols: str | None
    test_share: float | None
    size: int | str | None
    image_channels: int | None
    target: str | None
    schema: Schema | StrPath | None
    missing: Missing | None
    support: Support | None
    na_values: Sequence[str] | None
    delimiter: str | None
    header: bool | None
    encoding: str | None
    skip_damaged: bool | None
    decimal: str | None
    mapped: bool | None
    cache: bool | None
    layer: str | None
    covariates: Sequence[str] | None


def read(data: str | os.PathLike[str] | Frame, **options: Unpack[ReadOptions]) -> Dataset:
    """Return a data set of a file or folder, or of a DataFrame.

    A file holds a table, arrays, cells or text, and a folder holds images. A tenth of the examples
    is the test split, as ``test_share`` says.

    Arguments:
        data: The file or folder, whose ending tells its kind; or a DataFrame of pandas, polars or
            Arrow.
        options: The options of its kind: see ``load``.

    Raises:
        DataError: A place that does not exist, or data that cannot be understood.
        OptionError: An option that this kind of data does not have.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "numbers.csv"
        ...     _ = file.write_text("a,b\\n" + "".join(f"{n / 7},{n % 5}\\n" for n in range(60)))
        ...     read(file)
        Dataset('numbers', mixed of shape (2,): train 54, test 6)
        >>> import pandas
        >>> people = pandas.DataFrame({"age": [*range(20, 50)] * 2, "sex": ["F", "M"] * 30})
        >>> read(people, target="sex")
        Dataset('data', mixed of shape (1,): train 54, test 6)
    """
    if is_frame(data):
        return load("table", path=data, **options)
    if not isinstance(data, str | os.PathLike):
        raise DataError(
            f"data of type {type(data).__name__} cannot be read: give a path or a DataFrame, and "
            "arrays to data.from_arrays"
        )
    return load(kind_of_file(data), path=data, **options)


def _refuse_matrix_market(files: Sequence[Path]) -> None:
    """Refuse files of counts in the format Matrix Market, of which there are none as a rule."""
    if files:
        raise DataError(
            f"{files[0]} is a sparse matrix in the format Matrix Market, which is not read: save "
            "it once with one row for each example, by scipy.sparse.save_npz('counts.npz', "
            f"scipy.io.mmread({str(files[0])!r}).T.tocsr()), without .T if its rows are examples, "
            "or as .h5ad by anndata"
        )


N_SNIFFED = 65_536
"""The number of bytes of a file without an ending that tell whether it is text."""


def _is_text(path: Path) -> bool:
    """Return whether a file begins with text in UTF-8."""
    try:
        with path.open("rb") as file:
            start = file.read(N_SNIFFED)
    except OSError:
        return False
    # A character may be cut at the end.
    found = start.decode("utf-8", errors="ignore")
    return b"\0" not in start and len(start) - len(found.encode()) < 4 and bool(found.strip())


def _is_table(path: Path) -> bool:
    """Return whether a file of text holds a table of numbers."""
    from csv import reader

    from reparam.data.delimited import MISSING, decoded, delimiter_of, first_lines, is_number

    try:
        lines = first_lines(decoded(path))
    except DataError:
        return False
    if len(lines) < 2:
        return False
    mark = delimiter_of(lines)
    rows = [
        [cell.strip() for cell in row if cell or mark != " "]
        for row in reader(lines, delimiter=mark, skipinitialspace=True)
    ]
    widths = {len(row) for row in rows[1:]}
    cells = [cell for row in rows[1:] for cell in row]
    n_numbers = sum(is_number(cell) or cell in MISSING for cell in cells)
    return len(widths) == 1 and max(widths) > 1 and 2 * n_numbers > len(cells)
