"""Paths and files: paths as users give them, safe reading, and atomic writing.

A file is read only if it is regular and of a limited size, and parsed without executing anything. A
file is written under a temporary name first, so that it is complete or does not exist.
"""

import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import UnionType
from typing import Any, BinaryIO, get_args, get_origin

from reparam.errors import OptionError, WriteError

TEMPORARY_PREFIX = ".writing-"

TEXT_LIMIT = 2**24
"""The largest text file that is read, in bytes; options and figures are far smaller."""

YAML_LIMIT = 2**21
"""The largest YAML file that is read, in bytes; parsing a larger one would take a minute."""


MOST_DIGITS = 100
"""The largest number of digits of a whole number in YAML; no option has more than 19."""


def as_path(place: str | os.PathLike[str], name: str = "path") -> Path:
    """Return a path, with ``~`` replaced by the home folder.

    Arguments:
        place: The path.
        name: The argument, as the message calls it.

    Raises:
        OptionError: The path is empty, not a path, or starts with an unknown home folder.

    Example:
        >>> as_path("runs/first").as_posix()
        'runs/first'
        >>> as_path("", "out")
        Traceback (most recent call last):
        reparam.errors.OptionError: out='' is empty: give the path of a file or folder
    """
    try:
        text = os.fsdecode(place)
    except TypeError:
        raise OptionError(
            f"{name}={place!r} is not a path: give the path of a file or folder, as text or a Path"
        ) from None
    if not text:
        raise OptionError(f"{name}='' is empty: give the path of a file or folder")
    if "\0" in text:
        raise OptionError(f"{name}={text!r}: a path cannot contain a NUL; leave it out")
    try:
        return Path(_in_locale(text)).expanduser()
    except UnicodeEncodeError:
        raise OptionError(f"{name}={text!r} is not a valid file name here: rename it") from None
    except RuntimeError:
        raise OptionError(
            f"{name}={text!r}: the home folder is not known: set HOME, or give the whole path"
        ) from None


def _in_locale(text: str) -> str:
    """Return a path that was stored as UTF-8 in the encoding of this locale."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    return text


def stored_path(path: str | os.PathLike[str]) -> str:
    """Return a path for storage: as UTF-8 in any locale. ``as_path`` is the inverse.

    >>> stored_path(Path("runs/été"))
    'runs/été'
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def read_regular(path: str | Path, limit: int | None = None) -> bytes:
    """Return the content of a regular file, and refuse a pipe, a device or a folder.

    Arguments:
        path: The file.
        limit: The largest size that is read, in bytes; None for any.

    Raises:
        OSError: The file is missing, unreadable, not regular, or larger than the limit.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    try:
        with path.open("rb") as stream:
            content = stream.read() if limit is None else stream.read(limit + 1)
    except MemoryError:
        raise OSError(errno.ENOMEM, "it is too large for the memory", str(path)) from None
    if limit is not None and len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(path))
    return content


def read_text(path: str | Path, limit: int = TEXT_LIMIT) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        OSError: As of ``read_regular``.
        ValueError: The file is not UTF-8.
    """
    return read_regular(path, limit).decode("utf-8")


def read_json(path: str | Path) -> Any:
    """Return the values in a JSON file.

    Raises:
        OSError: As of ``read_regular``.
        ValueError: The file is not UTF-8, not JSON, or nested too deeply.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def yaml_text(values: Mapping[str, Any]) -> str:
    """Return plain values as YAML without aliases, which ``read_yaml`` does not read.

    Arguments:
        values: The values; one object may be at several places.

    Example:
        >>> names = ["a"]
        >>> yaml_text({"x": names, "y": names})
        'x:\\n- a\\ny:\\n- a\\n'
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    return str(yaml.dump(dict(values), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> Any:
    """Return the values in a YAML file, which may have plain values only, and no aliases.

    A few lines of aliases of aliases can expand to gigabytes.

    Raises:
        OSError: As of ``read_regular``.
        ValueError: The file is not UTF-8, not YAML, nested too deeply, or has aliases, or a key
            twice.
    """
    import yaml

    text = read_text(path, YAML_LIMIT)
    try:
        if "*" in text and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)
        ):
            raise ValueError("it has aliases (*name), which are not read: write the values out")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        _check_nodes(root)
        return None if root is None else loader.construct_document(root)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # Values such as `!!int ""` raise Python errors inside the library.
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _check_nodes(node: Any) -> None:
    """Refuse what the library reads and should not, in the nodes of YAML.

    Of a key that a mapping has twice it takes the last, and of a hexadecimal number any length,
    which no message could show.
    """
    if node is None:
        return
    if isinstance(node.value, str):
        if node.tag.endswith(":int") and len(node.value) > MOST_DIGITS:
            raise ValueError(f"it has a whole number of {len(node.value):,} digits")
        return
    keys = [part[0].value for part in node.value if isinstance(part, tuple)]
    known: set[str] = set()
    for key in keys:
        # A key that is itself a list or a mapping cannot be one of a dictionary.
        if isinstance(key, str) and key in known:
            raise ValueError(f"it has the key {key!r} twice")
        known.add(str(key))
    for part in node.value:
        _check_nodes(part[1] if isinstance(part, tuple) else part)


def has_type(value: object, kind: Any) -> bool:
    """Return whether a value from a file has a type: a plain one, a union, a tuple or a dict.

    A whole number is a float too, because JSON has one type of numbers.

    >>> has_type((1, None), tuple[float | None, ...]), has_type(True, int | None)
    (True, False)
    """
    parts = get_args(kind)
    if get_origin(kind) is UnionType:
        return any(has_type(value, part) for part in parts)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(has_type(item, parts[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(has_type(v, parts[1]) for v in value.values())
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def reason(error: Exception) -> str:
    """Return the reason of a failed access to a file in a few words, as a part of a sentence.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.txt"))
    'No such file or directory'
    >>> reason(ValueError("No footer.\\nIs it damaged?"))
    'No footer; Is it damaged?'
    """
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(said.split()).rstrip(".").replace(". ", "; ")


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write a file that is complete or absent, even if the process or the machine stops.

    Arguments:
        path: The file; missing folders are created.
        content: Bytes, or text, which is stored as UTF-8.

    Raises:
        WriteError: The disk is full, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(folder + "/new/a.txt", "text").read_text()
        'text'
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    return write_whole(path, lambda stream: stream.write(data))


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file by a function of a stream; the file is complete or absent.

    The stream is a temporary file in the same folder, which is renamed at the end.

    Arguments:
        path: The file; missing folders are created.
        write: A function that writes the content to the stream.

    Raises:
        WriteError: The disk is full, or the file cannot be written.
    """
    path = as_path(path)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file, which takes the place of a file at the end of the context.

    After an error the file is as it was before. Missing folders are created.

    Arguments:
        path: The file.

    Raises:
        WriteError: The disk is full, or the file cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_error(path: str | Path, error: OSError) -> WriteError:
    """Return the error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WriteError(f"no space left on the disk for {path}: free some, then resume the run")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return WriteError(f"cannot write {path}: a file stands where a folder is needed")
    return WriteError(f"cannot write {path}: {reason(error)}")


def write_json(path: str | Path, values: Any) -> Path:
    """Write values as JSON, complete or not at all; NaN and infinity are refused.

    Raises:
        WriteError: The values cannot be JSON, or the file cannot be written.
    """
    try:
        text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise WriteError(f"cannot write {path} as JSON: {error}") from error
    # Names of files may contain bytes that are not Unicode; JSON escapes them.
    return write_atomic(path, f"{text}\n".encode("utf-8", "backslashreplace"))


def remove_unfinished(folder: str | Path) -> None:
    """Remove the temporary files that a killed process has left in a folder."""
    for path in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):  # a folder, or a file of another user
            path.unlink()


def write_array(path: str | Path, values: Any) -> Path:
    """Write a NumPy array as ``.npy``, complete or not at all.

    Raises:
        WriteError: The file cannot be written.
    """
    import numpy as np

    return write_whole(path, lambda stream: np.save(stream, values, allow_pickle=False))
