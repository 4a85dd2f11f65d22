r"""The number of latent dimensions, and the weight β of the KL, by the likelihood of held-out rows.

Each candidate is trained for three tenths of the run on the training rows, and scored on rows held
out of the training split by importance sampling, which compares models of any size and any β,

.. math:: s_k(x) = \log \frac1L \sum_l \frac{p_k(x, z_l)}{q_k(z_l \mid x)},
          \qquad z_l \sim q_k(z \mid x).

A score is preferred to another if its mean is higher by more than one standard error of the best
mean; otherwise the smaller number of dimensions is: smaller differences are noise of the rows and
of short trainings. From 16 on, or from the middle of the sizes that an example has entries for, the
number is doubled as long as the larger one is preferred, or else halved as long as the smaller one
is. One more candidate lies between the result and the next smaller one. Two other values of β are
compared with 1 in the same way, and 1 is preferred. There are at most five candidates, and two for
β: at most 1.5 and 2.1 times the work of the run, and half of a budget of time.

References:
    Burda, Grosse & Salakhutdinov, ICLR 2016 (the score); Breiman et al., Classification and
    regression trees, 1984, section 3.4.3 (one standard error).
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reparam.batch import Batch
from reparam.data import Dataset, Stream
from reparam.errors import DataError, OptionError, unknown
from reparam.isolation import blocks, isolated
from reparam.models.latent import LatentModel
from reparam.objectives import ELBO
from reparam.objectives.recipe import Recipe, replace
from reparam.spec import DataSpec
from reparam.training.kl_warmup import weighted
from reparam.training.length import length_of, seconds_of
from reparam.training.options import BATCH_SIZE, TrainingOptions

Auto = Literal["auto"]
AUTO: Auto = "auto"
"""The value of an option that held-out rows choose."""

SIZES = (2, 4, 8, 16, 32, 64, 128)
"""The numbers of latent dimensions; at most the number of entries of an example."""

BETAS = (1.0, 0.5, 2.0)
"""The values of β, the preferred one first."""

SHARE = 0.3
"""The steps of a candidate as a share of those of the run."""

MOST_SIZES = 5
"""The largest number of numbers of dimensions that are tried."""

N_DRAWS, MOST_ROWS, FEWEST_ROWS = 100, 1000, 20
"""Importance samples of a score, and the largest number of scored and least of training rows."""

_BLOCK = 100

Choice = Mapping[str, float | Auto]
"""Values of options by name."""

Scores = Mapping[float, Tensor]
"""The scores of the held-out rows, in nats with shape (N,), by the value of an option."""


@dataclass(frozen=True)
class Trial:
    """A candidate and its scores.

    Arguments:
        choice: The values of the options.
        scores: log p(x) of the held-out rows, in nats with shape (N,).
    """

    choice: Choice
    scores: Tensor

    def to_dict(self) -> Choice:
        """Return the values, the mean score and its standard error, in nats."""
        mean, stderr = mean_and_stderr(self.scores)
        return {**self.choice, "log_likelihood": mean, "stderr": stderr}

    def __str__(self) -> str:
        mean, stderr = mean_and_stderr(self.scores)
        values = ", ".join(f"{name}={value}" for name, value in self.choice.items())
        rows = f"{len(self.scores):,} held-out rows"
        return f"{values}: log p(x) = {mean:.2f} ± {stderr:.2f} nats on {rows}"


def mean_and_stderr(values: Tensor) -> tuple[float, float]:
    """Return the mean of values and its standard error; values that are not finite are left out.

    >>> mean_and_stderr(torch.tensor([1.0, 3.0, torch.nan]))
    (2.0, 1.0)
    """
    found = values[values.isfinite()]
    stderr = found.std() / len(found) ** 0.5 if len(found) > 1 else torch.tensor(0.0)
    return float(found.mean()), float(stderr)


def preferred(scores: Scores) -> float:
    """Return the first value whose mean score is within one standard error of the best.

    >>> rows = torch.arange(4.0)
    >>> preferred({2: rows - 1, 3: rows - 0.5, 4: rows})
    3
    """
    # A row that a candidate gives no density is infinitely worse than any other of that candidate.
    possible = {value: each for value, each in scores.items() if not (each == -inf).any()}
    found = {value: mean_and_stderr(each) for value, each in (possible or scores).items()}
    best, stderr = max(found.values())
    return next(value for value, (mean, _) in found.items() if mean >= best - stderr)


def sizes_up_to(largest: int) -> list[int]:
    """Return the numbers of latent dimensions that are tried, where an example has so many entries.

    >>> sizes_up_to(30), sizes_up_to(784), sizes_up_to(1)
    ([2, 4, 8, 16, 30], [2, 4, 8, 16, 32, 64, 128], [1])
    """
    largest = min(largest, SIZES[-1])
    return [size for size in SIZES if size < largest] + [largest]


def chosen(
    asked: Choice,
    source: Dataset | Stream,
    options: TrainingOptions,
    train: Callable[[Choice, Dataset, Mapping[str, Any]], LatentModel],
    show: Callable[[str], None],
    agreed: Callable[[Tensor], Tensor] = lambda scores: scores,
) -> tuple[dict[str, float | Auto], list[Choice]]:
    """Return the options with the chosen values in place of ``auto``, and what was tried.

    Arguments:
        asked: The options ``latent_dim`` and ``beta``, as far as they are given.
        source: The data of the run.
        options: The options of training of the run.
        train: A function from options of the model, data with a validation split, and the options
            of training that set the length of a candidate, to a trained model.
        show: A function that is called with a sentence after each candidate.
        agreed: A function from scores to those that all processes of the run use.

    Raises:
        OptionError: A loader, or a model without log p(x).
        DataError: Fewer than 20 training rows.
    """
    searched = [name for name, value in asked.items() if value == AUTO]
    what = ", ".join(f"{name}={AUTO!r}" for name in searched)
    part = _with_scored_rows(source, what, options.seed)
    held = part.examples("validation", options.seed, limit=MOST_ROWS)
    length = _length(options, len(part.split("train")), searched)
    trials: list[Trial] = []

    def scores(choice: Choice) -> Tensor:
        for trial in trials:
            if trial.choice == choice:
                return trial.scores
        found = agreed(log_likelihoods(train(choice, part, length), held, options.seed))
        if not bool(found.isfinite().any()):
            raise OptionError(f"{what}: the model has no log p(x) to choose by; give a number")
        trials.append(Trial(choice, found))
        show(str(trials[-1]))
        return found

    values: dict[str, float] = {k: v for k, v in asked.items() if v != AUTO}
    if "beta" in searched:
        values["beta"] = BETAS[0]
    if "latent_dim" in searched:
        values["latent_dim"] = _chosen_size(
            part.spec.dim, lambda size: scores({"latent_dim": size, **values})
        )
    if "beta" in searched:
        values["beta"] = preferred({beta: scores({**values, "beta": beta}) for beta in BETAS})
    return {**values}, [trial.to_dict() for trial in trials]


def _chosen_size(largest: int, scores: Callable[[int], Tensor]) -> int:
    """Return the number of latent dimensions, by a function that scores one."""
    sizes = sizes_up_to(largest)
    if len(sizes) == 1:
        return sizes[0]
    middle = (len(sizes) - 1) // 2
    found: dict[float, Tensor] = {sizes[middle]: scores(sizes[middle])}
    for way in (sizes[middle + 1 :], sizes[middle - 1 :: -1] if middle else []):
        for size in way:
            found[size] = scores(size)
            if _best(found) != size:
                break
        if _best(found) != sizes[middle]:
            break
    best = _best(found)
    between = (max((size for size in found if size < best), default=best) + best) // 2
    if between not in found and len(found) < MOST_SIZES:
        found[between] = scores(int(between))
    return int(_best(found))


def _best(scores: Scores) -> float:
    """Return the preferred value, of which a smaller one is preferred."""
    return preferred(dict(sorted(scores.items())))


def _with_scored_rows(source: Dataset | Stream, what: str, seed: int) -> Dataset:
    """Return data with a validation split; a tenth of the rows, and more of few, if there is none.

    >>> from reparam.data import from_arrays
    >>> [len(_with_scored_rows(from_arrays(torch.zeros(n, 2)), "", 0).split("validation"))
    ...  for n in (100, 400, 5000, 50_000)]
    [25, 100, 500, 1000]
    """
    if isinstance(source, Stream):
        raise OptionError(f"{what}: rows of a loader cannot be held out; give a number")
    if "validation" in source.splits:
        return source
    n = len(source.split("train"))
    if n < FEWEST_ROWS:
        raise DataError(f"{what}: {n} examples are too few to hold some out; give a number")
    return source.with_validation(min(MOST_ROWS, max(n // 10, min(200, n // 4))), seed)


def _length(options: TrainingOptions, n_train: int, searched: list[str]) -> dict[str, Any]:
    """Return the options of training that set the length of a candidate."""
    if options.budget is not None:
        most = MOST_SIZES if "latent_dim" in searched else 1
        most += len(BETAS) - 1 if "beta" in searched else 0
        return {"budget": seconds_of(options.budget) / (2 * most)}
    steps = length_of(options, ceil(n_train / (options.batch_size or BATCH_SIZE))).steps
    warmup = SHARE * options.kl_warmup
    return {"epochs": None, "steps": max(1, round(SHARE * steps)), "kl_warmup": warmup}


def log_likelihoods(model: LatentModel, held: Batch, seed: int = 0) -> Tensor:
    """Return log p(x) of examples by importance sampling, in nats with shape (N,).

    Arguments:
        model: The model.
        held: The examples, anywhere.
        seed: The seed of the draws.
    """
    # Imported here: slow, and not needed for training.
    from reparam.evaluation.likelihood.importance import importance_sample

    with isolated(model, seed=seed) as device:
        parts = blocks(held, _BLOCK, device)
        found = [importance_sample(model, part.x, part.c, N_DRAWS) for part in parts]
    return torch.cat([each.log_likelihood for each in found])


def with_options(
    model: Recipe | nn.Module | Callable[..., Recipe], options: Choice
) -> Callable[[DataSpec], Recipe]:
    """Return the function of a variant with options of the model.

    A β that the variant does not have is that of its objective.

    Arguments:
        model: A variant, or another function from a ``DataSpec`` and options to a recipe.
        options: The options ``latent_dim`` and ``beta``, as far as they are given.

    Raises:
        OptionError: A recipe or a model that is built already, or an option it does not have.

    Example:
        >>> from reparam.variants import vae
        >>> recipe = with_options(vae, {"latent_dim": 3, "beta": 2.0})(DataSpec((4,), "binary"))
        >>> recipe.source.options["latent_dim"], recipe.objective.beta
        (3, 2.0)
    """
    named = ", ".join(f"{name}={value!r}" for name, value in options.items())
    if isinstance(model, Recipe | nn.Module) or not callable(model):
        raise OptionError(
            f"{named}: the model is built already; give the variant itself, such as variants.vae"
        )
    known = list(inspect.signature(model).parameters)
    own = {name: value for name, value in options.items() if name in known}
    for name in options:
        if name not in (*own, "beta"):
            raise unknown("option of the model", name, known)

    def built(spec: DataSpec) -> Recipe:
        found = model(spec, **own)
        if "beta" not in options or "beta" in own:
            return found
        recipe = found if isinstance(found, Recipe) else Recipe(found, ELBO())
        return replace(recipe, objective=weighted(recipe.objective, float(options["beta"])))

    return built
