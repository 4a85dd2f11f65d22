"""Where the files of a data set come from: a folder, the cache, or a download into the cache."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from reparam.errors import DataError, OptionError
from reparam.utils.files import as_path

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Source:
    """Where the official files of a data set are published.

    Arguments:
        url: The address that file names are appended to, with its final slash.
        sums: The sum of each file, as ``md5:…`` or ``sha256:…``. It holds for downloads alone:
            files that the user placed may be packed otherwise.
    """

    url: str
    sums: Mapping[str, str]


SOURCES: dict[str, Source] = {
    "mnist": Source(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcad1e91432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar10": Source(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
    ),
    "tinyshakespeare": Source(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        {"input.txt": "md5:6fb458f1232090904fb40fe944165e91"},
    ),
}


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


def find(name: str, wanted: Sequence[Sequence[str]], data_dir: StrPath | None = None) -> list[Path]:
    """Return where each wanted file of a data set is, downloading it if it is nowhere.

    With ``data_dir`` the folder ``name`` in it is all that is looked at. Without, the first of
    ``$REPARAM_DATA_DIR/name`` and the cache that has every file is taken, and what the cache lacks
    is downloaded into it.

    Arguments:
        name: The name of the data set, of its folder and of its source.
        wanted: For each file the paths, within the folder, that it may have; one of each is
            among the files of the source.
        data_dir: Where to look, and nowhere else.

    Raises:
        DataError: Files that ``data_dir`` lacks, or that cannot be downloaded.
    """
    if data_dir is not None:
        folder = as_path(data_dir, "data_dir") / name
        missing = absent(folder, wanted)
        if missing:
            raise DataError(
                f"{name}: {folder} {'lacks' if folder.is_dir() else 'is no folder with'} "
                f"{', '.join(missing)}, and with data_dir={os.fspath(data_dir)!r} no other place "
                "is looked at: put the official files there, or leave data_dir out to have them "
                "downloaded"
            )
        return located(folder, wanted)
    if os.environ.get("REPARAM_DATA_DIR"):
        folder = as_path(os.environ["REPARAM_DATA_DIR"], "REPARAM_DATA_DIR") / name
        if not absent(folder, wanted):
            return located(folder, wanted)
    folder = cache_folder() / name
    for file in absent(folder, wanted):
        # Files that share an archive are all there once it is.
        if file in absent(folder, wanted):
            download(name, file, folder)
    return located(folder, wanted)


def absent(folder: Path, wanted: Sequence[Sequence[str]]) -> list[str]:
    """Return, for each wanted file that the folder lacks, the last of the paths it may have.

    Raises:
        DataError: The folder may not be looked into.
    """
    try:
        names = [paths[-1] for paths in wanted if not any((folder / p).is_file() for p in paths)]
    except OSError as error:
        raise DataError(
            f"cannot look into {folder} ({error.strerror or error}): give yourself the right to, "
            "or name another place as data_dir"
        ) from error
    return list(dict.fromkeys(names))


def located(folder: Path, wanted: Sequence[Sequence[str]]) -> list[Path]:
    """Return the first existing path of each wanted file in a folder that lacks none."""
    return [next(folder / p for p in paths if (folder / p).is_file()) for paths in wanted]


def download(name: str, file: str, folder: Path) -> None:
    """Download one official file of a data set into a folder, whole or not at all.

    Raises:
        DataError: No network, no such file, or a file that does not have its official sum.
    """
    import pooch

    source = SOURCES[name]
    url = source.url + file
    try:
        with Bar(f"{name}: {file}") as bar:
            # pooch writes beside the target, checks the sum and only then moves it there.
            pooch.retrieve(
                url,
                known_hash=source.sums[file],
                fname=file,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=30),
            )
    except (OSError, ValueError) as error:
        response = getattr(error, "response", None)
        if response is not None:
            response.close()  # pooch leaves the connection of a refused request open
        now = os.environ.get("REPARAM_DATA_DIR") or "unset"
        raise DataError(
            f"{name} could not be downloaded from {url} ({reason(error)}): download {file} by hand "
            f"into {folder}, or set REPARAM_DATA_DIR (now {now}) to the folder that holds {name}/"
        ) from error


def reason(error: Exception) -> str:
    """Return in a few words why a download failed."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "what came does not have the official checksum"


class Bar:
    """A progress bar on standard error in place of pooch's log, with the methods that pooch calls.

    Arguments:
        title: What is being downloaded.
    """

    def __init__(self, title: str) -> None:
        import pooch
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        self.progress = Progress(
            "{task.description}",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
        )
        self.task = self.progress.add_task(title, total=None)
        self.logger = pooch.get_logger()
        self.log_level = self.logger.level

    def __enter__(self) -> "Bar":
        self.logger.setLevel("WARNING")
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()
        self.logger.setLevel(self.log_level)

    @property
    def total(self) -> float | None:
        """The expected number of bytes; None where the server does not say."""
        return self.progress.tasks[0].total

    @total.setter
    def total(self, n: int) -> None:
        self.progress.update(self.task, total=n or None)

    def update(self, n: int) -> None:
        """Count ``n`` bytes more."""
        self.progress.update(self.task, advance=n)

    def reset(self) -> None:
        """Count from zero again."""
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        """Leave the bar as it is: it is stopped on the way out of the context."""
