"""Rows of figures from evaluations and scores, and draws from a seed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import nan
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from experiments.ledger.protocol import Scores
from experiments.ledger.rows import Row

STDERR = "Standard errors are over test images, paired for differences; one training run each."


def row(what: str, figures: Mapping[str, Any], name: str, **more: Any) -> Row:
    """Return the row of a figure of ``evaluate``, with its standard error.

    >>> row("ELBO", {"elbo": -101.3, "elbo_stderr": 0.2}, "elbo").cells()[3]
    '-101.30 ± 0.20'
    """
    value = figures[name]
    ours = None if value is None else float(value)
    return Row(what, ours, figures.get(f"{name}_stderr"), **more)


def score_rows(what: str, found: Scores, **more: Any) -> list[Row]:
    """Return the rows of a model's ELBO and log-likelihood; ``more`` belongs to the latter."""
    return [
        Row(f"{what}: ELBO", *mean_of(found.elbo)),
        Row(f"{what}: log-likelihood", *mean_of(found.log_likelihood), **more),
    ]


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Compute without gradients, with draws from a seed; the random state is the same afterwards.

    >>> with drawing(0):
    ...     torch.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        yield


def seconds_of(run: rp.Run) -> float:
    """Return the training time of a run, in seconds."""
    return float(run.rows[-1]["seconds"]) if run.rows else 0.0


def number(figure: rp.evaluation.Figure) -> tuple[float, float]:
    """Return the value of a figure and its standard error, NaN where there is none.

    >>> number(rp.evaluation.Figure(2.0, 0.5))
    (2.0, 0.5)
    """
    return figure.value, nan if figure.stderr is None else figure.stderr


def mean_of(values: Tensor) -> tuple[float, float]:
    r"""Return the mean of values with shape (N,), and its standard error.

    >>> mean_of(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    wide = values.double()
    return float(wide.mean()), float(wide.std() / len(wide) ** 0.5)
