"""Evaluate a model: all figures that it has, on one split of data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from reparam.batch import Batch
from reparam.data.checks import check_on_grid, check_values, fitted
from reparam.errors import DataError
from reparam.evaluation.context import Context
from reparam.evaluation.figure import Facts, Figure
from reparam.evaluation.likelihood.importance import N_SAMPLES
from reparam.evaluation.likelihood.proposal import POSTERIOR
from reparam.evaluation.metric import is_met, metrics
from reparam.evaluation.model import as_measurable
from reparam.evaluation.per_example import data_sha256
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import Features
from reparam.families import Family
from reparam.isolation import Progress, isolated
from reparam.sharing import ALONE, Processes
from reparam.spec import DataSpec


def evaluate(
    model: nn.Module,
    batch: Batch,
    spec: DataSpec,
    *,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
    device: torch.device | str = "cpu",
    split: str = "test",
    max_memory_mb: int = 512,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    train: Batch | None = None,
    probe_train: Batch | None = None,
    probe: bool = False,
    sample_quality: int = 0,
    features: Features | None = None,
    sample_means: bool = False,
    proposal: str = POSTERIOR,
    annealed: int = 0,
    annealed_temperatures: int = 100,
    processes: Processes = ALONE,
) -> Evaluation:
    r"""Evaluate a model: its bound and likelihood, its code, its latents and its samples.

    .. math:: \mathcal L(x) = \mathbb E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \| p(z)),
              \qquad \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)}

    Every metric of ``evaluation/metrics/`` that applies to the model and the data is computed. All
    of them use the same L draws. Networks run in float32 or better, sums over draws in float64. The
    model, its mode and the random state are not changed.

    Arguments:
        model: A ``LatentModel``, a ``DirectedModel``, or a module with the methods of the former.
        batch: The examples with shape (N, *spec.shape), with labels and condition where the
            model needs them, on any device.
        spec: The shape and support of the data.
        n_samples: L, the number of draws of z for each example; one where the posterior is a single
            sequence of codes.
        seed: The seed of the draws.
        device: The device that computes.
        split: The name of the split, for the report.
        max_memory_mb: The approximate memory of the decoder, in MiB; it changes no figure.
        progress: Called with (examples done, examples in all).
        say: Called with a line of text before a part that takes long.
        train: Training examples with their labels, for active units of the first of them, and for
            the probes of the code; None for neither.
        probe_train: Other training examples for the probes; None for those of ``train``. Of many, a
            random part is used; an encoder that is given the label is not probed for it.
        probe: Whether to probe also codes of more than 256 dimensions, which takes minutes.
        sample_quality: The number of samples of the model to compare with as many examples; 0 for
            none.
        features: A function from examples with shape (B, *shape) to features with shape (B, F),
            for the Fréchet and the kernel distance of the samples.
        sample_means: Whether to compare means of p(x | z), as pictures show them, and not draws.
        proposal: The distribution of the draws for the likelihood: ``posterior``; ``defensive``,
            mixed with the prior; or ``tuned`` on each example, most accurate and slowest.
        annealed: The number of examples of annealed importance sampling, with as many simulated
            ones for its error; 0 for none.
        annealed_temperatures: The number of its steps from q(z | x), or from the prior where the
            posterior is no Gaussian, to p(x, z).
        processes: The processes that share the draws for each example and the codes, each called
            with the same arguments. The first one computes the other figures, and all return them.

    Returns:
        Nats per example, with standard errors over examples.

    Raises:
        OptionError: Fewer than one draw or MiB, fewer than no samples, a proposal that does not
            exist, or a model that is none of these.
        DataError: No examples, or values that ``spec`` does not describe.
        ShapeError: Examples of another shape.
        SupportError: The KL of posterior and prior is infinite, or the latents have no such
            proposal, or no annealing.

    References:
        Rezende, Mohamed & Wierstra, ICML 2014, appendix E (importance sampling).

    Example:
        >>> from reparam import variants
        >>> spec = DataSpec((1, 8, 8), "binary")
        >>> model = variants.vae(spec, latent_dim=2).model
        >>> result = evaluate(model, Batch(torch.zeros(5, 1, 8, 8)), spec, n_samples=10)
        >>> result.n_examples, result.elbo < 0, result["elbo"].unit
        (5, True, 'nats')
    """
    if len(batch) == 0:
        raise DataError(f"split {split!r} has no examples: evaluation needs at least one")
    batch = replace(batch, x=fitted(batch.x, spec.shape))
    check_values(batch.x, spec)
    levels = likelihood_levels(model)
    if levels is not None and spec.support == "unit":
        check_on_grid(batch.x, levels)
    context = Context(
        model,
        batch,
        spec,
        device=device,
        n_samples=n_samples,
        proposal=proposal,
        seed=seed,
        max_memory_mb=max_memory_mb,
        progress=progress,
        say=say,
        train=train,
        probe_train=probe_train,
        probe=probe,
        sample_quality=sample_quality,
        features=features,
        sample_means=sample_means,
        annealed=annealed,
        annealed_temperatures=annealed_temperatures,
        processes=processes,
    )
    if not context.is_directed:
        methods = ["draw_prior"] if context.annealed else []
        context = replace(context, model=as_measurable(model, *methods))
    facts: dict[str, Any] = {
        "split": split,
        "n_examples": len(batch),
        "is_likelihood": False,
        "seed": context.seed,
        "data_sha256": data_sha256(batch.x),
    }
    if batch.c is not None:
        facts |= {"condition": spec.condition, "condition_sha256": data_sha256(batch.c)}
    with isolated(model, device, context.seed):
        for metric in metrics():
            metric.check(context)
        if processes.world_size > 1:
            context.share()
        result = _measured(context, facts) if processes.rank == 0 else None
    return cast(Evaluation, processes.first(result))


def _measured(context: Context, facts: dict[str, Any]) -> Evaluation:
    """Return all figures that a context has, with the facts that are known before."""
    figures: dict[str, Figure] = {}
    warnings: tuple[str, ...] = ()
    for metric in metrics():
        if is_met(metric.needs, context):
            measured = metric.compute(context)
            figures |= {k: one for k, one in measured.figures.items() if one is not None}
            facts |= measured.facts
            warnings += measured.warnings
    return Evaluation(Facts(**facts, warnings=warnings), figures)


def likelihood_levels(model: nn.Module) -> int | None:
    """Return the number of grey levels that a model gives probabilities to; None for other models.

    >>> likelihood_levels(nn.Linear(1, 1)) is None
    True
    """
    levels = (part.levels for part in model.modules() if isinstance(part, Family))
    return next(filter(None, levels), None)
