"""A model folder: what a trained run needs to be loaded, measured and cited, and nothing else.

It is a run folder without the state of training, pictures of examples and local paths, and with a
model card. ``reparam.load`` reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from reparam.errors import RunError
from reparam.evaluation.per_example import save_evaluation
from reparam.report.card import CARD, PICTURE, card
from reparam.runs.config import FITTED
from reparam.runs.folder import RunFolder
from reparam.runs.run import Run
from reparam.training.checkpoint import load_tensors
from reparam.utils.files import as_path

if TYPE_CHECKING:
    from reparam.evaluation import Evaluation

MODEL_FILES = ("config.yaml", "model.safetensors", "model.json")
"""The files that every model folder has beside its card."""

FILES = (
    *MODEL_FILES,
    "metrics.jsonl",
    "evaluation.json",
    "evaluation.safetensors",
    "report.html",
    CARD,
    PICTURE,
)
"""All files of a model folder; no others are sent or fetched."""

_FILE_KEYS = ("path", "schema")
"""The options that name files of the user."""


def save(
    run: Run,
    folder: str | Path,
    *,
    license: str,
    repository: str | None = None,
    report: bool = False,
    evaluation: "Evaluation | None" = None,
) -> Path:
    """Write a model folder, and return it: ``reparam.load`` loads it, also offline.

    It holds the configuration, the weights, the metrics, the figures with those of every example,
    and a model card with samples. It holds no training examples, no state of training and no local
    paths. A report does show examples of the data.

    Arguments:
        run: A trained run.
        folder: A folder that does not exist yet, or is empty.
        license: The license of the model, such as ``apache-2.0``, ``cc-by-4.0`` or ``other``.
        repository: The repository that the card names; None for a folder.
        report: Whether to write report.html, which needs the data.
        evaluation: The figures; by default those that the run's own folder keeps.

    Raises:
        OptionError: A license that is no identifier.
        RunError: A run that is not finished, or a folder that holds other files.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import reparam as rp
        >>> digits = rp.data.load("digits")
        >>> run = rp.fit(rp.variants.vae, digits, steps=20, early_stopping=0, progress=False)
        >>> with TemporaryDirectory() as folder:
        ...     rp.load(rp.hub.save(run, f"{folder}/digits", license="mit")).sample(2).shape
        torch.Size([2, 1, 8, 8])
    """
    place = RunFolder(as_path(folder, "folder"))
    if place.holds_run:
        raise RunError(f"{place.path} holds a model already: give another folder")
    place.require_free()
    weights, values = _weights(run)
    config = without_places(run.config)
    figures = run.kept_evaluation() if evaluation is None else evaluation
    made = card(
        replace(run, config=config),
        license=license,
        name=None if repository else place.path.name,
        repository=repository,
        evaluation=figures,
    )
    page = run.report() if report else None
    place.write_trained(config, run.rows, weights, values)
    if figures is not None:
        facts = {**figures.to_dict(), "weights_sha256": place.weights_sha256}
        if facts.get("features") is not None:
            facts["features"] = Path(facts["features"]).name
        save_evaluation(place.evaluation_file, facts, figures.per_example)
    if page is not None:
        page.save(place.report_file)
    return made.save(place.path)


def _weights(run: Run) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """Return the final weights of a run, and the plain values that are stored beside them.

    Raises:
        RunError: The run is not finished.
    """
    if run.folder is None:
        steps = max((int(row["step"]) for row in run.rows if "step" in row), default=0)
        return run.model.state_dict(), {"step": steps}
    if not run.folder.is_finished:
        raise RunError(
            f"{run.folder.path} is not finished: go on with fit(..., out={str(run.folder.path)!r}, "
            "resume=True) before it is shared"
        )
    stored = load_tensors(run.folder.model_file)
    return stored.tensors, stored.values


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run without the folders of this machine.

    Of the user's own files the names stay, and of the command its words.

    Arguments:
        config: The configuration.

    Example:
        >>> stored = {"command": "/usr/bin/reparam train vae --data=/home/me/a.csv"}
        >>> found = without_places({"path": "/home/me/a.csv", "data_dir": "/d", "recorded": stored})
        >>> found["path"], found["data_dir"], found["recorded"]["command"]
        ('a.csv', None, 'reparam train vae --data=a.csv')
    """
    found = _without(config)
    record = dict(found.get("recorded") or {})
    if isinstance(record.get("command"), str):
        record["command"] = re.sub(r"[^\s=]*[/\\]", "", record["command"])
    if isinstance(record.get("data"), Mapping):
        record["data"] = _without(record["data"])
    if record:
        found["recorded"] = record
    if isinstance(found.get(FITTED), Mapping) and found[FITTED].get("run"):
        found[FITTED] = {**found[FITTED], "run": Path(found[FITTED]["run"]).name}
    return found


def _without(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without the folder of the data, and with the names of files."""
    found = dict(options)
    if "data_dir" in found:
        found["data_dir"] = None
    names = {k: Path(found[k]).name for k in _FILE_KEYS if isinstance(found.get(k), str)}
    return found | names
