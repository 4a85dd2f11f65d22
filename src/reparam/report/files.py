"""Picture files that are whole or not there."""

import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO

from reparam.errors import OptionError, RunError


def picture_format(path: Path, known: Collection[str]) -> str:
    """Return the format that a file's ending names, in lower case.

    Raises:
        OptionError: An ending that is no format of pictures.

    Example:
        >>> picture_format(Path("grid.PNG"), ["png", "pdf"])
        'png'
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in known:
        raise OptionError(
            f"picture file {path.name!r}: its ending must be one of "
            f"{', '.join('.' + name for name in known)}; call it {path.stem + '.png'!r}"
        )
    return ending


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside its place and move it there, so that no reader sees half of it.

    Arguments:
        path: Where it goes; missing folders are made.
        write: What writes the contents.

    Raises:
        RunError: The file cannot be written, for want of space or permission.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            write(file)
        # mkstemp lets the owner alone read; a picture is like any file.
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"cannot write the picture {path}: {reason}; free some space there or choose another "
            "place"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
