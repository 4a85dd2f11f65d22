"""Whether the run of a folder may go on: with the same options, data and training examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reparam.errors import CheckpointError, RunError
from reparam.runs.config import (
    FITTED,
    MACHINE_KEYS,
    MOVABLE_KEYS,
    as_stored,
    checked_config,
    config_sha256,
    up_to_date,
)
from reparam.runs.folder import RunFolder
from reparam.training.checkpoint import load_tensors
from reparam.utils.terminal import note
from reparam.variants.options import options_of


def check_same(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Refuse to go on with other options, data or training examples than the run began with.

    Arguments:
        folder: The folder of the run.
        config: The configuration to go on with.

    Raises:
        RunError: A difference, which the message names.
    """
    stored = checked_config(folder.config(), str(folder.config_file))
    is_own = stored["recorded"].get("chooses_prior", False)
    if stored.get(FITTED) is not None and not is_own and not folder.is_finished:
        raise RunError(
            f"{folder.path} has no weights, and its prior was fitted after training, so training "
            "cannot make them: call run.with_prior again, with another out=..."
        )
    before, now = stored["recorded"], config["recorded"]
    parts = [
        f"{part} ({before[part]} in the run)"
        for part in ("objective", "optimizer", "scheduler")
        if before[part] != now.get(part)
    ]
    spec = _other_columns(before["spec"].get("schema"), now["spec"].get("schema")) or [
        f"data of {key} {_shown(before['spec'].get(key))} in the run, {_shown(value)} now"
        for key, value in now["spec"].items()
        # The name may be that of a folder or a file, which may have been moved. Older runs have no
        # names of columns.
        if key != "name" and before["spec"].get(key, value if key == "columns" else None) != value
    ]
    for what, found in (
        ("options", differences(stored, config) or parts[:1]),
        ("data", spec),
        ("training examples", _other_examples(folder, before, now)),
    ):
        if found:
            raise RunError(
                f"{folder.path} cannot go on with other {what}: {'; '.join(found)}; give those "
                "that it began with, or start a new run in another folder"
            )


def _other_examples(
    folder: RunFolder, before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[str]:
    """Return the differences of the training examples from those of the run, as phrases."""
    for key, what in (("n_batches", "batches in an epoch: "), ("n_train", "")):
        if before[key] not in (None, now[key]) and (now["is_stream"] or key == "n_train"):
            return [f"{what}{before[key]:,} in the run, {now[key]:,} now"]
    if before["train_sha256"] in (None, now["train_sha256"]):
        return []
    if not now["is_stream"]:
        return ["other values"]
    # Some loaders draw from a state that no seed determines.
    note(
        f"{folder.path} began with other batches of a loader: if its data or their order have "
        "changed, start a new run in another folder"
    )
    return []


def _other_columns(before: object, now: object) -> list[str]:
    """Return the first difference of the columns of two tables, as a phrase; [] without any.

    Arguments:
        before: The columns of the run, as ``Schema.to_list`` returns them; None without any.
        now: Those to go on with.
    """
    if not isinstance(before, list) or not isinstance(now, list):
        return []
    old, new = ({column["name"]: column for column in each} for each in (before, now))
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new or name not in old:
            return [f"column {name!r} is {'not there now' if name in old else 'not in the run'}"]
        for key in [*old[name], *new[name]]:
            had, has = old[name].get(key), new[name].get(key)
            if had != has:
                return [
                    f"column {name!r} has the {key} {_shown(had)} in the run, {_shown(has)} now"
                ]
    return []


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return the options that differ between a run and the options to go on with, as phrases.

    >>> differences({"lr": 0.1, "seed": 0}, {"lr": 0.2, "seed": 0, "optimizer": "adam"})
    ['lr (0.1 in the run, 0.2 now)']
    """
    variant = stored.get("variant") or given.get("variant") or "vae"
    usual = {option.name: option.default for option in options_of(variant).values()}
    stored, given = usual | up_to_date(stored), usual | up_to_date(given)
    return [
        f"{name} ({stored.get(name)} in the run, {given.get(name)} now)"
        for name in stored | given
        if name not in (*MOVABLE_KEYS, *MACHINE_KEYS, FITTED, "recorded")
        and as_stored(stored.get(name)) != as_stored(given.get(name))
    ]


def _shown(value: Any) -> str:
    return "none" if value is None else str(tuple(value) if isinstance(value, list) else value)


def is_sound(folder: RunFolder) -> bool:
    """Return whether the weights of a finished run can be read; if not, training makes them."""
    try:
        load_tensors(folder.model_file)
    except CheckpointError as error:
        note(f"{error}; making the weights again from the newest checkpoint")
        return False
    return True


def warn_of_another(place: Path, stored: str | None, config: Mapping[str, Any]) -> None:
    """Print a note where weights were trained under another configuration than their folder's.

    Arguments:
        place: The file or folder of the weights.
        stored: The checksum of the configuration that they were trained under; None if unknown.
        config: The configuration of the folder, as it is read from its file.
    """
    if stored is not None and stored != config_sha256(config):
        note(
            f"{place} was trained under another configuration than the config.yaml beside it: one "
            "of them is of another run, or was changed"
        )
