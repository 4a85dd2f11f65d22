"""The terminal: output to streams that may be closed, full, narrow, or limited to ASCII."""

import codecs
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from textwrap import fill
from typing import TextIO, cast

from reparam.utils.launch import is_first

ASCII_REPLACEMENT = "reparam.stand-ins"
"""The error handler, as ``codecs`` names it, that writes ASCII for unencodable characters."""

NARROWEST = 40
"""The smallest number of columns that help is laid out for."""

_SIGNS = {
    **dict.fromkeys("‐‑–—−─━", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("·•", "*"),
    **{"±": "+-", "×": "x", "‖": "||", "∈": "in", "∞": "inf", "→": "->", "⏎": "\\n"},
    **{"≈": "~", "≠": "!=", "≤": "<=", "≥": ">=", "²": "^2", "³": "^3"},
    **{"λ": "lambda", "Λ": "Lambda"},  # the Unicode name of λ is lamda
}


def ascii_for(sign: str) -> str:
    """Return the ASCII text that replaces a character.

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
        # A byte of a file name that could not be decoded.
        return f"\\x{ord(sign) - 0xDC00:02x}", error.start + 1
    return ascii_for(sign), error.start + 1


def prepare_streams() -> None:
    """Open the standard streams that are closed, and make both outputs accept any text.

    A file that is opened while the descriptor of a standard stream is free takes that descriptor,
    and output for the terminal would be written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if vars(sys)[name] is None:
            try:
                os.fstat(number)
            except OSError:
                _discard(number)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(ASCII_REPLACEMENT, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ASCII_REPLACEMENT)


def _discard(number: int) -> None:
    """Redirect a file descriptor to the null device."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)


def flush(stream: TextIO) -> None:
    """Flush a standard stream.

    Raises:
        OSError: The stream cannot be written. It is redirected to the null device then, so that
            Python does not fail again at exit.
    """
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):  # a stream in memory has no descriptor
            _discard(stream.fileno())
        raise


class BestEffortStream(io.TextIOBase):
    """A stream that ignores the failures of the stream it writes to.

    Messages about progress must not end a training because a pipe is closed or a disk is full.

    Arguments:
        stream: The stream that is written to; None for none.

    Example:
        >>> closed = io.StringIO()
        >>> closed.close()
        >>> print("epoch 1", file=BestEffortStream(closed))
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = io.StringIO() if stream is None else stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        # sys.stderr may be replaced by any object that has a method write.
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write a text if the stream accepts it, and return its length."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the file descriptor of the stream."""
        return self._stream.fileno()


def stderr() -> TextIO:
    """Return the current standard error as a stream whose failures are ignored."""
    return cast(TextIO, BestEffortStream(sys.stderr))


def note(message: str) -> None:
    """Print a message on standard error, as ``worded`` rewords it, in the first process."""
    if not is_first():
        return
    print(f"reparam: {reworded(message)}", file=stderr(), flush=True)


def say(message: str) -> None:
    """Print a message on standard error as ``note`` does, without a prefix.

    On a terminal the lines after the first are indented.
    """
    text, stream = reworded(message), stderr()
    if stream.isatty():
        text = fill(text, max(width(), NARROWEST), subsequent_indent="  ")
    print(text, file=stream, flush=True)


_wording: list[Callable[[str], str]] = [str]


def reworded(text: str) -> str:
    """Return a text as ``worded`` rewords it; the text itself where nothing does."""
    return _wording[-1](text)


@contextmanager
def worded(words: Callable[[str], str]) -> Iterator[None]:
    """Within the context, reword notes and advice, as the command line does with arguments.

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
    """Return the number of columns of the terminal; 80 where it is not known."""
    return shutil.get_terminal_size().columns


@contextmanager
def wide_enough(columns: int = NARROWEST) -> Iterator[None]:
    """Within the context, take the terminal to be at least this number of columns wide.

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
