"""The folder of a run: its layout, its lock, and what it holds.

A run begins with ``config.yaml`` and ends with ``model.json``; a file gets its name only when it is
complete. One process at a time may write to the folder: it holds the lock.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from reparam.errors import RunError, WriteError
from reparam.runs.config import config_sha256
from reparam.training.checkpoint import check_format, save_tensors
from reparam.training.metrics import as_line, read_rows
from reparam.utils.files import (
    TEMPORARY_PREFIX,
    as_path,
    read_json,
    read_yaml,
    reason,
    remove_unfinished,
    write_atomic,
    write_error,
    yaml_text,
)

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)
"""The errors of a file system that has no locks, as some network and container mounts."""


class RunFolder:
    """A run on disk. Nothing in it is executed when it is read.

    ::

        config.yaml          the options, and the facts recorded when the run began
        metrics.jsonl        one row of scalars a line
        events/              the same for TensorBoard, with pictures
        checkpoints/         the two newest states of training
        pictures/            samples and reconstructions after every epoch
        model.safetensors    the trained weights of a finished run
        model.json           their checksum, written last
        evaluation.json      the figures that were measured
        evaluation.safetensors  the figures of every example
        lock                 an empty file, locked by the process that trains

    Arguments:
        path: The folder; it need not exist yet.

    Raises:
        OptionError: The path is empty, or its home folder is not known.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path, "run")
        self.config_file = self.path / "config.yaml"
        self.metrics_file = self.path / "metrics.jsonl"
        self.events = self.path / "events"
        self.checkpoints = self.path / "checkpoints"
        self.pictures = self.path / "pictures"
        self.model_file = self.path / "model.safetensors"
        self.evaluation_file = self.path / "evaluation.json"
        self.report_file = self.path / "report.html"
        self.exports = self.path / "export"
        self.lock_file = self.path / "lock"

    @property
    def holds_run(self) -> bool:
        """Whether a run began here.

        Raises:
            RunError: The folder cannot be read.
        """
        try:
            # A broken link, a pipe and a device are refused when they are read.
            return self.config_file.exists() and not self.config_file.is_dir()
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {reason(error)}") from error

    @property
    def is_finished(self) -> bool:
        """Whether training ended; the weights are written last, and their checksum after them."""
        return self.model_file.with_suffix(".json").is_file()

    @property
    def weights_sha256(self) -> str | None:
        """The checksum of the trained weights; None for a run that is not finished."""
        try:
            return str(read_json(self.model_file.with_suffix(".json"))["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def require_free(self) -> None:
        """Refuse a folder in which a new run cannot begin; nothing is overwritten.

        Raises:
            RunError: The folder holds another run or other files, or is a file.
        """
        if self.holds_run:
            raise RunError(
                f"{self.path} holds another run: choose another out=..., or go on with it by "
                "resume=True"
            )
        if self.path.is_file():
            raise RunError(f"{self.path} is a file, not a folder: choose another out=...")
        try:
            names = sorted(os.listdir(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {reason(error)}") from error
        for name in names:
            if name != self.lock_file.name and not name.startswith(TEMPORARY_PREFIX):
                raise RunError(
                    f"{self.path} is not empty (it holds {name}): choose another out=..."
                )

    def begin(self, config: Mapping[str, object]) -> None:
        """Create the folder and write the configuration of a new run.

        Raises:
            RunError: The folder holds another run or other files; nothing is overwritten.
        """
        self.require_free()
        self.remove_unfinished()
        self.write_config(config)

    def clear(self) -> None:
        """Remove what training wrote, of a run that begins again; the lock stays."""
        for file in (self.config_file, self.metrics_file):
            file.unlink(missing_ok=True)
        for folder in (self.events, self.checkpoints, self.pictures):
            rmtree(folder, ignore_errors=True)
        self.remove_unfinished()

    def write_config(self, config: Mapping[str, object]) -> None:
        """Write the configuration of a run, in place of the one that is there."""
        write_atomic(self.config_file, yaml_text(config))

    def write_trained(
        self,
        config: Mapping[str, object],
        rows: Iterable[Mapping[str, Any]],
        weights: Mapping[str, Tensor],
        values: Mapping[str, object],
    ) -> None:
        """Write a run that is trained already into a folder that holds none.

        Arguments:
            config: Its configuration.
            rows: Its metrics.
            weights: The weights of its model.
            values: The plain values beside them, such as the number of steps.

        Raises:
            RunError: The folder holds another run or other files; nothing is overwritten.
        """
        self.begin(config)
        write_atomic(self.metrics_file, "".join(map(as_line, rows)))
        save_tensors(self.model_file, weights, values, config_sha256(self.config()))

    @contextmanager
    def replacing(self) -> Iterator["RunFolder"]:
        """Yield an empty folder, whose files take the place of those of this one at the end.

        After an error this folder is as it was before. It must exist.

        Raises:
            WriteError: A file cannot be written.
        """
        try:
            with TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=self.path) as made:
                yield RunFolder(made)
                for file in sorted(Path(made).iterdir()):
                    file.replace(self.path / file.name)
        except OSError as error:
            raise write_error(self.path, error) from error

    def config(self) -> dict[str, Any]:
        """Return the configuration.

        Raises:
            RunError: There is no run here, or its configuration is damaged.
            CheckpointError: The run is of a newer format.
        """
        if not self.holds_run:
            raise RunError(f"{self.path} holds no run (no config.yaml): give the folder of a run")
        try:
            config = read_yaml(self.config_file)
        except (OSError, ValueError) as error:
            raise RunError(f"{self.config_file} cannot be read: {reason(error)}") from error
        recorded = config.get("recorded") if isinstance(config, dict) else None
        if not isinstance(recorded, dict):
            raise RunError(f"{self.config_file} is no configuration of a run: it has no 'recorded'")
        check_format(recorded.get("format"), self.config_file)
        for key in ("spec", "objective"):
            if key not in recorded:
                raise RunError(f"{self.config_file} is damaged: 'recorded' has no {key!r}")
        return config

    def metrics(self, warn: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
        """Return the rows of metrics.

        Arguments:
            warn: Called with a sentence if rows are damaged, which are left out, or if the file
                cannot be read.
        """
        try:
            return read_rows(self.metrics_file, warn)
        except OSError as error:
            if warn is not None:
                warn(
                    f"{self.metrics_file} cannot be read ({reason(error)}): the run is loaded "
                    "without its metrics"
                )
            return []

    def remove_unfinished(self) -> None:
        """Remove the files that a killed process did not finish, while holding the lock."""
        for folder in (self.path, self.checkpoints, self.pictures):
            remove_unfinished(folder)

    @contextmanager
    def locked(self, warn: Callable[[str], None] | None = None) -> Iterator[None]:
        """Lock the folder for this process; the lock ends with the process, even if it is killed.

        Processes that this one starts do not inherit the lock. On a file system without locks the
        run goes on without one.

        Arguments:
            warn: Called with a sentence if the file system has no locks.

        Raises:
            RunError: Another process is training this run, or the folder cannot be written to.
        """
        import filelock

        lock = filelock.FileLock(self.lock_file, blocking=False, fallback_to_soft=False)
        is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"another process is training {self.path}: wait for it, or stop it first"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise write_error(self.path, error) from error
            if warn is not None:
                warn(
                    f"the file system of {self.path} has no locks ({reason(error)}): make sure "
                    "that no other process trains this run"
                )
        try:
            yield
        finally:
            # If no run began, as on a full disk, nothing is left. A process that has opened the
            # file by now sees that it is gone, and does not use it as the lock.
            with suppress(OSError):
                if os.listdir(self.path) == [self.lock_file.name]:
                    self.lock_file.unlink()
                    if is_new:
                        self.path.rmdir()
            lock.release()


def next_free(root: str | Path, stem: str) -> Path:
    """Create the first of ``root/stem-1``, ``root/stem-2``, … that does not exist, and return it.

    Two processes that ask at the same moment get two folders.

    Raises:
        WriteError: The folder cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     next_free(folder, "digits-vae").name, next_free(folder, "digits-vae").name
        ('digits-vae-1', 'digits-vae-2')
    """
    root, number = as_path(root), 0
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            number += 1
            with suppress(FileExistsError):
                (root / f"{stem}-{number}").mkdir()
                return root / f"{stem}-{number}"
    except OSError as error:
        said = write_error(root / stem, error)
        raise WriteError(f"{said}; name another folder as out=...") from error
