"""Read a run back from its folder: the configuration, the model it describes, and its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reparam.errors import CheckpointError, RunError
from reparam.isolation import default_modes
from reparam.objectives.recipe import Recipe
from reparam.runs.config import FITTED, checked_config, fitted_model, recipe_of
from reparam.runs.folder import RunFolder
from reparam.runs.resume import warn_of_another
from reparam.runs.run import Run
from reparam.spec import DataSpec
from reparam.training.checkpoint import load_checkpoint, load_tensors, load_weights, unflatten
from reparam.training.runtime import resolve_device
from reparam.training.state import Progress
from reparam.utils.launch import is_first
from reparam.utils.memory import allocating, without_training
from reparam.utils.terminal import note


@default_modes()
def load(run: str | Path, model: nn.Module | Recipe | None = None, device: str = "cpu") -> Run:
    """Return a run from its folder. Nothing in the folder is executed.

    Arguments:
        run: The folder.
        model: The model of a run that was composed by hand; its weights are replaced.
        device: The device of the model.

    Raises:
        RunError: There is no run, or it has no weights yet, or its model is not known.
        CheckpointError: The weights are damaged, or those of another model.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import reparam as rp
        >>> digits = rp.data.load("digits")
        >>> with TemporaryDirectory() as folder:
        ...     run = rp.fit(rp.variants.vae, digits, out=f"{folder}/a", epochs=1, progress=False)
        ...     rp.load(f"{folder}/a").sample(2).shape
        torch.Size([2, 1, 8, 8])
    """
    folder = RunFolder(run)
    stored = folder.config()
    config = checked_config(stored, str(folder.config_file))
    spec = DataSpec.from_dict(config["recorded"]["spec"])
    weights, is_final = _weights(folder, stored)
    if not is_final:
        config.pop(FITTED, None)  # a checkpoint of the training, before the prior was chosen
    if model is None:
        with without_training(), allocating(**sizes_of(config)):
            module = recipe_of(config, spec).model
    else:
        given = model.model if isinstance(model, Recipe) else model
        with allocating(**sizes_of(config)):
            module = fitted_model(given, config, spec)
    if config.get("precision") == "float64":
        module.double()
    load_weights(module, weights, str(folder.path))
    module.to(resolve_device(device)).eval()
    rows = folder.metrics(note)
    return Run(module, spec, config, None, folder, rows, is_main=is_first())


def sizes_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a configuration that the memory of its model depends on.

    >>> sizes_of({"latent_dim": 2, "seed": 0, "fitted_prior": {"options": {"n_components": 5}}})
    {'latent_dim': 2, 'n_components': 5}
    """
    found = {**config, **(config.get(FITTED) or {}).get("options", {})}
    names = ("latent_dim", "hidden", "n_components")
    return {name: found[name] for name in names if found.get(name) is not None}


def _weights(folder: RunFolder, config: Mapping[str, Any]) -> tuple[Mapping[str, Tensor], bool]:
    """Return the final weights and True; without them, those of the newest checkpoint and False."""
    damage: CheckpointError | None = None
    if folder.is_finished:
        try:
            stored = load_tensors(folder.model_file)
        except CheckpointError as error:
            damage = error
        else:
            warn_of_another(folder.model_file, stored.config_sha256, config)
            return stored.tensors, True
    how_to_resume = f"go on with fit(..., out={str(folder.path)!r}, resume=True)"
    checkpoint = load_checkpoint(folder.checkpoints, note)
    if checkpoint is None and damage is not None:
        raise damage  # a model folder holds no checkpoints
    if checkpoint is None:
        raise RunError(f"{folder.path} has no weights yet: {how_to_resume}")
    if damage is not None:
        note(f"{damage}; using the newest checkpoint instead")
    warn_of_another(folder.checkpoints, checkpoint.config_sha256, config)
    if not folder.is_finished:
        epoch, epochs = Progress.from_values(checkpoint.values).epoch, config.get("epochs")
        place = "" if epochs is None else f" (epoch {epoch} of {epochs})"
        note(
            f"{folder.path} is not finished: these are its weights after step "
            f"{checkpoint.step:,}{place}; {how_to_resume}"
        )
    for name in ("best", "average.module", "model"):  # in the order of the end of training
        weights = unflatten(name, checkpoint.tensors)
        if weights:
            return weights, False
    raise CheckpointError(
        f"the newest checkpoint in {folder.checkpoints} holds no weights: delete it to go on from "
        "the one before it"
    )
