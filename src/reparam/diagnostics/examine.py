"""Examine a run, or data before training."""

from collections.abc import Callable
from typing import Any

import torch

from reparam.data import Dataset, Stream
from reparam.data.arrays import as_tensor
from reparam.diagnostics import curves, encoder, latents, likelihood
from reparam.diagnostics.context import N_EXAMPLES, Context, examples_of, patient_of
from reparam.diagnostics.finding import Diagnosis, Finding
from reparam.diagnostics.sample import DATA_CHECKS, Sample, grey, sample_of
from reparam.errors import DataError, OptionError
from reparam.isolation import default_modes
from reparam.runs.run import Run
from reparam.spec import Support
from reparam.utils.arguments import numbers

RUN_CHECKS: tuple[Callable[[Context], Finding], ...] = (
    likelihood.cross_entropy,
    likelihood.kl_weight,
    likelihood.decoder_scale,
    latents.collapse,
    latents.dead_codes,
    encoder.lagging_encoder,
    latents.far_aggregate,
    encoder.too_few_draws,
    curves.overfitting,
    curves.learning_rate,
    curves.stopped_early,
)
"""What is looked at in a run, beside its data, in the order of the report."""


@default_modes()
@numbers()
def examine(
    run: Run,
    data: object = None,
    *,
    objective: Any = None,
    n_examples: int = N_EXAMPLES,
    seed: int = 0,
) -> Diagnosis:
    """Examine a run: its likelihood, its latents, its training and its data.

    Arguments:
        run: The run, where its model computes.
        data: The data it was trained on; None for its own.
        objective: What it was trained with, for a model composed by hand.
        n_examples: At most so many random examples of each split are looked at.
        seed: Of their choice and of every draw.

    Returns:
        What was found, with the figures that show it and the setting to change.

    Raises:
        OptionError: Fewer than ten examples.
        RunError: The data came from memory, and are not there any more.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> recipe = variants.vae(digits.spec, latent_dim=2, hidden=[16])
        >>> run = fit(recipe, digits, epochs=1, progress=False)
        >>> examine(run, n_examples=50)["beta"].severity
        'fine'
    """
    if n_examples < 10:
        raise OptionError(f"n_examples={n_examples}: an estimate needs at least 10")
    source: Dataset | Stream = run.dataset() if data is None else run.prepared(data)
    patient = patient_of(run, source, objective, n_examples, seed)
    # Which likelihood the data ask for is settled, once a run has one.
    found = [check(patient.sample) for check in DATA_CHECKS if check is not grey]
    found += [check(patient) for check in RUN_CHECKS]
    sampled = f"{len(patient.train):,} training examples"
    if patient.held is not None:
        sampled += f" and {len(patient.held):,} of the split {patient.held_name}"
    where = repr(run) if run.folder is None else str(run.folder.path)
    subject = f"{where}: {run.config.get('variant') or 'a model of your own'} on {run.spec.name}"
    return Diagnosis(subject, f"{sampled}, seed {seed}", tuple(found))


@default_modes()
@numbers()
def examine_data(
    data: object, *, support: Support | None = None, n_examples: int = 10_000, seed: int = 0
) -> Diagnosis:
    """Examine data before training.

    Arguments:
        data: A data set of ours, or a tensor or array x with shape (N, *shape), which may be
            anything at all.
        support: The set that the entries are said to lie in, for an array.
        n_examples: At most so many random examples are looked at.
        seed: Of their choice.

    Raises:
        OptionError: Fewer than ten examples are asked for.
        DataError: What is no array of numbers, or has no examples.

    Example:
        >>> examine_data(torch.arange(256.0).reshape(64, 4))["support"].fix
        'pass them as uint8, which are scaled to [0, 1], or divide by 255'
    """
    if n_examples < 10:
        raise OptionError(f"n_examples={n_examples}: a look at data needs at least 10")
    if isinstance(data, Dataset):
        x = examples_of(data, "train", n_examples, seed).x
        sample, name = sample_of(data, x), data.name
        n = len(data.splits["train"])
    else:
        array: Any = data
        x = as_tensor(array, "x")
        if x.ndim == 0 or x.numel() == 0:
            raise DataError(
                f"x has shape {tuple(x.shape)}: data need at least one example of at least one "
                "value, so give some"
            )
        n, name = len(x), "data"
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        whole, x = x, x[order[:n_examples]]
        # Bytes are grey levels, and scaled before any network sees them.
        scaled = x.float() / 255 if x.dtype == torch.uint8 and support is None else x
        sample = Sample(
            scaled if scaled.is_floating_point() else scaled.float(),
            support,
            whole=whole if whole.is_floating_point() else None,
        )
    found = [check(sample) for check in DATA_CHECKS]
    subject = f"{name}: {n:,} training examples of shape {tuple(sample.x.shape[1:])}"
    said = f"{len(sample.x):,} training examples, seed {seed}"
    return Diagnosis(subject, said, tuple(found))
