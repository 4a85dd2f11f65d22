"""Two models over several seeds: their scores on the test images, and the paired differences."""

import torch
from torch import Tensor

from experiments.common.measures import mean_of
from experiments.ledger.protocol import Protocol, Scores
from experiments.ledger.rows import Row, Rule

N_SEEDS = 8
"""Seeds of each model: weights and orders differ more between seeds than the models may."""

OVER_SEEDS = (
    "ELBO and log-likelihood are means over the test images and eight seeds, their standard errors "
    "over test images. The standard error of a difference is over seeds, since it depends more on "
    "the training run than on the choice of test images; the JSON has the difference of each seed."
)


def seeds(protocol: Protocol) -> range:
    """Return the seeds of an experiment."""
    return range(protocol.seed, protocol.seed + N_SEEDS)


def compared(
    first: str, firsts: list[Scores], second: str, others: list[Scores], *, rule: Rule | None
) -> list[Row]:
    """Return the figures of two models and their differences.

    Arguments:
        first: The name of a model.
        firsts: Its scores for each seed.
        second: The name of another model.
        others: Its scores for each seed.
        rule: How the difference is held to 0; None for a difference without a target.
    """
    rows = []
    for name, label in (("elbo", "ELBO"), ("log_likelihood", "log-likelihood")):
        values = [torch.stack([getattr(one, name) for one in many]) for many in (firsts, others)]
        rows += [
            Row(f"{model}: test {label}", *mean_of(value.mean(0)))
            for model, value in zip((first, second), values, strict=True)
        ]
        gain = (values[1] - values[0]).mean(1)
        rows.append(
            Row(
                f"{second} less {first}: {label}",
                *mean_of(gain),
                target=None if rule is None else 0.0,
                rule=rule or "at least",
                note=f"seed by seed {', '.join(f'{float(d):+.2f}' for d in gain)}",
            )
        )
    return rows


def gaps(many: list[Scores]) -> Tensor:
    """Return log-likelihood less ELBO of each seed and example, with shape (S, N)."""
    return torch.stack([one.log_likelihood - one.elbo for one in many])
