r"""A mixture of Gaussians in place of the standard normal prior, where it fits the codes better.

A run without a number of epochs chooses its prior, if the user names none. After training, mixtures
of Gaussians are fitted to the codes of training rows by expectation maximization. The one with the
densest held-out codes becomes the prior, if it gains

.. math:: \mathbb E_x \mathbb E_{q(z \mid x)} [\log p_{\text{mix}}(z) - \log \mathcal N(z; 0, I)],

the rise of the ELBO of held-out rows: 0.1 nats of tables and 1 nat of other data, whose standard
normal stays for less, since people know it.
"""

import time
from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import NamedTuple, cast

import numpy as np
import torch
from sklearn.model_selection import KFold
from torch import Tensor

from reparam.batch import in_chunks, to_device
from reparam.data import Dataset, Stream
from reparam.isolation import isolated
from reparam.models.latent import LatentModel
from reparam.objectives import ELBO
from reparam.objectives.recipe import Recipe
from reparam.priors import Standardized, StandardNormal
from reparam.priors.mixture import best_mixture, start_at_codes
from reparam.training.options import TrainingOptions
from reparam.training.runtime import Runtime
from reparam.variants.fitted_prior import FittedPrior, with_fitted_prior

GAIN_OF_TABLE, GAIN = 0.1, 1.0
"""The nats that a mixture must gain on held-out codes of tables, and of other data."""

FEWEST_ROWS, MOST_ROWS = 30, 10_000
"""The numbers of training rows whose codes are fitted. With fewer the standard normal stays."""

HELD_SHARE = 0.25
"""The number of rows whose codes are held out, as a share of those that are fitted."""

MOST_ENTRIES = 100_000_000
"""The largest number of entries of these rows together, such as pixels."""

FOLDS, FEW_ROWS = 5, 1000
"""Fewer rows than the second number are held out in turn, in this number of folds; of more rows one
fold is enough."""

SHARE, MOST_SHARE, SECONDS = 0.04, 0.1, 2.0
"""The share of a budget of time in which a prior is chosen; of a short one up to the second share,
for as many seconds."""

OF_EM, OF_ENCODER = 0.6, 0.2
"""The parts of this time in which several sizes of mixtures are tried, and rows are encoded."""

N_CODES, DRAWS = 10_000, 4
"""The approximate number of codes, of which a row has 4 at most: more rows say more than more codes
of each."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""The numbers of components."""

STEPS_PER_COMPONENT = 10
"""The number of training steps for each component: fits of large mixtures to the codes of a short
run would take longer than the run."""

_CHUNK = 500


class ChosenPrior(NamedTuple):
    """A mixture that became the prior of a model.

    Arguments:
        fitted: Its description.
        gain: What held-out codes gain by it, in nats.
    """

    fitted: FittedPrior
    gain: float


def chooses_prior(recipe: Recipe, source: Dataset | Stream, options: TrainingOptions) -> bool:
    """Return whether a run may choose its prior: one of a variant, whose user names no prior.

    Arguments:
        recipe: The recipe, with a standard normal prior and the ELBO as its objective.
        source: The data, in memory and without a condition.
        options: The options of training, without a number of epochs.
    """
    named = recipe.source
    return (
        options.epochs is None
        and named is not None
        and named.options.get("prior") is None
        and isinstance(source, Dataset)
        and source.spec.condition is None
        and isinstance(recipe.model, LatentModel)
        and isinstance(recipe.model.prior, StandardNormal)
        and isinstance(recipe.objective, ELBO)
        and recipe.objective.beta == 1
        and not recipe.players
    )


def seconds_of_prior(budget: float) -> float:
    """Return the seconds of a budget in which a prior is chosen.

    >>> seconds_of_prior(5), seconds_of_prior(30), seconds_of_prior(600)
    (0.5, 2.0, 24.0)
    """
    return max(SHARE * budget, min(MOST_SHARE * budget, SECONDS))


def import_mixtures() -> None:
    """Import what the choice of a prior needs: a second that a budget has to know of."""
    import sklearn.covariance  # noqa: F401
    import sklearn.mixture  # noqa: F401


def choose_prior(
    model: LatentModel, source: Dataset, seed: int, n_steps: int, budget: float = inf
) -> ChosenPrior | None:
    """Give a model a mixture as its prior, where that gains enough; else return None.

    Arguments:
        model: The trained model, whose prior is a standard normal.
        source: Its data.
        seed: The seed of all draws.
        n_steps: The number of steps that the model was trained for.
        budget: The seconds of the run, of which ``seconds_of_prior`` are used.
    """
    has_held = "validation" in source.splits
    split = "validation" if has_held else "train"
    seconds = seconds_of_prior(budget)
    n = _n_rows(model, source, seed, OF_ENCODER * seconds)
    codes = codes_of(model, source.some("train", n, seed), seed)
    if len(codes) < FEWEST_ROWS or not bool(codes.isfinite().all()):
        return None
    n_held = max(_CHUNK, round(HELD_SHARE * n))
    held = codes_of(model, source.some(split, n_held, seed), seed) if has_held else None
    pairs = list(_pairs(codes, held, seed))
    sizes = [size for size in SIZES if size <= max(1, n_steps // STEPS_PER_COMPONENT)]
    best = best_mixture(pairs, sizes, seed, OF_EM * seconds)
    standard = StandardNormal(codes.shape[-1])()
    normal = np.mean([float(standard.log_prob(held).mean()) for _, held in pairs])
    gain = best.density - float(normal)
    if gain < (GAIN_OF_TABLE if source.spec.is_table else GAIN):
        return None
    n_latents = codes.shape[-1]
    options = {"n_components": best.size, "weights_context": 0}
    fitted = FittedPrior("mixture", n_latents, options, seed, covariance=best.covariance)
    like = next(model.parameters(), torch.empty(0))
    with_fitted_prior(model, source.spec, fitted)
    prior = cast(Standardized, model.prior).double()
    start_at_codes(prior, codes.flatten(0, 1), seed)
    prior.to(like)
    return ChosenPrior(fitted, gain)


def choose_prior_together(
    model: LatentModel,
    source: Dataset,
    runtime: Runtime,
    seed: int,
    n_steps: int,
    budget: float = inf,
) -> ChosenPrior | None:
    """Give the model of each process the prior that the first one chooses: see ``choose_prior``.

    The clocks of several processes differ, and so would their choices.

    Arguments:
        model: The trained model, whose prior is a standard normal.
        source: Its data.
        runtime: This process among those of the run.
        seed: The seed of all draws.
        n_steps: The number of steps that the model was trained for.
        budget: The seconds of the run.
    """
    chosen = choose_prior(model, source, seed, n_steps, budget) if runtime.rank == 0 else None
    chosen = runtime.first(chosen)
    if chosen is not None:
        if runtime.rank:
            like = next(model.parameters())
            with_fitted_prior(model, source.spec, chosen.fitted)
            model.prior.to(like)
        runtime.share(model.prior)
    return chosen


def _n_rows(model: LatentModel, source: Dataset, seed: int, seconds: float) -> int:
    """Return the number of rows that can be encoded in a time, at least those of one chunk."""
    most = max(_CHUNK, min(MOST_ROWS, MOST_ENTRIES // source.spec.dim))
    if seconds == inf:
        return most
    # The first rows also read files and start kernels.
    codes_of(model, source.some("train", 1, seed), seed)
    began = time.perf_counter()
    codes_of(model, source.some("train", _CHUNK, seed), seed)
    return int(min(most, max(_CHUNK, _CHUNK * seconds / (time.perf_counter() - began))))


def codes_of(model: LatentModel, source: Dataset, seed: int) -> Tensor:
    """Return K draws of the codes of N training examples, with shape (N, K, D), in float64."""
    examples = source.examples("train", seed)
    each = torch.Size([max(1, min(DRAWS, N_CODES // len(examples.x)))])
    with isolated(model, seed=seed) as device:
        draws = [
            model.posterior(to_device(part, device).x).sample(each).cpu().double()
            for part in in_chunks(examples, _CHUNK)
        ]
    return torch.cat(draws, 1).transpose(0, 1)


def _pairs(codes: Tensor, held: Tensor | None, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield codes to fit and codes to score, with shape (M, D), of different rows."""
    if held is not None:
        yield codes.flatten(0, 1), held.flatten(0, 1)
        return
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    for seen, unseen in islice(folds.split(codes), FOLDS if len(codes) < FEW_ROWS else 1):
        yield codes[seen].flatten(0, 1), codes[unseen].flatten(0, 1)
