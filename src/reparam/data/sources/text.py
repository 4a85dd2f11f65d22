"""Plain text: windows of characters or bytes of the user's own file."""

import os
from pathlib import Path
from typing import Any, get_args

from reparam.data.dataset import Dataset, Split, check_share, validation_size
from reparam.data.registry import SOURCES, OwnFiles
from reparam.data.vocabulary import Unit, Vocabulary
from reparam.errors import DataError, unknown
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, read_regular, reason, stored_path


@numbers(window=1, stride=1)
def load_text(
    path: str | os.PathLike[str],
    unit: Unit = "characters",
    window: int = 64,
    *,
    validation: int | float | None = None,
    test_share: float = 0.1,
    stride: int | None = None,
    symbols: str | None = None,
) -> Dataset:
    """Return a data set of the windows of a plain text file.

    The splits are contiguous parts of the file, in the order train, validation, test, so that no
    window overlaps two splits.

    Arguments:
        path: The file; for ``characters`` in UTF-8.
        unit: The tokens: ``characters`` or ``bytes``.
        window: The number of tokens of one example.
        validation: The number of windows that are held out for validation, or as a float their
            fraction of the windows outside test; 5 % when None.
        test_share: The fraction of the file that is the test split.
        stride: The distance between the starts of training windows; ``window`` when None, so that
            they do not overlap. Windows of the other splits never overlap.
        symbols: The characters of the vocabulary; those of the training part when None.

    Raises:
        DataError: A file that is missing, empty, too short or not UTF-8.
        OptionError: An unknown unit, a size below one, or a fraction out of range.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("to be or not to be " * 20)
        ...     data = load_text(Path(folder, "a.txt"), window=8)
        >>> data, data.spec.levels
        (Dataset('a', tokens of shape (8,): train 41, validation 2, test 4), 8)
    """
    if unit not in get_args(Unit):
        raise unknown("unit of text", str(unit), get_args(Unit))
    check_share(test_share)
    file, text = _read(path, unit)
    n_test = int(len(text) * test_share) // window
    n_rest = (len(text) - n_test * window) // window
    if n_rest < 2:
        raise DataError(
            f"{file} has {len(text)} {unit}: windows of {window} need a file of at least "
            f"{3 * window}, so give a longer file or a smaller window"
        )
    n_validation = validation_size(0.05 if validation is None else validation, n_rest)
    n_held_out = n_test + n_validation
    # Held-out windows end with the file; tokens that fill no window belong to the training part.
    n_train = len(text) - n_held_out * window
    parts = text[:n_train], text[n_train : n_train + n_validation * window]
    known = parts[0] if isinstance(parts[0], str) else ""
    vocabulary = Vocabulary(unit, symbols) if symbols is not None else Vocabulary.of(known, unit)
    step = window if stride is None else stride
    splits = {"train": Split(vocabulary.encode(parts[0]).unfold(0, window, step))}
    if n_validation:
        splits["validation"] = Split(vocabulary.encode(parts[1]).unfold(0, window, window))
    if n_test:
        held_out = vocabulary.encode(text[len(text) - n_test * window :])
        splits["test"] = Split(held_out.unfold(0, window, window))
    spec = DataSpec((window,), "tokens", levels=len(vocabulary), name=file.stem)
    options: dict[str, Any] = {
        "name": "text",
        "path": stored_path(file.absolute()),
        "unit": unit,
        "window": window,
        "validation": n_validation,
        "test_share": test_share,
        "stride": step,
        "symbols": vocabulary.symbols,
    }
    return Dataset(file.stem, spec, splits, options=options)


def _read(path: str | os.PathLike[str], unit: Unit) -> tuple[Path, str | bytes]:
    """Return the path of a file and its content, as text for the unit ``characters``."""
    file = as_path(path)
    try:
        stored = read_regular(file)
    except OSError as error:
        raise DataError(
            f"cannot read {file}: {reason(error)}; give the path of a plain text file"
        ) from error
    if not stored:
        raise DataError(f"{file} is empty: give a text file that holds text")
    if unit == "bytes":
        return file, stored
    try:
        return file, stored.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 (byte {error.start} is {stored[error.start]:#04x}): use "
            "unit='bytes', or store the file as UTF-8"
        ) from error


SOURCES.add("text", OwnFiles("windows of the text in a file, as tokens", "FILE", load_text))
