"""The terminal: streams that may be closed, full or narrow, or lack characters; notes on them.

Help, tables and notes are written for any width and any encoding. What cannot be written never ends
a training run.
"""

import codecs
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

STAND_INS = "reparam.stand-ins"
"""The name, for ``codecs``, of the error handler that writes ASCII for missing characters."""

NARROWEST = 40
"""The smallest width of help, in columns; a narrower terminal breaks its lines."""

_SIGNS = {
    **dict.fromkeys("‐‑–—−─━", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    "±": "+-",
    "×": "x",
    "·": "*",
    "•": "*",
    "‖": "||",
    "∈": "in",
    "∞": "inf",
    "≈": "~",
    "≠": "!=",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "⏎": "\\n",
    "λ": "lambda",  # which Unicode calls lamda
    "Λ": "Lambda",
    "²": "^2",
    "³": "^3",
}


def ascii_for(sign: str) -> str:
    """Return the ASCII text for a character, for an encoding that lacks it.

    >>> [ascii_for(sign) for sign in "±λΣøé…\N{SNOWMAN}"]
    ['+-', 'lambda', 'Sigma', 'o', 'e', '...', '?']
    """
    if sign in _SIGNS:
        return _SIGNS[sign]
    import unicodedata

    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    if plain:
        return plain
    match unicodedata.name(sign, "").split():
        case ["GREEK", "SMALL" | "CAPITAL" as case, "LETTER", name, *_]:
            return name.lower() if case == "SMALL" else name.capitalize()
        case ["LATIN", "SMALL" | "CAPITAL" as case, "LETTER", name, "WITH", *_]:
            return name.lower() if case == "SMALL" else name
    return "?"


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = error.object[error.start]
    if "\udc80" <= sign <= "\udcff":
        # A byte of a file's name that is not valid text.
        return f"\\x{ord(sign) - 0xDC00:02x}", error.start + 1
    return ascii_for(sign), error.start + 1


def prepare_streams() -> None:
    """Open the standard streams that are closed, and let both outputs write any text.

    Otherwise the next file that is opened would get the number of a closed stream, and the output
    for the terminal.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                _discard(number)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(STAND_INS, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=STAND_INS)


def _discard(number: int) -> None:
    """Discard what is written to a file of this number."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)


def flush(stream: TextIO) -> None:
    """Write the rest of a standard stream.

    Raises:
        OSError: It cannot be written. The rest is discarded, so that Python does not try again when
            it ends.
    """
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):  # a stream in memory has no number
            _discard(stream.fileno())
        raise


class Lasting(io.TextIOBase):
    """A stream that ignores errors of writing: a closed pipe or a full disk ends no training.

    Arguments:
        stream: The stream to write to; None for none.

    Example:
        >>> closed = io.StringIO()
        >>> closed.close()
        >>> print("epoch 1", file=Lasting(closed))
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write a text, if possible."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write the rest, if possible."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the file number of the stream."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()


def stderr() -> TextIO:
    """Return the current standard error, for notes and progress."""
    return cast(TextIO, Lasting(sys.stderr))


def note(message: str) -> None:
    """Print a note on standard error, in the words of the interface in use: see ``worded``."""
    print(f"reparam: {_wording[-1](message)}", file=stderr(), flush=True)


_wording: list[Callable[[str], str]] = [str]


@contextmanager
def worded(words: Callable[[str], str]) -> Iterator[None]:
    """Let a function reword every note, as the command line does with names of arguments.

    >>> import contextlib, sys
    >>> with contextlib.redirect_stderr(sys.stdout), worded(str.upper):
    ...     note("epochs=3")
    reparam: EPOCHS=3
    """
    _wording.append(words)
    try:
        yield
    finally:
        _wording.remove(words)


def width() -> int:
    """Return the number of columns of the terminal, 80 if unknown."""
    return shutil.get_terminal_size().columns


@contextmanager
def wide_enough(columns: int = NARROWEST) -> Iterator[None]:
    """Lay out text for a terminal of at least this number of columns.

    >>> with wide_enough():
    ...     width() >= NARROWEST
    True
    """
    before = os.environ.get("COLUMNS")
    try:
        os.environ["COLUMNS"] = str(max(width(), columns))
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
