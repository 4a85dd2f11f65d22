"""What the experiments that train share: a run that may be kept, and paired differences."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace as replace_data
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data import Dataset
from reparam.evaluation import Evaluation
from reparam.evaluation.likelihood.importance import importance_sample
from reparam.evaluation.per_example import data_sha256
from reparam.isolation import isolated
from reparam.models.latent import LatentModel
from reparam.objectives import Objective
from reparam.reproduce.registry import Protocol
from reparam.runs.fit import fit
from reparam.runs.run import Run
from reparam.training.checkpoint import load_tensors, save_tensors
from reparam.utils.files import read_json, write_json
from reparam.utils.seeding import reseed
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
    epochs: int | None = None,
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
        epochs: Instead of the protocol's.
        training: Options of training beside the epochs.
        options: Options of the variant.
    """
    seed = protocol.seed if seed is None else seed
    epochs = protocol.epochs if epochs is None else epochs
    # As on the command line: the weights follow from the seed.
    reseed(torch.device("cpu"), seed)
    recipe = build(variant, data.spec, **options)
    if objective is not None:
        recipe = replace(recipe, objective=objective)
    protocol.say(f"training {name}, {epochs} epochs")
    runs = protocol.options.runs
    folder = name if seed == 0 else f"{name}-seed-{seed}"
    return fit(
        recipe,
        data,
        out=None if runs is None else runs / folder,
        resume=runs is not None,
        device=protocol.options.device,
        progress=protocol.options.progress,
        epochs=epochs,
        seed=seed,
        pictures_every=0,
        # A published figure is one of full precision, unless its protocol says otherwise.
        **{"precision": "float32", **(training or {})},
    )


def evaluated(
    protocol: Protocol, run: Run, data: Dataset | Batch, n_samples: int | None = None
) -> Evaluation:
    """Evaluate a run as a protocol says: its draws, seed and device.

    Arguments:
        protocol: The protocol.
        run: The run.
        data: A data set, whose test split it is, or examples.
        n_samples: Draws of each example instead of the protocol's.
    """
    return run.evaluate(
        data,
        n_samples=protocol.n_samples if n_samples is None else n_samples,
        seed=protocol.seed,
        device=protocol.options.device,
    )


def seconds_of(run: Run) -> float:
    """Return how long a run trained, in seconds."""
    return float(run.rows[-1]["seconds"]) if run.rows else 0.0


class EqualTime(NamedTuple):
    """For how long a variant may train.

    Arguments:
        epochs: Its epochs.
        ratio: The cost of its step, in that of the reference's.
        seconds: What was measured: processor time of a few steps of both, time after time.
    """

    epochs: int
    ratio: float
    seconds: list[tuple[float, float]]


def equal_time(
    protocol: Protocol,
    name: str,
    data: Dataset,
    variant: tuple[str, Mapping[str, Any]],
    reference: tuple[str, Mapping[str, Any]],
    training: Mapping[str, Any],
) -> EqualTime:
    """Return for how many epochs a variant may train in the time that a reference takes for all.

    Both train a little in turn, three times over; the least processor time of each counts, which
    other work on the machine does not change. What was measured is kept where runs are.

    Arguments:
        protocol: The epochs of the reference, and where runs are kept.
        name: What the run of the variant is called.
        data: What to train on.
        variant: A variant and its options.
        reference: The one that it is compared with, and its options.
        training: Options of training.
    """
    runs = protocol.options.runs
    kept = None if runs is None else runs / f"{name}-cost.json"
    if kept is not None and kept.exists():
        with suppress(OSError, ValueError, KeyError, TypeError):  # damaged: measured again
            before = read_json(kept)
            return _equal(protocol, float(before["ratio"]), before["seconds"])
    train = data.splits["train"]
    few = train.take(torch.arange(min(len(train), 40 * training.get("batch_size", 128))))
    little = replace_data(data, splits={"train": few})
    costs: list[tuple[float, float]] = []
    for _ in range(3):
        costs.append(
            (
                _processor_seconds(protocol, variant, little, training),
                _processor_seconds(protocol, reference, little, training),
            )
        )
    ratio = min(cost for cost, _ in costs) / min(cost for _, cost in costs)
    if kept is not None:
        write_json(kept, {"ratio": ratio, "seconds": costs})
    return _equal(protocol, ratio, costs)


def _equal(protocol: Protocol, ratio: float, seconds: list[tuple[float, float]]) -> EqualTime:
    return EqualTime(max(1, round(protocol.epochs / ratio)), ratio, seconds)


def _processor_seconds(
    protocol: Protocol,
    variant: tuple[str, Mapping[str, Any]],
    data: Dataset,
    training: Mapping[str, Any],
) -> float:
    """Return the processor time of one epoch."""
    name, options = variant
    recipe = build(name, data.spec, **options)
    began = time.process_time()
    fit(
        recipe,
        data,
        device=protocol.options.device,
        precision="float32",
        progress=False,
        epochs=1,
        **training,
    )
    return time.process_time() - began


class Scores(NamedTuple):
    """Figures of every example, in nats with shape (N,).

    Arguments:
        elbo: The bound.
        log_likelihood: log p(x) by importance sampling.
        reconstruction: E_q[log p(x | z)].
    """

    elbo: Tensor
    log_likelihood: Tensor
    reconstruction: Tensor


def per_example(run: Run, x: Tensor, n_samples: int, seed: int) -> Scores:
    """Return the figures of every example of x, with shape (N, *shape), for paired comparisons.

    Where the run has a folder they are kept there, for an entry that needs them again.
    """
    kept = None
    if run.folder is not None and (weights := run.folder.weights_sha256) is not None:
        # Other weights, other examples, or the same ones drawn otherwise, are other figures.
        name = f"per-example-{n_samples}-{seed}-{data_sha256(x)[:16]}-{weights[:16]}.safetensors"
        kept = run.folder.path / name
        if kept.exists():
            return Scores(**load_tensors(kept)[0])
    size = max(1, _BLOCK_DRAWS // n_samples)
    model: LatentModel = run.latent_model
    with isolated(model, seed=seed) as device:
        parts = [
            importance_sample(model, block.to(device), None, n_samples) for block in x.split(size)
        ]
    found = Scores(
        elbo=torch.cat([part.reconstruction - part.kl for part in parts]),
        log_likelihood=torch.cat([part.log_likelihood for part in parts]),
        reconstruction=torch.cat([part.reconstruction for part in parts]),
    )
    if kept is not None:
        save_tensors(kept, found._asdict(), {"n_samples": n_samples, "seed": seed})
    return found


def mean_of(values: Tensor) -> tuple[float, float]:
    r"""Return the mean of values with shape (N,), and its standard error.

    >>> mean_of(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    wide = values.double()
    return float(wide.mean()), float(wide.std() / len(wide) ** 0.5)
