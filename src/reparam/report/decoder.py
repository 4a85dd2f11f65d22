r"""A small decoder as plain numbers, which the script of a report computes in the page.

.. math:: (z, c) \mapsto \mathbb E[x \mid z, c]

Perceptrons, convolutions and the pyramids of hierarchies travel, with normalization folded into
their weights, and the likelihoods of images, tables and counts. Weights are in half precision:
pixels differ from those of torch by less than 0.01.
"""

from torch import nn

from reparam.families.family import Family
from reparam.models.conditional import Conditional, family_of
from reparam.models.label_inference import LabelDecoder, StackedDecoder
from reparam.models.latent import LatentModel
from reparam.report.layers import network_steps
from reparam.report.links import likelihood_steps, standardization
from reparam.report.steps import Step, pick, sequence

MOST_WEIGHTS = 1_000_000
"""The largest number of weights that a page holds: 2.7 MB of text."""

MOST_PRODUCTS = 20_000_000
"""The largest number of multiplications for one place: about 20 ms of the script."""


def plain_decoder(model: LatentModel, n_latents: int, n_context: int = 0) -> Step | None:
    """Return the decoder of a model as a step; None where the script cannot compute it in time.

    Arguments:
        model: The model.
        n_latents: The number of dimensions of z.
        n_context: The size of the condition c, which follows z; 0 without one.

    Example:
        >>> from reparam.spec import DataSpec
        >>> from reparam.variants import vae
        >>> recipe = vae(DataSpec((1, 8, 8), "binary"), latent_dim=2, hidden=[16])
        >>> plain_decoder(recipe.model, 2).n_weights
        1136
    """
    first = _inputs(model, n_latents, n_context)
    rest = _decoder(model.decoder, n_latents, n_context)
    if rest is None:
        return None
    whole = sequence(*first, rest)
    fits = whole.n_weights <= MOST_WEIGHTS and whole.cost <= MOST_PRODUCTS
    return whole if fits and whole.is_in_range else None


def _inputs(model: LatentModel, n_latents: int, n_context: int) -> list[Step]:
    """Return what happens to z and c before the decoder."""
    steps = []
    posterior = family_of(model.encoder)
    if posterior is not None and posterior.space == "the unit sphere":
        steps.append(Step("sphere", {"n": n_latents}))
    layer = model.standardize_condition
    if layer is not None and n_context:
        steps.append(Step("condition", {"first": n_latents}, values=standardization(layer)))
    return steps


def _decoder(decoder: nn.Module, n_latents: int, n_context: int) -> Step | None:
    """Return a decoder as a step from z and c, side by side."""
    match decoder:
        case Conditional():
            network = network_steps(decoder.network, n_latents, n_context)
            family: Family = decoder.family
            likelihood = likelihood_steps(family)
            both = network is not None and likelihood is not None
            return sequence(network, likelihood) if both else None  # type: ignore[arg-type]
        case LabelDecoder():
            n = decoder.n_classes
            rest = _decoder(decoder.decoder, n_latents - n, n)
            order = [*range(n, n_latents), *range(n)]
            return None if rest is None else sequence(pick(order), rest)
        case StackedDecoder():
            rest = _decoder(decoder.features, decoder.n_features, 0)
            return None if rest is None else sequence(pick(range(decoder.n_features)), rest)
    return None
