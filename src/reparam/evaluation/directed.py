"""The figures of a directed model, in which every variable is observed."""

from contextlib import suppress
from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.distributions import is_normalized
from reparam.evaluation.classification import accuracy_of_blocks, class_log_prob, correct
from reparam.evaluation.likelihood.bits import bits, bits_stderr, log_cells, raw_bits
from reparam.evaluation.likelihood.importance import held, is_discrete
from reparam.evaluation.per_example import PerExample
from reparam.evaluation.result import Evaluation
from reparam.evaluation.statistics import finite_mean
from reparam.evaluation.words import not_finite, note
from reparam.isolation import Progress, blocks, in_float64
from reparam.models.directed import DirectedModel
from reparam.spec import DataSpec


def evaluate_directed(
    model: DirectedModel,
    batch: Batch,
    spec: DataSpec,
    device: torch.device,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the figures of a directed model, whose log-probability is exact.

    Arguments:
        model: The model, on the device and in evaluation mode.
        batch: The examples, with labels where the model has them.
        spec: The shape and support of the data.
        device: Where to compute.
        progress: Called with (examples done, examples in all).
    """
    log_prob: list[Tensor] = []
    log_prob_x: list[Tensor] = []
    right: list[Tensor] = []
    normalized = discrete = True
    models_x = _covers(model, spec)
    for part in blocks(batch, 1024, device, progress):
        if not log_prob:
            values = model.values(part)
            nodes = {name: model.distribution(name, values) for name in model.parents}
            normalized = all(is_normalized(p) for p in nodes.values())
            discrete = all(is_discrete(p) for name, p in nodes.items() if name != "y")
        most = 0.0 if normalized and discrete else inf
        scores = class_log_prob(model, part)
        if scores is not None and part.y is not None:
            right.append(correct(scores, part.y))
        found = _log_probs(model, part, models_x, scores)
        if any(bool(held(values, most=most, rounding=0.0).isnan().any()) for values in found):
            wide = replace(part, x=part.x.double(), c=None if part.c is None else part.c.double())
            with suppress(RuntimeError, TypeError), in_float64(model):
                found = _log_probs(model, wide, models_x, class_log_prob(model, wide))
        possible = [held(values, most=most) for values in found]
        log_prob.append(possible[0])
        log_prob_x += possible[1:]

    likelihood, likelihood_stderr = finite_mean(log_prob)
    of_x, of_x_stderr = finite_mean(log_prob_x)
    accuracy = accuracy_of_blocks(right)
    offset = log_cells(spec, discrete) if normalized else None
    return Evaluation(
        split="",
        n_examples=len(batch),
        is_likelihood=normalized,
        log_likelihood=likelihood,
        log_likelihood_stderr=likelihood_stderr,
        bits_per_dim=bits(of_x, offset, spec.dim),
        bits_per_dim_stderr=bits_stderr(of_x_stderr, offset, spec.dim),
        accuracy=None if accuracy is None else accuracy.value,
        accuracy_stderr=None if accuracy is None else accuracy.stderr,
        raw_bits=raw_bits(spec) if models_x else None,
        dequantized_from=None if offset is None else spec.dequantized_from,
        note=note(normalized, offset),
        warnings=not_finite(log_likelihood=likelihood),
        per_example=PerExample(log_likelihood=torch.cat(log_prob)),
    )


def _log_probs(
    model: DirectedModel, part: Batch, models_x: bool, scores: Tensor | None
) -> list[Tensor]:
    """Return the log-probability of all variables, then that of x where it is modelled."""
    found = [model.log_prob(model.values(part))]
    if models_x:
        found.append(_log_prob_x(model, part, scores))
    return [values.cpu().double() for values in found]


def _covers(model: DirectedModel, spec: DataSpec) -> bool:
    """Return whether every entry of x is modelled."""
    if "x" in model.parents:
        return True
    columns = [model.columns.get(name, []) for name in model.parents]
    return {index for indices in columns for index in indices} == set(range(spec.dim))


def _log_prob_x(model: DirectedModel, batch: Batch, scores: Tensor | None) -> Tensor:
    """Return log p(x), without what is said of the label, in nats with shape (B,)."""
    if "y" not in model.parents:
        return model.log_prob(model.values(batch))
    if scores is not None and any("y" in parents for parents in model.parents.values()):
        return scores.logsumexp(-1)
    values = model.values(batch)
    return model.log_prob(values) - model.distribution("y", values).log_prob(values["y"])
