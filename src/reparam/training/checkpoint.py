"""Checkpoints: the whole state of a training run, in files that execute nothing when loaded.

A checkpoint is a safetensors file and a JSON file with its checksum, which is written after it. A
safetensors file without a JSON file is ignored, so that after an interrupted write the checkpoint
before it is the newest.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from reparam.errors import CheckpointError
from reparam.utils.equality import by_value
from reparam.utils.files import read_json, read_regular, reason, write_atomic, write_json

FORMAT = 1
"""The version of the file format; a run of a newer one is refused."""

ATTEMPTS = 10
"""The number of attempts to read the newest checkpoint while another process deletes old ones."""

KEPT = 2
"""The number of checkpoints of a run: the newest one, and one in case that it is damaged."""


@by_value
@dataclass(frozen=True)
class Checkpoint:
    """The state of a run at one step.

    Arguments:
        step: The number of optimizer steps taken.
        tensors: The tensors by name; see ``state``.
        values: The plain values by name; see ``state``.
        config_sha256: The checksum of the configuration of the run; None where none was stored.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    config_sha256: str | None = None


class Stored(NamedTuple):
    """The content of the files of ``save_tensors``; see ``Checkpoint``."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]
    config_sha256: str | None


def save_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, object],
    config_sha256: str | None = None,
) -> None:
    """Write tensors, then a JSON file with plain values and the checksum of both.

    Arguments:
        path: The file of the tensors; the JSON file has its name with the suffix ``.json``.
        tensors: The tensors, by name.
        values: The plain values.
        config_sha256: The checksum of the configuration of the run.

    Raises:
        RunError: The disk is full.
    """
    # Copies, since safetensors refuses tensors that share memory, as tied weights do.
    content = tensors_to_bytes(
        {k: t.detach().cpu().contiguous().clone() for k, t in tensors.items()}
    )
    write_atomic(path, content)
    record = {"format": FORMAT, "sha256": _checksum(content, values), "values": dict(values)}
    if config_sha256 is not None:
        record["config_sha256"] = config_sha256
    write_json(path.with_suffix(".json"), record)


def load_tensors(path: Path) -> Stored:
    """Return what ``save_tensors`` wrote.

    Raises:
        CheckpointError: A file is missing or damaged, or of a newer format.
    """
    try:
        record = read_json(path.with_suffix(".json"))
        check_format(record["format"], path)
        content = read_regular(path)
        if _checksum(content, record["values"]) != record["sha256"]:
            raise CheckpointError(f"{path} is damaged: its checksum does not match")
        config_sha256 = record.get("config_sha256")
        if not isinstance(record["values"], dict) or not isinstance(config_sha256, str | None):
            raise CheckpointError(f"{path} is damaged: its record holds values of other types")
        return Stored(tensors_from_bytes(content), record["values"], config_sha256)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason(error)}") from error
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _checksum(content: bytes, values: Mapping[str, Any]) -> str:
    return hashlib.sha256(content + json.dumps(values, sort_keys=True).encode()).hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, and delete all but the ``KEPT`` newest ones.

    Raises:
        RunError: The disk is full.
    """
    path = _tensor_path(folder, checkpoint.step)
    save_tensors(path, checkpoint.tensors, checkpoint.values, checkpoint.config_sha256)
    for old in _steps(folder, ".json")[KEPT:]:
        # The JSON file first: a checkpoint without it is ignored.
        _tensor_path(folder, old).with_suffix(".json").unlink(missing_ok=True)
        _tensor_path(folder, old).unlink(missing_ok=True)
    return path


def load_checkpoint(
    folder: Path, warn: Callable[[str], None], config_sha256: str | None = None
) -> Checkpoint | None:
    """Return the newest undamaged checkpoint; None in a folder without checkpoints.

    Nothing is written. Another process may be training the run, and may delete an old checkpoint
    while it is read.

    Arguments:
        folder: The folder of the checkpoints.
        warn: A function that receives a warning about every checkpoint that is skipped.
        config_sha256: The checksum of a configuration; checkpoints of another one are skipped. None
            for those of any configuration.

    Raises:
        CheckpointError: Every checkpoint is damaged, or of another configuration.
    """
    for _ in range(ATTEMPTS):
        try:
            return _newest(folder, warn, config_sha256)
        except FileNotFoundError:
            continue
    raise CheckpointError(
        f"the checkpoints in {folder} change too fast to be read: wait until the "
        "process that trains has ended"
    )


def _newest(
    folder: Path, warn: Callable[[str], None], config_sha256: str | None
) -> Checkpoint | None:
    """Return the result of ``load_checkpoint``, in one attempt.

    Raises:
        FileNotFoundError: A checkpoint was deleted while it was read.
    """
    steps = _steps(folder, ".json")
    for step in _steps(folder, ".safetensors"):
        if step > max(steps, default=-1):
            warn(
                f"{_tensor_path(folder, step)} is ignored, since it has no .json file: it is "
                "still being written, its write was interrupted, or that file was deleted; falling "
                "back to the checkpoint before it"
            )
    fault = f"every checkpoint in {folder} is damaged: delete that folder to train from the start"
    for step in steps:
        path = _tensor_path(folder, step)
        try:
            stored = load_tensors(path)
        except CheckpointError as error:
            if step not in _steps(folder, ".json"):
                raise FileNotFoundError(path) from error
            warn(f"{error}; falling back to the checkpoint before it")
            continue
        if config_sha256 is None or stored.config_sha256 in (None, config_sha256):
            return Checkpoint(step, *stored)
        warn(f"{path} is of another configuration; falling back to the checkpoint before it")
        fault = (
            f"the checkpoints in {folder} are of another configuration than the config.yaml beside "
            "that folder: put back the file that they were trained under, or delete the folder to "
            "train from the start"
        )
    if steps:
        raise CheckpointError(fault)
    return None


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Load the weights of a model.

    Raises:
        CheckpointError: They are the weights of another model.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        said = said if len(said) < 300 else f"{said[:300]} ..."
        raise CheckpointError(f"{what} holds the weights of another model: {said}") from error


def check_format(found: object, path: Path) -> None:
    """Refuse files of a newer version of the format.

    Raises:
        CheckpointError: The format is newer than this version of reparam, or no number.
    """
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"{path} has format {found!r}, and this version of reparam reads up to {FORMAT}: "
            "upgrade reparam to use the run"
        )


def _tensor_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def _steps(folder: Path, suffix: str) -> list[int]:
    """Return the steps that have a file with a suffix, the newest first.

    Raises:
        CheckpointError: The folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"cannot read {folder}: {reason(error)}") from error
    found = (re.fullmatch(rf"step-([0-9]+){re.escape(suffix)}", name) for name in names)
    return sorted((int(match[1]) for match in found if match), reverse=True)


def flatten(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with a prefix before their names.

    >>> import torch
    >>> list(flatten("model", {"weight": torch.zeros(1)}))
    ['model.weight']
    """
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unflatten(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a prefix, without it; the inverse of ``flatten``."""
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
