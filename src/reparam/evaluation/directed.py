"""The log-probability of a directed model, in which every variable is observed, is exact."""

from dataclasses import replace
from math import inf
from typing import NamedTuple

from torch import Tensor

from reparam.batch import Batch
from reparam.distributions import is_normalized
from reparam.evaluation.classification import class_log_prob
from reparam.evaluation.likelihood.decoder import is_discrete
from reparam.evaluation.likelihood.precision import computed_in_float64, held
from reparam.models.directed import DirectedModel
from reparam.spec import DataSpec


class Kind(NamedTuple):
    """The kind of the distributions of a directed model.

    Arguments:
        normalized: Whether all of them are normalized.
        discrete: Whether those of x are discrete.
        covers_x: Whether every entry of x is modelled.
    """

    normalized: bool
    discrete: bool
    covers_x: bool


def kind_of(model: DirectedModel, spec: DataSpec, batch: Batch) -> Kind:
    """Return the kind of the distributions of a directed model, for some examples."""
    values = model.values(batch)
    nodes = {name: model.distribution(name, values) for name in model.parents}
    columns = [model.columns.get(name, []) for name in model.parents]
    covered = {index for indices in columns for index in indices}
    return Kind(
        normalized=all(is_normalized(p) for p in nodes.values()),
        discrete=all(is_discrete(p) for name, p in nodes.items() if name != "y"),
        covers_x="x" in model.parents or covered == set(range(spec.dim)),
    )


def exact_log_probs(model: DirectedModel, part: Batch, kind: Kind) -> list[Tensor]:
    """Return the log-probability of all variables, then that of x where all of x is modelled.

    Computed in float64 where float32 gives an impossible number, else NaN there.

    Arguments:
        model: The model, where the examples are.
        part: Examples, with labels where the model has them.
        kind: The kind of its distributions.

    Returns:
        One or two tensors in nats, float64 on the CPU with shape (B,).
    """
    most = 0.0 if kind.normalized and kind.discrete else inf

    def log_probs(batch: Batch) -> list[Tensor]:
        found = [model.log_prob(model.values(batch))]
        found += [_log_prob_x(model, batch)] if kind.covers_x else []
        return [values.cpu().double() for values in found]

    found = log_probs(part)
    if any(bool(held(values, most=most, rounding=0.0).isnan().any()) for values in found):
        wide = replace(part, x=part.x.double(), c=None if part.c is None else part.c.double())
        found = computed_in_float64(model, lambda: log_probs(wide)) or found
    return [held(values, most=most) for values in found]


def _log_prob_x(model: DirectedModel, batch: Batch) -> Tensor:
    """Return log p(x), without the label, in nats with shape (B,)."""
    if "y" not in model.parents:
        return model.log_prob(model.values(batch))
    scores = class_log_prob(model, batch)
    if scores is not None and any("y" in parents for parents in model.parents.values()):
        return scores.logsumexp(-1)
    values = model.values(batch)
    return model.log_prob(values) - model.distribution("y", values).log_prob(values["y"])
