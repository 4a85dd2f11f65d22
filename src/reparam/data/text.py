"""Plain text: windows of characters or bytes of the user's own file, and the vocabulary of both."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from reparam.data.dataset import Dataset, Split, validation_size
from reparam.errors import DataError, OptionError, unknown
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, read_regular, reason, stored_path

Unit = Literal["characters", "bytes"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""What stands for a character that the training part does not have."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a text and their numbers, from 0 on.

    Arguments:
        unit: What a token is: one of the ``characters``, or of the ``bytes`` of UTF-8.
        symbols: The characters by their numbers; one number more stands for all others. Bytes are
            their own numbers, 0 to 255, and need none.

    Raises:
        OptionError: A unit that does not exist, or a character twice.

    Example:
        >>> vocabulary = Vocabulary.of("a cab")
        >>> vocabulary.encode("bad").tolist(), vocabulary.decode(torch.tensor([3, 1, 2]))
        ([2, 1, 4], 'cab')
    """

    unit: Unit = "bytes"
    symbols: str = ""

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise unknown("unit of text", str(self.unit), get_args(Unit))
        if len(set(self.symbols)) < len(self.symbols):
            raise OptionError(f"symbols={self.symbols!r}: each character may be there only once")

    @classmethod
    def of(cls, text: str, unit: Unit = "characters") -> "Vocabulary":
        """Return the vocabulary of a text: its characters in the order of Unicode, or all bytes."""
        return cls(unit, "".join(sorted(set(text))) if unit == "characters" else "")

    def __len__(self) -> int:
        return 256 if self.unit == "bytes" else len(self.symbols) + 1

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def encode(self, text: str | bytes) -> Tensor:
        """Return the numbers of a text's tokens, int64 with shape (N,)."""
        if self.unit == "bytes":
            stored = text.encode() if isinstance(text, str) else text
            return torch.frombuffer(bytearray(stored), dtype=torch.uint8).long()
        said = text if isinstance(text, str) else text.decode()
        other = len(self.symbols)
        return torch.tensor([self._numbers.get(symbol, other) for symbol in said])

    def decode(self, tokens: Tensor) -> str:
        """Return the text of tokens with shape (T,); bytes that are no UTF-8 become a sign."""
        numbers = tokens.long().tolist()
        if self.unit == "bytes":
            return bytes(numbers).decode(errors="replace")
        return "".join((self.symbols + UNKNOWN)[number] for number in numbers)

    def texts(self, tokens: Tensor) -> list[str]:
        """Return the texts of tokens with shape (N, T)."""
        return [self.decode(row) for row in tokens]


@numbers()
def load_text(
    path: str | os.PathLike[str] | None,
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
    window reaches from one into another.

    Arguments:
        path: The file; for ``characters`` in UTF-8.
        unit: What a token is: ``characters`` or ``bytes``.
        window: The number of tokens of one example.
        validation: How many windows of what is no test, or as a float which fraction of it, are
            held out for validation; 5 % when None.
        test_share: The fraction of the file that is the test split.
        stride: From the start of a training window to that of the next; ``window`` when None, so
            that they do not overlap. Windows of the other splits never overlap.
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
    for name, size in (("window", window), ("stride", stride)):
        if size is not None and size < 1:
            raise OptionError(f"{name}={size}: must be at least 1")
    if not 0 <= test_share < 1:
        raise OptionError(
            f"test_share={test_share}: the share of the file must be at least 0 and below 1"
        )
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
    # The file's end is held out to the last token; what fills no window is left to training.
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


def vocabulary_of(options: Any) -> Vocabulary | None:
    """Return the vocabulary that the options of a data set record; None for data of no text.

    >>> vocabulary_of({"name": "text", "unit": "characters", "symbols": "ab"})
    Vocabulary(unit='characters', symbols='ab')
    """
    if not options or "symbols" not in options:
        return None
    return Vocabulary(options.get("unit"), options["symbols"])


def _read(path: str | os.PathLike[str] | None, unit: Unit) -> tuple[Path, str | bytes]:
    """Return the file and what it holds, as text for characters."""
    if path is None:
        raise DataError("data 'text' are a file of your own: name it as path (--path FILE)")
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
            f"{file} is not UTF-8 (byte {error.start} is {stored[error.start]:#04x}): use unit "
            "bytes (--unit bytes), or store the file as UTF-8"
        ) from error
