"""What a run says: before training what it inferred and chose, after it what to look at.

``fit`` prints three lines before training: its data, model and training. The values themselves are
in ``config.yaml``, from which the run can be repeated without inference.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from reparam.data import Dataset, Stream
from reparam.data.columns import (
    collinear_columns,
    constant_columns,
    rows_seen,
    seen_of,
    wide_columns,
)
from reparam.families import default_likelihood
from reparam.models.aggregate import N_FAR, far_codes
from reparam.models.latent import as_latent, is_latent, standardization_of
from reparam.nn import Dropout
from reparam.objectives.recipe import Recipe
from reparam.runs.chosen_prior import ChosenPrior
from reparam.runs.config import described
from reparam.runs.held_out import n_folds_of
from reparam.schema import CLASSES
from reparam.spec import DataSpec
from reparam.training.kl_warmup import WeightsKL
from reparam.training.trainer import Trainer
from reparam.training.validation import patience_of
from reparam.variants.networks import with_data_defaults
from reparam.variants.start import standardized_quantities

_WHY = {
    "bernoulli": "values 0 or 1",
    "categorical": "few levels",
    "gaussian-mixture": "real columns, with outliers at a bounded cost",
    "continuous-bernoulli": "values in [0, 1]",
    "discretized-logistic": "the probability of each level",
    "negative-binomial": "counts",
}
"""The property of data that makes a likelihood the default."""

_VALUES = {"binary": "0 or 1", "unit": "in [0, 1]", "categorical": "classes", "counts": "counts"}


def summary(
    recipe: Recipe,
    source: Dataset | Stream,
    trainer: Trainer,
    precision: str,
    reasons: Mapping[str, str],
    optimizer: str | None = None,
    scheduler: str | None = None,
) -> tuple[str, str, str]:
    """Return three lines on the data, the model and the training of a run.

    Arguments:
        recipe: The recipe.
        source: The data.
        trainer: The trainer, which has not begun.
        precision: The precision of the networks.
        reasons: Why options have their values, by name, where a search or a test chose them.
        optimizer: The user's own optimizer in words.
        scheduler: The user's own schedule in words.
    """
    rows = "rows" if source.spec.is_table else "images" if source.spec.is_image else "examples"
    return (
        f"data: {_data(recipe, source, trainer, rows)}",
        f"model: {_model(recipe, source.spec, reasons)}",
        f"training: {_training(source, trainer, rows, precision, optimizer, scheduler, reasons)}",
    )


def _data(recipe: Recipe, source: Dataset | Stream, trainer: Trainer, rows: str) -> str:
    """Return the number, shape and values of the examples, and how many are held out."""
    spec, n = source.spec, trainer.batches.n_examples
    shape = " × ".join(map(str, spec.shape))
    if spec.schema is not None:
        n_classes = len(spec.schema.places(CLASSES))
        said = f"{n:,} × {shape} columns, {spec.dim - n_classes} of quantities"
        said += f" and {n_classes} of classes" if n_classes else ""
    elif spec.is_table:
        said = f"{n:,} × {shape} real numbers"
    elif spec.support == "tokens":
        said = f"{n:,} sequences of {shape} tokens of {spec.levels} kinds"
    else:
        said = f"{n:,} {rows} of {shape} numbers, {_values(spec)}"
    if isinstance(source, Stream):
        return f"{said}, from a loader"
    layer = standardization_of(recipe.model)
    if spec.is_table and layer is not None:
        x = source.examples("train", limit=rows_seen(spec.dim)).x[:, spec.quantities]
        is_constant = torch.from_numpy(constant_columns(seen_of(x.nan_to_num())))
        n_rounded = int(((layer.width.cpu() > 0) & ~is_constant).sum())
        said += f", {n_rounded} columns rounded (cells), {int(is_constant.sum())} constant"
        n_spikes = int((layer.spike_width > 0).sum())
        said += f", {n_spikes} with a spike (one value of many rows)" if n_spikes else ""
        n_heaped = 0 if spec.schema is None else sum(bool(c.atoms) for c in spec.schema.features)
        said += f", {n_heaped} with atoms (values of many rows each)" if n_heaped else ""
    given = f", given {spec.condition}" if spec.condition else ""
    held = source.splits.get("validation")
    return f"{said}{given}; {'none' if held is None else f'{len(held):,} {rows}'} held out"


def _values(spec: DataSpec) -> str:
    """Return the values of an entry in words."""
    if spec.dequantized_from is not None:
        return f"{spec.dequantized_from} levels with noise"
    said = _VALUES.get(spec.support, spec.support)
    return said if spec.levels is None else f"{said}, {spec.levels} levels"


def _model(recipe: Recipe, spec: DataSpec, reasons: Mapping[str, str]) -> str:
    """Return the variant, its sizes, its likelihood and its other parts."""
    model = recipe.model
    n_weights = f"{sum(p.numel() for p in model.parameters() if p.requires_grad):,} weights"
    if recipe.source is None:
        objective = described(recipe.objective)
        return f"{type(model).__name__}, composed by hand, {n_weights}, objective {objective}"
    options = recipe.source.options
    parts = [recipe.source.variant]
    why = {name: f" ({reason})" for name, reason in reasons.items()}
    if "latent_dim" in options:
        parts.append(f"{options['latent_dim']} latents{why.get('latent_dim', '')}")
    for name in ("hidden", "channels"):
        if name in options:
            parts.append(f"{name} {_sizes(options[name])} {_network(model, options, spec)}")
    if options.get("likelihood") is not None:
        parts.append(_likelihood(model, str(options["likelihood"]), spec))
    parts += [
        f"{name} {options[name]}"
        for name in ("posterior", "prior", "objective")
        if options.get(name) is not None
    ]
    beta = recipe.objective.beta if isinstance(recipe.objective, WeightsKL) else 1.0
    if isinstance(beta, int | float) and beta != 1.0:
        parts.append(f"β {beta:g}{why.get('beta', '')}")
    return ", ".join([*parts, n_weights])


def _sizes(given: int | Sequence[int]) -> str:
    """Return the sizes of layers, or the one of all of them."""
    return str(given) if isinstance(given, int) else " ".join(map(str, given))


def _network(model: nn.Module, options: Mapping[str, Any], spec: DataSpec) -> str:
    """Return the nonlinearity, the skip and the dropout, and whether they are defaults."""
    shares = [float(layer.share) for layer in model.modules() if isinstance(layer, Dropout)]
    said = [str(options.get("activation", ""))]
    said += ["with a linear skip"] if options.get("skip") else []
    dropout = shares[0] if shares else options.get("dropout", 0.0)
    said += [f"and dropout {dropout:.2g}"] if dropout else []
    names = ("hidden", "activation", "skip", "dropout")
    usual = with_data_defaults(dict.fromkeys(names), (), spec)
    is_default = all(name in options and _same(options[name], usual[name]) for name in names)
    kind = "tables" if spec.is_table else "other data"
    return f"{' '.join(said)}{f' (default of {kind})' if is_default else ''}"


def _same(given: Any, usual: Any) -> bool:
    return bool(given == (list(usual) if isinstance(usual, tuple) else usual))


def _likelihood(model: nn.Module, name: str, spec: DataSpec) -> str:
    """Return the name of the likelihood, its units, and why it is the default."""
    is_scaled = standardization_of(model) is not None and spec.support == "real"
    units = " in the units of the data" if is_scaled else ""
    why = _WHY.get(name, "") if name == default_likelihood(spec) else ""
    return f"{name}{units}{f' ({why})' if why else ''}"


def _training(
    source: Dataset | Stream,
    trainer: Trainer,
    rows: str,
    precision: str,
    optimizer: str | None,
    scheduler: str | None,
    reasons: Mapping[str, str],
) -> str:
    """Return the length, the batch size, the rate and the end of a training, with the reasons."""
    options, length = trainer.options, trainer.length
    size = f"{min(options.batch_size or 0, trainer.batches.n_examples):,} {rows}"
    size = "a batch of the loader" if isinstance(source, Stream) else size
    about = "about " if length.seconds is not None else ""
    said = f"{about}{length.steps:,} steps of {size} ({length.reason})"
    found = f"{reasons['lr']}, " if "lr" in reasons else ""
    rate = f"{options.optimizer} at {options.lr:g}"
    schedule = f"{options.lr_schedule} after a warm-up of {options.lr_warmup:.0%}"
    by = optimizer or f"{rate} ({found}{scheduler or schedule})"
    by += f", weights averaged with {options.ema:g}" if options.ema else ""
    return f"{said}, {by}, {_end(source, trainer)}; {trainer.runtime.device}, {precision}"


def _end(source: Dataset | Stream, trainer: Trainer) -> str:
    """Return what ends a training."""
    early, folds = trainer.options.early_stopping, n_folds_of(source)
    if early == "held-out" and folds:
        return f"ends at the best step of {folds}-fold cross-fitting"
    if early == "held-out":
        n_steps, all_steps = patience_of(trainer.length.steps), trainer.length.steps
        if n_steps >= all_steps:
            return "keeps the weights with the best held-out loss"
        return f"ends {n_steps:,} steps after the best held-out loss"
    if early:
        return f"ends after {early} validations without a better ELBO"
    return "to the end"


def remarks(
    recipe: Recipe, source: Dataset | Stream, seed: int, prior: ChosenPrior | None
) -> Iterator[str]:
    """Yield remarks on a trained model: its start, heavy tails, and codes far from the prior.

    Arguments:
        recipe: The recipe of the trained model.
        source: Its data.
        seed: The seed of the run.
        prior: The prior that the run has chosen; None for that of the recipe.
    """
    if any(milestone.is_fit for milestone in recipe.milestones):
        yield from _collinear(recipe.model, source)
    yield from _tails(recipe.model, source)
    if prior is None:
        yield from _far_codes(recipe.model, source, seed)
    else:
        yield _chosen(prior)


def _collinear(model: nn.Module, source: Dataset | Stream) -> Iterator[str]:
    """Yield a remark on columns that are nearly linear functions of others."""
    if isinstance(source, Stream):
        return
    x = source.examples("train", limit=rows_seen(source.spec.dim)).x
    x = x.to(next(model.parameters()).device)
    y = standardized_quantities(as_latent(model), x)
    y = y[~y.isnan().any(1)]
    places = [source.spec.quantities[place] for place in collinear_columns(y)] if len(y) else []
    if places:
        yield (
            f"{len(places)} of {source.spec.dim} columns are nearly linear functions of others "
            f"({source.spec.listed(places)}): the model started at factor analysis"
        )


def _tails(model: nn.Module, source: Dataset | Stream) -> Iterator[str]:
    """Yield remarks on the columns of a table that are transformed, or that should be."""
    layer = standardization_of(model)
    if layer is None or not source.spec.is_table:
        return
    places = layer.linear_width.nonzero().flatten().tolist()
    columns = [source.spec.quantities[place] for place in places]
    if places:
        yield (
            f"{len(places)} of {source.spec.dim} columns have heavy tails "
            f"({source.spec.listed(columns)}): the model describes a * asinh((x - o) / a) in place "
            "of x" + ("" if source.spec.schema else "; likelihood='gaussian' describes x")
        )
    if source.spec.schema is not None:
        return
    wide = [] if isinstance(source, Stream) else wide_columns(source.images)
    wide = [place for place in wide if place not in places]
    if wide:
        yield (
            f"columns span more than six orders of magnitude: {source.spec.listed(wide)}; "
            "likelihood='gaussian-mixture' transforms such columns"
        )


def _chosen(prior: ChosenPrior) -> str:
    """Return a remark on a mixture in place of the standard normal."""
    n = prior.fitted.options["n_components"]
    what = f"a mixture of {n} Gaussians" if n > 1 else "a Gaussian"
    return (
        f"the codes lie elsewhere than a standard normal draws: the prior is {what}, fitted to "
        f"the codes after training, by which held-out codes gain {prior.gain:.2f} nats; "
        "prior='standard-normal' keeps the standard normal"
    )


def _far_codes(model: nn.Module, source: Dataset | Stream, seed: int) -> Iterator[str]:
    """Yield a remark where the codes of the data lie where the prior does not draw."""
    if not is_latent(model) or isinstance(source, Stream):
        return
    split = "validation" if "validation" in source.splits else "train"
    far = far_codes(as_latent(model), source.some(split, N_FAR, seed).examples("train", seed), seed)
    if far is not None:
        yield (
            f"mean, spread and correlations of the codes cost {far[0]:.1f} of {far[1]:.1f} nats of "
            "the KL: the codes lie where the prior does not draw, so that samples are poor; "
            "run.with_prior('flow') fits a prior to them"
        )
