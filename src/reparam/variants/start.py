"""The start of a model at its training data, before the first step.

The likelihood gets the location and the scale of the data, and the model those of the covariates.
The decoder starts at the mean and variance of the data, and a prior that is a mixture starts at
their codes. A model of a table with a column that is nearly a linear function of others, as a total
is, starts at factor analysis: training needs thousands of steps to find such columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace as with_changes
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from reparam.batch import Batch, to_device
from reparam.data import Dataset
from reparam.data.columns import N_ROWS, collinear_columns, columns, rows_seen
from reparam.families import Counts, Family, Gaussian, Mixed
from reparam.models.conditional import Conditional, family_of
from reparam.models.factor_analysis import LEAST_NOISE, FactorAnalysis, cross_validated
from reparam.models.latent import LatentModel
from reparam.models.missingness import missingness_of
from reparam.nn import MLP, Dropout, Standardize
from reparam.nn.features import features_shape
from reparam.objectives.recipe import Milestone, Recipe
from reparam.priors import StandardNormal, StartsAtData
from reparam.utils.seeding import random_rows

N_LINEAR, WIDEST = 20_000, 128
"""The largest number of rows and of columns of factor analysis."""

CONSTANT = 1e-6
"""A smaller standard deviation, as a share of the magnitude, is a rounding error of float32."""


def start_milestones(model: nn.Module, start_at_mean: bool) -> tuple[Milestone, ...]:
    """Return the milestones at which a model starts at training examples, in their order.

    Arguments:
        model: The model.
        start_at_mean: Whether the decoder starts at the mean and variance of the examples.
    """
    if not isinstance(model, LatentModel):
        return ()
    found: tuple[Milestone, ...] = ()
    family = family_of(model.decoder)
    if isinstance(family, Mixed):
        found = (Milestone(start_columns, n_examples=N_ROWS, first_batch=True),)
    elif family is not None and family.standardize is not None:
        n_examples = N_ROWS if family.standardize.per_entry else 5000
        found = (Milestone(start_scale, n_examples=n_examples, first_batch=True),)
    if isinstance(family, Counts) and family.library_size is not None:
        found = (*found, Milestone(start_totals, n_examples=N_ROWS, first_batch=True))
    if model.standardize_condition is not None:
        found = (*found, Milestone(start_condition, n_examples=N_ROWS, first_batch=True))
    if isinstance(model.prior, StartsAtData):
        found = (*found, Milestone(start_prior, n_examples=1000))
    if start_at_mean and family is not None and family.starts_at_mean:
        found = (*found, Milestone(start_decoder, first_batch=True))
    if start_at_mean and _linear_parts(model) is not None:
        linear = Milestone(start_linear, n_examples=N_LINEAR, first_batch=True, is_fit=True)
        found = (*found, linear)
    return found


def started(recipe: Recipe, source: Dataset, seed: int) -> Recipe:
    """Start the model of a recipe at data in memory, and return it without these milestones.

    Only milestones that need nothing but examples take place. All copies of the model then have the
    same standardization, whichever rows they are trained on.

    Arguments:
        recipe: The recipe, whose model changes.
        source: The data, with the whole training split.
        seed: The seed of the choice of examples, and of draws of binarized data and of noise.
    """
    due = [m for m in recipe.milestones if m.first_batch and m.at == 0 and not m.is_fit]
    if not due:
        return recipe
    limit = max(each.n_examples for each in due)
    if source.spec.is_table:
        limit = rows_seen(source.spec.dim)
    n = len(source.split("train"))
    if n > limit:
        # The first rows of a file may be of one day, or of one class.
        source = source.only_train(random_rows(n, limit, seed))
    model = recipe.model.eval()
    examples = to_device(source.examples("train", seed), next(model.parameters()).device)
    with torch.no_grad():
        for milestone in due:
            milestone.action(model, examples)
    rest = tuple(each for each in recipe.milestones if each not in due)
    return with_changes(recipe, milestones=rest)


def start_scale(model: LatentModel, examples: Batch) -> None:
    """Set the location and the scale of the data in the likelihood.

    A row of a table has its own for each column. Other data have a location for each channel or, in
    a vector, for each entry, and one scale, which is 1 for intensities in [0, 1].
    """
    family = cast(Family, family_of(model.decoder))
    layer = family.standardize
    if layer is None:
        return
    x = family.transformed(model.as_event(examples.x)).double()
    if layer.per_entry:
        _set_dropout(model, len(x), x[0].numel())
        _start_quantities(family, x, x[0].numel())
        return
    axes = [0, *range(2, x.dim())]
    loc = x.mean(axes, keepdim=True)[0]
    scale = (x - loc).square().mean().sqrt()
    # Intensities in [0, 1] keep their unit: MNIST scaled to unit variance loses 0.9 nats.
    is_unit = float(x.min()) >= 0 and float(x.max()) <= 1
    layer.set(loc, torch.where((scale > 0) & (not is_unit), scale, 1.0))


def start_columns(model: LatentModel, examples: Batch) -> None:
    """Set location, scale and frequencies of the columns of several kinds."""
    family = cast(Mixed, family_of(model.decoder))
    _set_dropout(model, len(examples.x), examples.x.shape[1])
    if family.quantities is not None:
        quantity, places = family.quantities
        heaped = [] if family.heaps is None else family.heaps.entries.tolist()
        x = examples.x[:, places].double()
        steps = None if family.cycles is None else family.cycles.steps
        _start_quantities(quantity, x, examples.x.shape[1], heaped, steps)
    family.start_classes(examples.x)
    masking = missingness_of(model)
    if masking is not None:
        masking.start_at(examples.x)


def _set_dropout(model: LatentModel, n: int, n_columns: int) -> None:
    """Set the share of features that are set to 0, for n rows."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.set_examples(n, n_columns)


def _start_quantities(
    family: Family,
    x: Tensor,
    n_columns: int,
    heaped: Sequence[int] = (),
    steps: Mapping[int, float] | None = None,
) -> None:
    """Set location, scale and resolution of the columns of a likelihood.

    Arguments:
        family: The family.
        x: The rows, with shape (N, D).
        n_columns: The number of all columns of the table.
        heaped: The places of columns with atoms, which have no spike beside them.
        steps: The widths of the cells of some columns, by their places: those of dates divide the
            bins of their cycles.
    """
    found = columns(x, transform=family.transform)
    for place, step in (steps or {}).items():
        found.width[place] = step
    spike_width = torch.where(found.spike_share > 0, found.width, 0.0)
    spike_width[list(heaped)] = 0.0
    given = (found.loc, found.scale, found.width, found.origin, found.linear_width)
    cast(Standardize, family.standardize).set(*given, found.spike, spike_width)
    if isinstance(family, Gaussian):
        family.start_constant(found.is_constant)
        family.start_components(len(x), n_columns)
        family.start_spikes(found.spike_share)


def start_totals(model: LatentModel, examples: Batch) -> None:
    """Set the totals that draws of counts have."""
    cast(Counts, family_of(model.decoder)).start_totals(model.as_event(examples.x))


def start_condition(model: LatentModel, examples: Batch) -> None:
    """Set the location and the scale of the covariates.

    One-hot codes, the label among them, and other columns of zeros and ones stay as they are.
    """
    layer, c = model.standardize_condition, examples.c
    if layer is None or c is None:
        return
    c = c.double()
    loc, scale, magnitude = c.mean(0), c.std(0, correction=0), c.abs().amax(0)
    is_code = ((c == 0) | (c == 1)).all(0)
    scale = torch.where(scale > CONSTANT * magnitude, scale, magnitude)
    layer.set(torch.where(is_code, 0.0, loc), torch.where(is_code, 1.0, scale))


def start_prior(model: LatentModel, examples: Batch) -> None:
    """Start a model's prior at training examples."""
    seen = with_changes(examples, x=model.as_input(examples.x), c=model.as_condition(examples.c))
    cast(StartsAtData, model.prior).start(seen)


def start_decoder(model: LatentModel, examples: Batch) -> None:
    """Start a model's decoder at the mean and variance of training examples, for any code."""
    # The square of a value in the units of the data may be too large for float32, or too small.
    x, family = model.as_event(examples.x).double(), cast(Family, family_of(model.decoder))
    if isinstance(family, Mixed):
        if family.quantities is None:
            return
        family, places = family.quantities
        x = x[:, places]
    mean, variance, layer = x.nanmean(0), _variance(x), family.standardize
    if layer is not None and not layer.is_linear:
        y = layer(x)
        mean = layer.inverse(y.nanmean(0))
        variance = _variance(y) * layer.scale.double().square()
    family.start_at(mean, variance)


def _variance(x: Tensor) -> Tensor:
    """Return the variance of each entry over the examples that have it."""
    return (x - x.nanmean(0)).square().nanmean(0)


def start_linear(model: LatentModel, examples: Batch) -> None:
    """Start a model of a collinear table at factor analysis; other models are not changed.

    Encoder and decoder of the quantities are linear then, and the ELBO of rows that are Gaussian
    given the condition is their log-likelihood. The number of factors is chosen by
    cross-validation. On held-out rows of tables that are not collinear, such as iris and wine, this
    start costs up to 0.5 nats: factor analysis has one cluster.
    """
    parts = _linear_parts(model)
    if parts is None:
        return
    rows = standardized_quantities(model, examples.x)
    is_whole = ~rows.isnan().any(1)
    # On the CPU: other devices lack float64, or the solver of least squares below.
    y = rows[is_whole].cpu().double()
    if not len(y) or not collinear_columns(y):
        return
    encoder, decoder, family = parts
    one, c = y.new_ones(len(y), 1), model.as_condition(examples.c)
    given = one if c is None else torch.cat([c[is_whole].cpu().double(), one], 1)
    # The mean of y is linear in the condition: the last row is its constant.
    effect = torch.linalg.lstsq(given, y, driver="gelsd").solution
    rest = y - given @ effect
    n_latents = encoder.family.event_shape[0]
    # The noise is at least that of rounding.
    layer = cast(Standardize, family.standardize)
    cell = torch.where(layer.linear_width > 0, 0, layer.width / layer.scale).cpu().double()
    least = torch.where(cell > 0, cell.square() / 12, LEAST_NOISE)
    found = cross_validated(rest, min(y.shape[1], n_latents), least)
    loading = pad(found.loading, (0, n_latents - found.loading.shape[1]))
    found = FactorAnalysis(loading, found.noise)
    mean, variance = found.posterior()
    # Of a table of several kinds the encoder also reads classes, after the quantities.
    n_others = model.as_input(examples.x[:1]).shape[1] - y.shape[1]
    seen = torch.cat([pad(mean, (0, n_others)), -mean @ effect[:-1].T], 1)
    starts = (
        (encoder.network, cast(Gaussian, encoder.family), seen, -mean @ effect[-1], variance),
        (decoder.network, family, torch.cat([loading, effect[:-1].T], 1), effect[-1], found.noise),
    )
    for network, gaussian, weight, loc, noise in starts:
        # The last features are the input itself.
        n_features = features_shape(network)[0]
        gaussian.start_at_linear(pad(weight, (n_features - weight.shape[1], 0)), loc, noise)


def standardized_quantities(model: LatentModel, x: Tensor) -> Tensor:
    """Return the quantities of rows as the encoder reads them, with shape (N, Q), NaN if missing.

    Arguments:
        model: The model of a table.
        x: The rows, with shape (N, D).
    """
    family = family_of(model.decoder)
    if not isinstance(family, Mixed):
        return model.as_input(x)
    if family.quantities is None:
        return x[:, :0]
    places = family.quantities[1].to(x.device)
    seen = model.as_input(x)[:, : len(places)]
    return torch.where(x[:, places].isnan(), torch.nan, seen)


def _linear_parts(model: LatentModel) -> tuple[Conditional, Conditional, Gaussian] | None:
    """Return the encoder and decoder of a table's model that can be linear, and the family of the
    quantities; None for other models."""
    encoder, decoder = model.encoder, model.decoder
    if not (isinstance(encoder, Conditional) and isinstance(decoder, Conditional)):
        return None
    family: Family = decoder.family
    if isinstance(family, Mixed):
        if family.quantities is None:
            return None
        family = family.quantities[0]
    layer, n_columns = family.standardize, family.event_shape.numel()
    is_table = layer is not None and layer.per_entry and n_columns <= WIDEST
    can_be = all(
        isinstance(part.network, MLP)
        and part.network.skip
        and isinstance(each, Gaussian)
        and each.scale == "learned"
        for part, each in ((encoder, encoder.family), (decoder, family))
    )
    is_normal = isinstance(model.prior, StandardNormal)
    return (encoder, decoder, cast(Gaussian, family)) if is_table and can_be and is_normal else None
