r"""Likelihoods as steps: from raw parameters to the mean of x, or to its mode for classes.

.. math:: \mathrm{raw} \mapsto \mathbb E[x \mid \mathrm{raw}]

They are what ``distributions.mean_or_mode`` returns of the distributions of each family, and are
computed in ``static/likelihoods.js``.
"""

import torch
from torch import Tensor

from reparam.families.bernoulli import Bernoulli, ContinuousBernoulli, CrossEntropy
from reparam.families.categorical import Categorical, QuantizedGray
from reparam.families.counts import Counts
from reparam.families.discretized_logistic import DiscretizedLogistic
from reparam.families.discretized_logistic_mixture import DiscretizedLogisticMixture
from reparam.families.family import Family
from reparam.families.gaussian import Gaussian
from reparam.families.heaps import Heaps
from reparam.families.mixed import Mixed, standardize_of
from reparam.nn.standardize import Standardize
from reparam.report.layers import head_step
from reparam.report.steps import Step, joined, pick, sequence


def likelihood_steps(family: Family) -> Step | None:
    """Return a likelihood as a step from features to x; None for one that the script lacks.

    Arguments:
        family: The family, with its head.

    Example:
        >>> likelihood_steps(Bernoulli(3).attach((8,))).inner[1].kind
        'sigmoid'
    """
    if isinstance(family, Mixed):
        parts = [_columns(one, family.heaps) for one, _ in family.groups]
        known = [part for part in parts if part is not None]
        order = torch.cat([places for _, places in family.groups]).argsort()
        every = len(known) == len(parts)
        return sequence(joined(*known), pick(order.tolist())) if every else None
    first, last = head_step(family.head), _link(family)
    return None if first is None or last is None else sequence(first, last)


def _columns(family: Family, heaps: Heaps | None) -> Step | None:
    """Return some columns of a row as a step from features to their mean or mode.

    Arguments:
        family: Their family.
        heaps: Which atoms the quantities of the row are; None where none has some.
    """
    found = likelihood_steps(family)
    if heaps is None or found is None or not isinstance(family, Gaussian):
        return found
    which = head_step(heaps.head)
    if which is None:
        return None
    # A column that is not rounded has no atoms.
    is_rounded = standardize_of(family).width[heaps.entries] > 0
    numbers = {
        "n": family.event_shape.numel(),
        "entries": heaps.entries.tolist(),
        "sizes": heaps.sizes,
        "isRounded": is_rounded.tolist(),
    }
    values = {"atoms": heaps.atoms[~heaps.atoms.isnan()]}
    return sequence(joined(found, which), Step("heaped", numbers, values=values))


def _link(family: Family) -> Step | None:
    """Return the function from raw parameters to x; None for one that the script lacks."""
    match family:
        case Bernoulli() | CrossEntropy():
            return Step("sigmoid")
        case ContinuousBernoulli():
            return Step("continuous-bernoulli")
        case DiscretizedLogistic():
            layer = _of_entries(family.standardize, family)
            values = {name: layer[name] for name in ("loc", "scale")}
            return Step("logistic", {"leastScale": family.least_scale}, values=values)
        case DiscretizedLogisticMixture():
            channels, height, width = family.event_shape
            sizes = {"nComponents": family.n_components, "nChannels": channels}
            return Step("logistic-mixture", {**sizes, "nPixels": height * width})
        case Gaussian() if not family.places:
            return _gaussian(family)
        case Counts():
            numbers = {} if family.totals is None else {"total": float(family.totals.mean())}
            return Step("counts", {"n": family.event_shape.numel(), **numbers})
        case Categorical():
            return Step("mode", {"nClasses": family.n_classes})
        case QuantizedGray():
            return Step("mean-level", {"nLevels": family.levels})
    return None


def _gaussian(family: Gaussian) -> Step:
    """Return the mean of a Gaussian, of a mixture of some, and of what is added to them."""
    layer = family.standardize
    values = _of_entries(layer, family)
    if family.contamination is not None:
        values["outliers"] = family.contamination.sigmoid()
    has_spikes = layer is not None and family.has_spikes and layer.has_spikes
    n_first = 1 + (family.scale == "learned") + family.has_spikes
    numbers = {
        "nComponents": 1 if family.is_single else family.n_components,
        "nFirst": n_first,  # the raw parameters of an entry before those of further components
        "hasSpikes": has_spikes,
    }
    return Step("gaussian", numbers, values=values)


def _of_entries(layer: Standardize | None, family: Family) -> dict[str, Tensor]:
    """Return the standardization of the data, a number for each entry."""
    zero = torch.zeros(family.event_shape)
    if layer is None:
        return {"loc": zero.flatten(), "scale": (zero + 1).flatten()}
    found = standardization(layer)
    return {name: (value.cpu() + zero).flatten() for name, value in found.items()}


def standardization(layer: Standardize) -> dict[str, Tensor]:
    """Return the parameters of a standardization that the mean of an entry depends on."""
    names = ["loc", "scale"]
    names += [] if layer.is_linear else ["origin", "linear_width"]
    names += ["spike", "spike_width"] if layer.has_spikes else []
    return {name: layer.get_buffer(name) for name in names}
