"""The files of a data set: in a folder, in the cache, or downloaded into the cache."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reparam.errors import DataError, OptionError
from reparam.utils.files import as_path

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Remote:
    """The official files of a data set on a server.

    Arguments:
        url: The address that file names are appended to, with its final slash.
        sums: The checksum of each file, as ``md5:…`` or ``sha256:…``. Only downloads are compared
            with it: files that the user placed may be compressed otherwise.
    """

    url: str
    sums: Mapping[str, str]


def cache_folder() -> Path:
    """Return ``$REPARAM_CACHE``, or the folder where the system keeps caches.

    Raises:
        OptionError: Neither is known, since the home folder is not.
    """
    if os.environ.get("REPARAM_CACHE"):
        return as_path(os.environ["REPARAM_CACHE"], "REPARAM_CACHE")
    import pooch

    try:
        return as_path(pooch.os_cache("reparam"), "REPARAM_CACHE")
    except RuntimeError:  # of platformdirs; older ones leave the ~ to be found here
        raise OptionError(
            "REPARAM_CACHE is not set and the home folder is not known: set it, or HOME"
        ) from None


def find(
    name: str,
    wanted: Sequence[Sequence[str]],
    remote: Remote | None,
    data_dir: StrPath | None = None,
) -> list[Path]:
    """Return the paths of the files of a data set, which are downloaded if they are nowhere.

    With ``data_dir`` only the folder ``name`` in it is searched. Without it, the first of
    ``$REPARAM_DATA_DIR/name`` and the cache that contains every file is taken, and the files that
    the cache lacks are downloaded into it.

    Arguments:
        name: The name of the data set and of its folder.
        wanted: For each file the paths, within the folder, that it may have; one of each is
            among the files of ``remote``.
        remote: The server; None for a data set without files.
        data_dir: The only place to search.

    Raises:
        DataError: Files that ``data_dir`` lacks, or that cannot be downloaded.
    """
    if remote is None:
        return []
    if data_dir is not None:
        folder = as_path(data_dir, "data_dir") / name
        found, missing = search(folder, wanted)
        if missing:
            raise DataError(
                f"{name}: {folder} {'lacks' if folder.is_dir() else 'is no folder with'} "
                f"{', '.join(missing)}, and data_dir={os.fspath(data_dir)!r} is the only place "
                "that is searched: put the official files there, or leave data_dir out to have "
                "them downloaded"
            )
        return found
    if os.environ.get("REPARAM_DATA_DIR"):
        folder = as_path(os.environ["REPARAM_DATA_DIR"], "REPARAM_DATA_DIR") / name
        found, missing = search(folder, wanted)
        if not missing:
            return found
    folder = cache_folder() / name
    found, missing = search(folder, wanted)
    for file in missing:
        download(name, file, remote, folder)
    return search(folder, wanted)[0] if missing else found


def search(folder: Path, wanted: Sequence[Sequence[str]]) -> tuple[list[Path], list[str]]:
    """Return the paths of the wanted files in a folder, and for each missing one its last path.

    Raises:
        DataError: The folder cannot be read.
    """
    found, missing = [], []
    try:
        for paths in wanted:
            there = [folder / path for path in paths if (folder / path).is_file()]
            found += there[:1]
            missing += [] if there else [paths[-1]]
    except OSError as error:
        raise DataError(
            f"cannot look into {folder} ({error.strerror or error}): make it readable, or name "
            "another place as data_dir"
        ) from error
    # Several files may be in one archive.
    return found, list(dict.fromkeys(missing))


def download(name: str, file: str, remote: Remote, folder: Path) -> None:
    """Download one official file of a data set into a folder, whole or not at all.

    Raises:
        DataError: No network, no such file, or a file without its official checksum.
    """
    import pooch

    url, logger = remote.url + file, pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # the progress bar is enough
    try:
        # pooch writes to a temporary file, compares the checksum and only then moves the file.
        pooch.retrieve(
            url,
            known_hash=remote.sums[file],
            fname=file,
            path=folder,
            downloader=partial(_with_progress, f"{name}: {file}"),
        )
    except (OSError, ValueError) as error:
        now = os.environ.get("REPARAM_DATA_DIR") or "unset"
        raise DataError(
            f"{name} could not be downloaded from {url} ({_reason(error)}): download {file} by "
            f"hand into {folder}, or set REPARAM_DATA_DIR (now {now}) to the folder that contains "
            f"{name}/"
        ) from error
    finally:
        logger.setLevel(level)


def _with_progress(title: str, url: str, place: str, pooch: object) -> None:
    """Download an address to a file, with a progress bar on standard error."""
    import requests
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = "{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with (
        requests.get(url, stream=True, timeout=30) as response,
        Progress(*columns, console=Console(stderr=True)) as bar,
        open(place, "wb") as file,
    ):
        response.raise_for_status()
        n_bytes = int(response.headers.get("content-length", 0))
        task = bar.add_task(title, total=n_bytes or None)
        for chunk in response.iter_content(2**16):
            bar.update(task, advance=file.write(chunk))


def _reason(error: Exception) -> str:
    """Return in a few words why a download failed."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "the file does not have the official checksum"
