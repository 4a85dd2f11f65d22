"""The terminal: streams that may be closed, full, narrow, or unable to show a sign."""

import codecs
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

STAND_INS = "reparam.stand-ins"
"""The name, for ``codecs``, of writing ASCII for signs that an encoding lacks."""

NARROWEST = 40
"""The fewest columns that help is laid out for; a narrower terminal breaks its lines."""

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
    """Return what stands for a sign where only ASCII can be written.

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
        # A byte of a file's name that was no text when it was read.
        return f"\\x{ord(sign) - 0xDC00:02x}", error.start + 1
    return ascii_for(sign), error.start + 1


def prepare_streams() -> None:
    """Open the standard streams that are closed, and let both outputs write any text.

    A file that is opened while the number of a stream is free takes its place, so that what is
    meant for the terminal would be written into it.
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
    """Let what is written to a file of this number go nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)


def flush(stream: TextIO) -> None:
    """Write what is left of a standard stream.

    Raises:
        OSError: It cannot be written. All that is left goes nowhere then, so that Python does not
            try again when it ends.
    """
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):  # a stream in memory has no number
            _discard(stream.fileno())
        raise


class Lasting(io.TextIOBase):
    """A stream that stays silent where the one below it cannot be written any more.

    What is told on the way must end no training: not because the pipe that it goes through is
    closed, nor because a disk is full.

    Arguments:
        stream: The stream below; None where there is none.

    Example:
        >>> closed = io.StringIO()
        >>> closed.close()
        >>> print("epoch 1", file=Lasting(closed))
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream below."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write a text, if that can be done."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is left, if that can be done."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream below is a terminal."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the number of the stream below."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()


def stderr() -> TextIO:
    """Return standard error as it is now, for what is told on the way."""
    return cast(TextIO, Lasting(sys.stderr))


def note(message: str) -> None:
    """Print a message on standard error, in the words of the interface in use: see ``worded``."""
    print(f"reparam: {_wording[-1](message)}", file=stderr(), flush=True)


_wording: list[Callable[[str], str]] = [str]


@contextmanager
def worded(words: Callable[[str], str]) -> Iterator[None]:
    """Within the context, reword every note, as the command line does with names of arguments.

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
    """Return the number of the terminal's columns: 80 where none is known."""
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
