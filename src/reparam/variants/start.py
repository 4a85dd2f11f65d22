"""The start of a model at its training data, before the first step.

The likelihood gets the location and the scale of the data, the decoder starts at their mean and
variance, and a prior that is a mixture starts at their codes.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import nn

from reparam.batch import Batch
from reparam.data.columns import N_ROWS, columns
from reparam.families import Family
from reparam.models.conditional import family_of
from reparam.models.latent import LatentModel
from reparam.nn import Dropout
from reparam.objectives.recipe import Milestone
from reparam.priors import StartsAtData


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
    if family is not None and family.standardize is not None:
        n_examples = N_ROWS if family.standardize.per_entry else 5000
        found = (Milestone(start_scale, n_examples=n_examples, first_batch=True),)
    if isinstance(model.prior, StartsAtData):
        found = (*found, Milestone(start_prior, n_examples=1000))
    if start_at_mean and family is not None and family.starts_at_mean:
        found = (*found, Milestone(start_decoder, first_batch=True))
    return found


def start_scale(model: LatentModel, examples: Batch) -> None:
    """Set the location and the scale of the data in the likelihood.

    A row of a table has its own for each column. The entries of other data share a scale, and have
    a location for each channel or, in a vector, for each entry.
    """
    family = cast(Family, family_of(model.decoder))
    layer = family.standardize
    if layer is None:
        return
    x = family.transformed(model.as_event(examples.x)).double()
    if layer.per_entry:
        for module in model.modules():
            if isinstance(module, Dropout):
                module.set_examples(len(x))
        found = columns(x)
        layer.set(found.loc, found.scale, found.width, found.origin)
        return
    axes = [0, *range(2, x.dim())]
    loc = x.mean(axes, keepdim=True)[0]
    scale = (x - loc).square().mean().sqrt()
    layer.set(loc, torch.where(scale > 0, scale, 1.0))


def start_prior(model: LatentModel, examples: Batch) -> None:
    """Start a model's prior at training examples."""
    cast(StartsAtData, model.prior).start(replace(examples, x=model.as_input(examples.x)))


def start_decoder(model: LatentModel, examples: Batch) -> None:
    """Start a model's decoder at the mean and variance of training examples, for any code."""
    x = model.as_event(examples.x)
    variance = x.var(0, correction=0)
    cast(Family, family_of(model.decoder)).start_at(x.mean(0), variance)
