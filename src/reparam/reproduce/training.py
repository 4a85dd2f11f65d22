"""What the experiments that train share: a run that may be kept, and paired differences."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from reparam.data import Dataset
from reparam.evaluation.isolation import isolated
from reparam.evaluation.likelihood import importance_sample
from reparam.model import LatentModel
from reparam.objectives import Objective
from reparam.reproduce.registry import Protocol
from reparam.run import Run, fit
from reparam.variants import build, replace

_BLOCK_DRAWS = 2**15


def trained(
    protocol: Protocol,
    name: str,
    variant: str,
    data: Dataset,
    *,
    objective: Objective | None = None,
    seed: int | None = None,
    training: dict[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Train a variant, or take up the run of it that ``--runs`` keeps.

    Arguments:
        protocol: Epochs, device, seed, and where runs are kept.
        name: What the run is called, in messages and as a folder.
        variant: The variant.
        data: What to train on.
        objective: Instead of the variant's.
        seed: Instead of the protocol's.
        training: Options of training beside the epochs.
        options: Options of the variant.
    """
    seed = protocol.seed if seed is None else seed
    # As on the command line: the weights follow from the seed.
    torch.manual_seed(seed)
    recipe = build(variant, data.spec, **options)
    if objective is not None:
        recipe = replace(recipe, objective=objective)
    protocol.say(f"training {name}, {protocol.epochs} epochs")
    runs = protocol.options.runs
    return fit(
        recipe,
        data,
        out=None if runs is None else runs / name,
        resume=runs is not None,
        device=protocol.options.device,
        # A published figure is one of full precision.
        precision="float32",
        progress=protocol.options.progress,
        epochs=protocol.epochs,
        seed=seed,
        pictures_every=0,
        **(training or {}),
    )


class PerExample(NamedTuple):
    """Figures of every example, in nats with shape (N,).

    Arguments:
        elbo: The bound.
        log_likelihood: log p(x) by importance sampling.
    """

    elbo: Tensor
    log_likelihood: Tensor


def per_example(run: Run, x: Tensor, n_samples: int, seed: int) -> PerExample:
    """Return the figures of every example of x, with shape (N, *shape), for paired comparisons."""
    size = max(1, _BLOCK_DRAWS // n_samples)
    model: LatentModel = run.latent_model
    with isolated(model, seed=seed) as device:
        parts = [
            importance_sample(model, block.to(device), None, n_samples) for block in x.split(size)
        ]
    return PerExample(
        elbo=torch.cat([part.reconstruction - part.kl for part in parts]),
        log_likelihood=torch.cat([part.log_likelihood for part in parts]),
    )


def mean_of(values: Tensor) -> tuple[float, float]:
    r"""Return the mean of values with shape (N,), and its standard error.

    >>> mean_of(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    wide = values.double()
    return float(wide.mean()), float(wide.std() / len(wide) ** 0.5)
