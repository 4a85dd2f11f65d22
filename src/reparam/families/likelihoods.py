"""Likelihoods p(x | z) by name, and the default for each kind of data."""

from reparam.errors import ShapeError, SupportError
from reparam.families.family import LIKELIHOODS, Family
from reparam.spec import DataSpec

_IN_WORDS = {
    "binary": "binary (0 or 1)",
    "unit": "grey (in [0, 1])",
    "real": "real-valued",
    "categorical": "categorical",
    "counts": "count",
    "tokens": "token",
    "mixed": "mixed (columns of several kinds)",
}

_FIXES = {
    ("binary", "cross-entropy"): (
        "on binary pixels the cross-entropy is the Bernoulli likelihood, so use it by that name"
    ),
    ("unit", "bernoulli"): (
        "binarize it with binarize='dynamic', or use likelihood={default!r}, or 'cross-entropy', "
        "the loss of many tutorials that is no likelihood"
    ),
    ("real", "continuous-bernoulli"): (
        "use likelihood={default!r}, or declare intensities by support='unit' (of data.from_arrays)"
    ),
}

_AS_ARRAY = ", or give columns that are all quantities as an array"

_DEFAULTS = {
    "binary": "bernoulli",
    "unit": "continuous-bernoulli",
    "real": "gaussian",
    "categorical": "categorical",
    "tokens": "categorical",
    "counts": "negative-binomial",
    "mixed": "mixed",
}


def default_likelihood(spec: DataSpec) -> str:
    """Return the name of the default likelihood for data.

    Example:
        >>> default_likelihood(DataSpec((3, 32, 32), "unit", levels=256))
        'discretized-logistic'
    """
    if spec.dequantized_from is not None:
        return "gaussian"
    if spec.is_table and spec.schema is None:
        return "gaussian-mixture"
    if spec.support == "unit" and spec.levels is not None:
        return "discretized-logistic"
    return _DEFAULTS[spec.support]


def likelihood(spec: DataSpec, name: str | Family | None = None) -> Family:
    """Return the family of p(x | z) for data.

    Arguments:
        spec: The shape and support of the data.
        name: A key of ``LIKELIHOODS``; None for the default of the support. A family that fits the
            data is returned as it is.

    Raises:
        OptionError: A name that does not exist.
        SupportError: A likelihood that does not fit the support; the message names one that does.
        ShapeError: A family over events of another shape.

    Example:
        >>> likelihood(DataSpec((1, 8, 8), "binary")).event_shape
        torch.Size([1, 8, 8])
    """
    if isinstance(name, Family):
        label = type(name).__name__
        if name.event_shape != spec.shape:
            raise ShapeError(
                f"{label} over events of shape {tuple(name.event_shape)} cannot be the likelihood "
                f"of {spec.name!r}, whose examples have shape {spec.shape}"
            )
        if not name.supports:
            raise SupportError(
                f"the family {label} declares no supports, so that the data it fits are unknown: "
                f"give the class an attribute such as supports = ({spec.support!r},)"
            )
        supports = name.supports
    else:
        label = default_likelihood(spec) if name is None else name
        supports = LIKELIHOODS[label].kind.supports
    if spec.support not in supports:
        usual = "use likelihood={default!r}" + (_AS_ARRAY if spec.schema is not None else "")
        fix = _FIXES.get((spec.support, label.lower()), usual)
        suited = " or ".join(_IN_WORDS[support] for support in supports)
        raise SupportError(
            f"likelihood {label!r} is for {suited} data, but {spec.name!r} is "
            f"{_IN_WORDS[spec.support]}: {fix.format(default=default_likelihood(spec))}"
        )
    if isinstance(name, Family):
        return name
    part = LIKELIHOODS[label]
    family = part.kind.for_data(spec, part.options)
    # Classes and tokens are not quantities, and those of a mixed table have a family of their own.
    is_quantity = spec.support not in ("categorical", "tokens", "mixed")
    return family.standardized(per_entry=spec.is_table) if is_quantity else family


def levels_of(spec: DataSpec, name: str) -> int:
    """Return the number of values of an entry, for a likelihood over levels.

    Raises:
        SupportError: Continuous data.
    """
    if spec.levels is None:
        raise SupportError(
            f"likelihood {name!r} needs discrete values, but {spec.name!r} is continuous: load it "
            "with dequantize=False, or use likelihood='gaussian'"
        )
    return spec.levels
