"""Likelihoods by name, and the one that follows from what is known of the data."""

from collections.abc import Callable

from reparam.errors import ShapeError, SupportError, named
from reparam.families.bernoulli import Bernoulli
from reparam.families.categorical import Categorical
from reparam.families.continuous_bernoulli import ContinuousBernoulli
from reparam.families.cross_entropy import CrossEntropy
from reparam.families.discretized_logistic_mixture import DiscretizedLogisticMixture
from reparam.families.family import Family
from reparam.families.gaussian import Gaussian
from reparam.families.negative_binomial import NegativeBinomial
from reparam.families.poisson import Poisson
from reparam.families.quantized_gray import QuantizedGray
from reparam.spec import DataSpec

# A quarter of the step between 256 grey levels; of real data, which networks expect standardized,
# a thousandth of a standard deviation. Without a floor a value that repeats has no upper bound.
_PIXEL_FLOOR = 1 / 1024

_FEW_LEVELS = 32
"""Up to so many grey levels a probability for each is affordable, and the truest likelihood."""

_IN_WORDS = {
    "binary": "binary (0 or 1)",
    "unit": "grey (in [0, 1])",
    "real": "real-valued",
    "categorical": "categorical",
    "counts": "count",
    "tokens": "token",
}

_FIXES = {
    ("binary", "cross-entropy"): (
        "on binary pixels the cross-entropy is the Bernoulli likelihood, so use it by that name"
    ),
    ("unit", "bernoulli"): (
        "binarize it (--binarize dynamic), or use --likelihood continuous-bernoulli, "
        "or cross-entropy, the tutorials' loss that is no likelihood"
    ),
}


def _categorical(spec: DataSpec) -> Family:
    if spec.levels is None:
        raise SupportError(
            f"likelihood 'categorical' needs discrete values, but {spec.name!r} is continuous: "
            "load it without dequantize, or use --likelihood gaussian"
        )
    if spec.support in Categorical.supports:
        return Categorical(spec.levels, spec.shape)
    return QuantizedGray(spec.levels, spec.shape)


def _logistic_mixture(spec: DataSpec) -> Family:
    if spec.levels is None:
        raise SupportError(
            f"likelihood 'logistic-mixture' needs grey levels, but {spec.name!r} is continuous: "
            "load it without dequantize, or use --likelihood gaussian"
        )
    return DiscretizedLogisticMixture(spec.shape, spec.levels)


LIKELIHOODS: dict[str, tuple[tuple[str, ...], Callable[[DataSpec], Family]]] = {
    "bernoulli": (Bernoulli.supports, lambda s: Bernoulli(s.shape)),
    "continuous-bernoulli": (
        ContinuousBernoulli.supports,
        lambda s: ContinuousBernoulli(s.shape),
    ),
    "gaussian": (Gaussian.supports, lambda s: Gaussian(s.shape, min_scale=_PIXEL_FLOOR)),
    "gaussian-shared": (Gaussian.supports, lambda s: Gaussian(s.shape, scale="shared")),
    "gaussian-optimal": (Gaussian.supports, lambda s: Gaussian(s.shape, scale="optimal")),
    "gaussian-fixed": (Gaussian.supports, lambda s: Gaussian(s.shape, scale=1.0)),
    # Of variance ½ the log-density is -‖x - μ‖², less a constant: the loss of many tutorials.
    "squared-error": (Gaussian.supports, lambda s: Gaussian(s.shape, scale=0.5**0.5)),
    "categorical": (("categorical", "tokens", "unit"), _categorical),
    "logistic-mixture": (DiscretizedLogisticMixture.supports, _logistic_mixture),
    "negative-binomial": (NegativeBinomial.supports, lambda s: NegativeBinomial(s.shape)),
    "poisson": (Poisson.supports, lambda s: Poisson(s.shape)),
    "cross-entropy": (CrossEntropy.supports, lambda s: CrossEntropy(s.shape)),
}
"""The likelihoods by their command-line names: the supports they fit, and their makers."""


DEFAULT_LIKELIHOOD = {
    "binary": "bernoulli",
    "unit": "continuous-bernoulli",
    "real": "gaussian",
    "categorical": "categorical",
    "tokens": "categorical",
    "counts": "negative-binomial",
}
"""The likelihood that follows from a support; see ``default_likelihood``."""


def default_likelihood(spec: DataSpec) -> str:
    """Return the name of the likelihood that follows from what is known of the data.

    Example:
        >>> default_likelihood(DataSpec((3, 32, 32), "unit", dequantized_from=256))
        'gaussian'
    """
    if spec.dequantized_from is not None:
        return "gaussian"
    if spec.support == "unit" and spec.levels is not None and spec.levels <= _FEW_LEVELS:
        return "categorical"
    return DEFAULT_LIKELIHOOD[spec.support]


def likelihood(spec: DataSpec, name: "str | Family | None" = None) -> Family:
    """Return the family of p(x | z) for data of this support.

    Arguments:
        spec: The shape and support of the data.
        name: A key of ``LIKELIHOODS``; None for the default of the support. A family is returned as
            it is, once it is seen to fit.

    Raises:
        OptionError: A name that does not exist.
        SupportError: A likelihood that does not fit the support; the message names the fix.
        ShapeError: A family over events of another shape.

    Example:
        >>> likelihood(DataSpec((1, 8, 8), "binary"))
        Bernoulli(event_shape=(1, 8, 8))
    """
    if isinstance(name, Family):
        if name.event_shape != spec.shape:
            raise ShapeError(
                f"{type(name).__name__} over events of shape {tuple(name.event_shape)} cannot be "
                f"the likelihood of {spec.name!r}, whose examples have shape {spec.shape}"
            )
        supports, made, label = name.supports, name, type(name).__name__
        if not supports:
            raise SupportError(
                f"the family {label} declares no supports, so that nothing tells which data it is "
                f"a likelihood of: give the class one, such as supports = ({spec.support!r},)"
            )
    else:
        label = default_likelihood(spec) if name is None else name
        supports, maker = named("likelihood", label, LIKELIHOODS)
        made = None
    if spec.support not in supports:
        instead = f"use --likelihood {default_likelihood(spec)}"
        fix = _FIXES.get((spec.support, label.lower()), instead)
        suited = " or ".join(_IN_WORDS[support] for support in supports)
        raise SupportError(
            f"likelihood {label!r} is for {suited} data, but {spec.name!r} is "
            f"{_IN_WORDS[spec.support]}: {fix}"
        )
    return made if made is not None else maker(spec)
