"""The fields of an evaluation that annealing fills, beside importance sampling."""

from math import isfinite
from typing import Any

import torch
from torch import Tensor

from reparam.batch import Batch, in_chunks
from reparam.distributions import is_normalized
from reparam.evaluation.annealed import annealed_importance, bidirectional, is_gaussian
from reparam.evaluation.blocks import blocks
from reparam.evaluation.statistics import mean_and_stderr
from reparam.model import LatentModel


def annealed_fields(
    model: LatentModel,
    batch: Batch,
    log_likelihood: Tensor | None,
    device: torch.device,
    *,
    n_examples: int,
    n_temperatures: int,
    seed: int,
    max_memory_mb: int,
) -> dict[str, Any]:
    """Return what annealing says of the first examples, and how far off it can be.

    It starts at the posterior where that is a Gaussian, which is a much shorter way.

    Arguments:
        model: The model, on the device.
        batch: The examples; the first ``n_examples`` are used.
        log_likelihood: The importance-sampled figure of each, in nats with shape (N,); None where
            codes are points.
        device: Where to compute.
        n_examples: How many, and as many are simulated.
        n_temperatures: T.
        seed: The seed of the draws.
        max_memory_mb: About what the decoder may use at once, in MiB.
    """
    some = next(in_chunks(batch, n_examples))
    first = next(blocks(some, 1, device))
    start = "posterior" if is_gaussian(model.posterior(first.x, first.c)) else "prior"
    how: dict[str, Any] = {
        "n_temperatures": n_temperatures,
        "start": start,
        "seed": seed,
        "max_memory_mb": max_memory_mb,
    }
    annealed = annealed_importance(model, some.x, some.c, **how).log_likelihood
    figures = [("annealed_log_likelihood", mean_and_stderr(annealed))]
    if log_likelihood is not None:
        figures.append(("annealed_sampled", mean_and_stderr(log_likelihood[: len(some)])))
    # Only from a normalized likelihood can data be drawn.
    if is_normalized(model.likelihood(model.draw_prior(1, first.c), first.c)):
        gap = bidirectional(model, len(some), some.c, **how)
        figures.append(("annealed_gap", (gap.gap, gap.stderr)))
    found: dict[str, Any] = {
        "annealed_n_examples": len(some),
        "annealed_n_temperatures": n_temperatures,
        "annealed_start": start,
    }
    for name, (value, stderr) in figures:
        if isfinite(value):
            found |= {name: value, f"{name}_stderr": stderr}
    return found
