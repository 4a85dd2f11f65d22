"""Check a run, or data before training."""

import torch

from reparam.data import Dataset, Stream
from reparam.data.arrays import as_tensor
from reparam.diagnostics import encoder, latents, likelihood, samples, training
from reparam.diagnostics.context import N_EXAMPLES, DiagnosticContext, diagnostic_context
from reparam.diagnostics.data import DATA_CHECKS, Sample, grey, sample_of
from reparam.diagnostics.finding import Check, Diagnosis
from reparam.errors import DataError
from reparam.evaluation.trained import TrainedRun
from reparam.isolation import default_modes
from reparam.objectives import Objective
from reparam.spec import Support
from reparam.utils.arguments import numbers

FEWEST_EXAMPLES = 10
"""The least number of examples that a check estimates from."""

RUN_CHECKS: tuple[Check[DiagnosticContext], ...] = (
    likelihood.cross_entropy,
    likelihood.kl_weight,
    likelihood.decoder_scale,
    latents.collapse,
    latents.dead_codes,
    encoder.lagging_encoder,
    latents.far_aggregate,
    encoder.too_few_draws,
    samples.copied,
    samples.unlike,
    training.overfitting,
    training.learning_rate,
    training.stopped_early,
)
"""The checks of a run beside those of its data, in the order of the report."""


@default_modes()
@numbers(n_examples=FEWEST_EXAMPLES)
def examine(
    run: TrainedRun,
    data: object = None,
    *,
    objective: Objective | None = None,
    n_examples: int = N_EXAMPLES,
    seed: int = 0,
) -> Diagnosis:
    """Check a run: its likelihood, its latents, its training and its data.

    Arguments:
        run: The run, where its model computes.
        data: The data it was trained on; None for its own.
        objective: The objective that it was trained with, for a model composed by hand.
        n_examples: The largest number of random examples of each split, 10 or more.
        seed: The seed of their choice and of every draw.

    Returns:
        The findings, with the figures that show them and the setting to change.

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
    source: Dataset | Stream = run.dataset() if data is None else run.prepared(data)
    context = diagnostic_context(run, source, objective, n_examples, seed)
    # `grey` checks the default likelihood; a run has chosen one.
    found = [check(context.sample) for check in DATA_CHECKS if check is not grey]
    found += [check(context) for check in RUN_CHECKS]
    sampled = f"{len(context.train):,} training examples"
    if context.held is not None:
        sampled += f" and {len(context.held):,} of the split {context.held_name}"
    where = repr(run) if run.folder is None else str(run.folder.path)
    subject = f"{where}: {run.config.get('variant') or 'a model of your own'} on {run.spec.name}"
    return Diagnosis(subject, f"{sampled}, seed {seed}", tuple(found))


@default_modes()
@numbers(n_examples=FEWEST_EXAMPLES)
def examine_data(
    data: object, *, support: Support | None = None, n_examples: int = 10_000, seed: int = 0
) -> Diagnosis:
    """Check data before training.

    Arguments:
        data: A ``Dataset``, or a tensor or array x with shape (N, *shape) of any numbers.
        support: The set that the entries lie in, for an array.
        n_examples: The largest number of random examples, 10 or more.
        seed: The seed of their choice.

    Raises:
        OptionError: Fewer than ten examples.
        DataError: No array of numbers, or one without examples.

    Example:
        >>> examine_data(torch.arange(256.0).reshape(64, 4))["support"].fix
        'pass them as uint8, which are scaled to [0, 1], or divide by 255'
    """
    if isinstance(data, Dataset):
        sample = sample_of(data, data.some("train", n_examples, seed).examples("train", seed).x)
        name, n = data.name, len(data.splits["train"])
    else:
        whole = as_tensor(data, "x")
        if whole.ndim == 0 or whole.numel() == 0:
            raise DataError(f"x has shape {tuple(whole.shape)}: give one example or more")
        name, n = "data", len(whole)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        x = whole[order[:n_examples]]
        # Bytes are grey levels, and scaled before any network gets them.
        if x.dtype == torch.uint8 and support is None:
            x = x.float() / 255
        is_float = whole.is_floating_point()
        sample = Sample(x if is_float else x.float(), support, whole=whole if is_float else None)
    found = [check(sample) for check in DATA_CHECKS]
    subject = f"{name}: {n:,} training examples of shape {tuple(sample.x.shape[1:])}"
    return Diagnosis(subject, f"{len(sample.x):,} training examples, seed {seed}", tuple(found))
