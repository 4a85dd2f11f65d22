"""The folder of a run: its layout, and who may write to it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reparam.errors import RunError
from reparam.files import remove_unfinished, write_atomic, write_error
from reparam.training.checkpoint import check_format


class RunFolder:
    """A run on disk. Nothing in it is executed when it is read.

    ::

        config.yaml          the options, and what was recorded when the run began
        metrics.jsonl        one row of scalars a line
        events/              the same for TensorBoard, with pictures
        checkpoints/         the newest two states of training
        pictures/            samples and reconstructions after every epoch
        model.safetensors    the trained weights; their presence says that the run is finished
        model.json           their checksum
        evaluation.json      what was measured
        evaluation.safetensors  the same of every example

    Arguments:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.metrics_file = self.path / "metrics.jsonl"
        self.events = self.path / "events"
        self.checkpoints = self.path / "checkpoints"
        self.pictures = self.path / "pictures"
        self.model_file = self.path / "model.safetensors"
        self.evaluation_file = self.path / "evaluation.json"

    @property
    def holds_run(self) -> bool:
        """Whether a run began here."""
        return self.config_file.is_file()

    @property
    def is_finished(self) -> bool:
        """Whether the run ended; its weights are written last, the checksum after them."""
        return self.model_file.with_suffix(".json").is_file()

    @property
    def weights_sha256(self) -> str | None:
        """The checksum of the trained weights; None for a run that is not finished."""
        try:
            return str(json.loads(self.model_file.with_suffix(".json").read_text())["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, config: Mapping[str, Any]) -> None:
        """Make the folder and write the configuration of a new run.

        Raises:
            RunError: The folder holds another run or other files; nothing is overwritten.
        """
        if self.holds_run:
            raise RunError(
                f"{self.path} holds another run: choose another --out, or go on with it by --resume"
            )
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file, not a folder: choose another --out")
        remove_unfinished(self.path)
        others = [p.name for p in self.path.glob("*")] if self.path.is_dir() else []
        if others:
            raise RunError(
                f"{self.path} is not empty (it holds {sorted(others)[0]}): choose another --out"
            )
        import yaml

        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_atomic(self.config_file, text)

    def config(self) -> dict[str, Any]:
        """Return the configuration.

        Raises:
            RunError: There is no run here, or its configuration is damaged.
            CheckpointError: The run is of a newer format.
        """
        if not self.holds_run:
            raise RunError(f"{self.path} holds no run (no config.yaml): give the folder of a run")
        import yaml

        try:
            config = yaml.safe_load(self.config_file.read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            where = " ".join(str(error).split())
            raise RunError(f"{self.config_file} cannot be read: {where}") from error
        recorded = config.get("recorded") if isinstance(config, dict) else None
        if not isinstance(recorded, dict):
            raise RunError(f"{self.config_file} is no configuration of a run: it has no 'recorded'")
        check_format(recorded.get("format"), self.config_file)
        for key in ("spec", "objective"):
            if key not in recorded:
                raise RunError(f"{self.config_file} is damaged: 'recorded' has no {key!r}")
        return config

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of metrics; a last line that a killed process left half is dropped."""
        return read_rows(self.metrics_file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process alone; the lock goes with the process, however it ends.

        Raises:
            RunError: Another process is training this run, or the folder cannot be made.
        """
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            yield
            return
        place = self.path.absolute().resolve()  # "." has no name of its own
        lock_file = place.parent / f".{place.name}.lock"
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"another process is training {self.path}: wait for it, or stop it first"
                ) from None
            try:
                yield
            finally:
                lock_file.unlink(missing_ok=True)
        finally:
            os.close(handle)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines; a broken last line is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def next_free(root: str | Path, stem: str) -> Path:
    """Return the first of ``root/stem-1``, ``root/stem-2``, … that does not exist.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     next_free(folder, "digits-vae").name
    'digits-vae-1'
    """
    number = 1
    while (Path(root) / f"{stem}-{number}").exists():
        number += 1
    return Path(root) / f"{stem}-{number}"
