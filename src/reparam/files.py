"""Writing files so that a reader never meets half of one."""

import errno
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from reparam.errors import RunError

TEMPORARY_PREFIX = ".writing-"


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write a file whole or not at all, whenever the process or the machine stops.

    Arguments:
        path: Where to write; missing folders are made.
        content: Bytes, or text that is stored as UTF-8.

    Raises:
        RunError: The disk is full, or the place cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(folder + "/new/a.txt", "text").read_text()
        'text'
    """
    data = content.encode() if isinstance(content, str) else content
    return write_whole(path, lambda stream: stream.write(data))


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Let a function write a temporary file in the same folder, which then takes the name.

    Arguments:
        path: Where the file goes; missing folders are made.
        write: What writes the content to a stream.

    Raises:
        RunError: The disk is full, or the place cannot be written to.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def write_error(path: str | Path, error: OSError) -> RunError:
    """Return the sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"no space left on the disk for {path}: free some, then go on with --resume"
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return RunError(f"cannot write {path}: a file stands where a folder is needed")
    return RunError(f"cannot write {path}: {error.strerror or error}")


def write_json(path: str | Path, values: Any) -> Path:
    """Write values as JSON, whole or not at all; NaN and infinity are refused.

    Raises:
        RunError: The values are not JSON, or the file cannot be written.
    """
    try:
        text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise RunError(f"cannot write {path} as JSON: {error}") from error
    return write_atomic(path, text + "\n")


def remove_unfinished(folder: str | Path) -> None:
    """Remove the temporary files that a killed process left behind in a folder."""
    for path in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)


def write_array(path: str | Path, values: Any) -> Path:
    """Write a NumPy array as ``.npy``, whole or not at all.

    Raises:
        RunError: The file cannot be written.
    """
    import numpy as np

    return write_whole(path, lambda stream: np.save(stream, values, allow_pickle=False))
