r"""The parameters of distributions by name, in the units of the data.

A graph returns them, and a formula says what to draw. A likelihood that describes standardized
entries y is put into the units of x,

.. math:: x = m + s\, y, \qquad y \sim \mathcal N(\mu, \sigma^2)
          \;\Rightarrow\; x \sim \mathcal N(m + s \mu, s^2 \sigma^2)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Uniform,
)

from reparam import distributions
from reparam.distributions import (
    ContaminatedNormal,
    Cyclic,
    Delta,
    GivenTotal,
    Heaped,
    MixedRow,
    OneHotCodes,
    QuantizedCodes,
    RoundedMixture,
    RoundedNormal,
    Spiked,
    Standardized,
    base_distribution,
)
from reparam.distributions.declared import Parametric
from reparam.errors import SupportError
from reparam.utils.equality import by_value


@by_value
@dataclass(frozen=True)
class Parameters:
    """The parameters of a distribution of all entries, or of some.

    Arguments:
        distribution: The name of its class.
        draw: How a draw is made of them, as NumPy computes it; ``normal`` stands for standard
            normal numbers, and ``uniform`` for numbers that are uniform in (0, 1).
        tensors: The parameters that differ between examples, with batch shape (B,).
        constants: The parameters that are the same for all examples.
        units: The size of one unit of a parameter, for those in the units of the data.
        places: The places in the event of the entries; None for all.
    """

    distribution: str
    draw: str
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    units: Mapping[str, Tensor] = field(default_factory=dict)
    places: Tensor | None = None


_PLAIN: dict[type[Distribution], tuple[tuple[str, ...], str]] = {
    Normal: (("loc", "scale"), "value = loc + scale * normal"),
    MultivariateNormal: (("loc", "scale_tril"), "value = loc + scale_tril @ normal"),
    Uniform: (("low", "high"), "value = low + (high - low) * uniform"),
    Delta: (("value",), "value = value"),
    Bernoulli: (("logits",), "value = uniform < sigmoid(logits)"),
    Categorical: (("logits",), "value = argmax(logits - log(-log(uniform)), -1)"),
    OneHotCategorical: (("logits",), "value = one_hot(argmax(logits - log(-log(uniform)), -1))"),
    OneHotCodes: (
        ("logits",),
        "value = one_hot(argmax(logits - log(-log(uniform)), -1)), flattened",
    ),
    QuantizedCodes: (("indices",), "value = codebook[indices], flattened: the mean"),
    distributions.VonMisesFisher: (
        ("loc", "concentration"),
        "value = a draw of the von Mises-Fisher distribution (scipy.stats.vonmises_fisher)",
    ),
    distributions.ContinuousBernoulli: (
        ("logits",),
        "value = log1p(uniform * expm1(logits)) / logits",
    ),
    distributions.CrossEntropy: (("logits",), "value = uniform < sigmoid(logits)"),
    distributions.Poisson: (("log_rate",), "value = poisson(exp(log_rate))"),
    distributions.NegativeBinomial: (
        ("log_mean", "log_inverse_dispersion"),
        "value = poisson(exp(log_mean - log_inverse_dispersion) * "
        "standard_gamma(exp(log_inverse_dispersion)))",
    ),
    distributions.QuantizedCategorical: (
        ("logits",),
        "value = argmax(logits - log(-log(uniform)), -1) / (levels - 1)",
    ),
    distributions.DiscretizedLogistic: (
        ("loc", "scale"),
        "value = clip(round((loc + scale * logit(uniform)) * (levels - 1)), 0, levels - 1) "
        "/ (levels - 1)",
    ),
    distributions.DiscretizedLogisticMixture: (
        ("logits", "loc", "log_scale", "coefficients"),
        "k ~ softmax(logits) at each pixel; channel after channel: m = loc[k] + sum of "
        "coefficients[k] * (value of each channel before - 0.5), value = clip(round((m + "
        "exp(log_scale[k]) * logit(uniform)) * (levels - 1)), 0, levels - 1) / (levels - 1)",
    ),
}
"""The parameters of distributions without a scale of the data, and how a draw is made of them."""

_MIXTURE = "k ~ softmax(logits); y = loc[k] + scale[k] * normal"
_OUTLIERS = (
    "with probability sigmoid(outlier_logits): "
    "y = outlier_loc + outlier_scale * logit(uniform) instead"
)
_ASINH = (
    "value = origin + linear_width * sinh(y / linear_width) where linear_width > 0, else value = y"
)
_CELLS = "value = origin + width * round((value - origin) / width) where width > 0"
_SPIKE = "with probability sigmoid(spike_logits): value = spike instead, where spike_width > 0"
_ATOMS = (
    "k ~ softmax(atom_logits); value[atom_places] = atoms[k - 1] instead, where k > 0 and "
    "atom_width > 0"
)
_CYCLES = (
    "each date of date_places is moved in its period, by the cycles of its column in the schema: "
    "to a part of the year with a probability proportional to its mass * exp(cycle_logits), and "
    "then to a day of the month or the week, an hour and a minute ~ softmax(cycle_logits)"
)
_NEVER = -1e4
"""The logit of an atom that a column lacks: finite, so that it can be compared and written."""
_ZERO = "with probability sigmoid(zero_logits): value = 0 instead"
_TOTAL = "add the logarithm of the total of the row, such as one of totals, to log_mean; "


def parameters_of(p: Distribution) -> dict[str, Parameters]:
    """Return the parameters of a distribution, by the name of the group of entries they are of.

    The group is "" for all entries. The columns of a mixed table are in several groups.

    Arguments:
        p: The distribution, with batch shape (B,).

    Raises:
        SupportError: A distribution whose parameters are not known.

    Example:
        >>> y = Normal(torch.zeros(5, 1), torch.ones(5, 1))
        >>> found = parameters_of(Standardized(y, torch.tensor([40.0]), torch.tensor([10.0])))[""]
        >>> {name: values[0].item() for name, values in found.tensors.items()}
        {'loc': 40.0, 'scale': 10.0}
    """
    single = base_distribution(p)
    return dict(_of_columns(single)) if isinstance(single, MixedRow) else {"": _of_entries(single)}


def unit_of_mean(p: Distribution) -> Tensor:
    """Return the size of one unit of each entry of a mean; 1 for entries without units.

    Arguments:
        p: The distribution.

    Example:
        >>> unit_of_mean(Normal(torch.zeros(5, 1), torch.ones(5, 1)))
        tensor(1.)
    """
    match base_distribution(p):
        case MixedRow() as row:
            unit = torch.ones(row.event_shape)
            for places, part, _ in row.parts:
                unit[places] = unit_of_mean(part)
            return unit
        case Spiked(base=base) | Heaped(base=base) | Cyclic(base=base):
            return unit_of_mean(base)
        case Standardized(scale=scale):
            return scale
    return torch.ones(())


def _of_columns(row: MixedRow) -> Iterator[tuple[str, Parameters]]:
    """Yield the parameters of the columns of a row, in groups of one kind."""
    for places, part, _ in row.parts:
        single = base_distribution(part)
        found = _of_entries(single)
        n_classes = single.logits.shape[-1] if isinstance(single, Categorical) else 0
        yield f"classes_{n_classes}" if n_classes else "quantities", _at(found, places)
    if row.missing_logits is not None:
        flags = {"logits": row.missing_logits}
        draw = "value = nan instead where uniform < sigmoid(logits)"
        yield "missing", Parameters("Bernoulli", draw, flags, places=row.missing_places)


def _at(found: Parameters, places: Tensor) -> Parameters:
    given = (found.distribution, found.draw, found.tensors, found.constants, found.units)
    return Parameters(*given, places=places)


def _of_entries(p: Distribution) -> Parameters:
    """Return the parameters of a distribution whose entries are of one kind."""
    name = type(p).__name__
    match p:
        case Standardized() | RoundedNormal() | RoundedMixture() | ContaminatedNormal():
            return _of_quantities(p)
        case Spiked(base=distributions.NegativeBinomial() as rest, logits=logits):
            others = _of_entries(rest)
            draw = f"{others.draw}; {_ZERO}"
            return Parameters(name, draw, {**others.tensors, "zero_logits": logits})
        case Spiked(base=rest, logits=logits, spike=spike, width=width):
            others = _of_entries(rest)
            return Parameters(
                name,
                f"{others.draw}; {_SPIKE}",
                {**others.tensors, "spike_logits": logits},
                {**others.constants, "spike": spike, "spike_width": width},
                others.units,
            )
        case Heaped(base=rest, logits=logits, atoms=atoms, width=width, entries=entries):
            others = _of_entries(rest)
            # Where a column has fewer atoms than another one, the others have no probability.
            known = {"atoms": atoms.nan_to_num(), "atom_width": width, "atom_places": entries}
            return Parameters(
                name,
                f"{others.draw}; {_ATOMS}",
                {**others.tensors, "atom_logits": logits.clamp(min=_NEVER)},
                {**others.constants, **known},
                others.units,
            )
        case Cyclic(base=rest, logits=logits, entries=entries):
            others = _of_entries(rest)
            return Parameters(
                name,
                f"{others.draw}; {_CYCLES}",
                {**others.tensors, "cycle_logits": logits},
                {**others.constants, "date_places": torch.tensor(entries)},
                others.units,
            )
        case GivenTotal():
            one = _of_entries(p.counts(p.log_share))  # of a row whose total is 1
            # The mean of a Poisson has the same name as that of the others here.
            tensors = {k.replace("log_rate", "log_mean"): v for k, v in one.tensors.items()}
            draw = _TOTAL + one.draw.replace("log_rate", "log_mean")
            return Parameters(name, draw, tensors, {"totals": p.totals})
        case Parametric() if type(p) not in _PLAIN:
            own = {key: vars(p)[key] for key in p.arg_constraints}
            tensors = {key: value for key, value in own.items() if value is not None}
            return Parameters(name, f"value = a draw of {name}", tensors)
    plain = next((kind for kind in type(p).__mro__ if kind in _PLAIN), None)
    if plain is None:
        raise SupportError(
            f"the parameters of {name} are not known by name, so that no graph returns them: use a "
            "distribution of torch or of this library"
        )
    names, draw = _PLAIN[plain]
    tensors = {key: getattr(p, key) for key in names}
    constants: dict[str, Tensor] = {}
    match p:
        case QuantizedCodes(codes=codes):
            constants = {"codebook": codes}
        case (
            distributions.QuantizedCategorical(levels=levels)
            | distributions.DiscretizedLogistic(levels=levels)
            | distributions.DiscretizedLogisticMixture(levels=levels)
        ):
            constants = {"levels": torch.tensor(levels)}
    return Parameters(name, draw, {k: v for k, v in tensors.items() if v is not None}, constants)


def _of_quantities(p: Distribution) -> Parameters:
    """Return the parameters of quantities in the units of the data."""
    constants: dict[str, Tensor] = {}
    steps: list[str] = []
    y, loc, scale = p, torch.zeros(()), torch.ones(())
    if isinstance(p, Standardized):
        y, loc, scale = p.base, p.loc, p.scale
    width, origin = _cells_of(p)
    single = y.normal if isinstance(y, ContaminatedNormal) else y
    match single:
        case Normal() | RoundedNormal():
            tensors = {"loc": loc + scale * single.loc, "scale": scale * single.scale}
            units = {"loc": scale, "scale": scale}
            steps.append("y = loc + scale * normal")
        case RoundedMixture():
            m, s = (each.unsqueeze(-1) if each.dim() else each for each in (loc, scale))
            tensors = {
                "loc": m + s * single.loc,
                "scale": s * single.scale,
                "logits": single.logits,
            }
            units = {"loc": s, "scale": s}
            steps.append(_MIXTURE)
        case _:
            raise SupportError(
                f"the parameters of a standardized {type(single).__name__} are not known in the "
                "units of the data: use likelihood='gaussian'"
            )
    if isinstance(y, ContaminatedNormal):
        constants |= {"outlier_logits": y.logits, "outlier_loc": loc, "outlier_scale": scale}
        steps.append(_OUTLIERS)
    if isinstance(p, Standardized) and p.linear_width is not None:
        constants["linear_width"] = p.linear_width
        steps.append(_ASINH)
    if width is not None:
        constants["width"] = width
        steps.append(_CELLS)
    if origin is not None and ("width" in constants or "linear_width" in constants):
        constants["origin"] = origin
    draw = "; ".join(steps)
    draw = draw if _ASINH in steps else draw.replace("y = ", "value = ")
    return Parameters(type(single).__name__, draw, tensors, constants, units)


def _cells_of(p: Distribution) -> tuple[Tensor | None, Tensor | None]:
    """Return the width and the origin of the cells of a distribution in the units of its values."""
    if isinstance(p, Standardized):
        return p.width, p.origin
    inner = p.normal if isinstance(p, ContaminatedNormal) else p
    return (
        (inner.width, inner.origin)
        if isinstance(inner, RoundedNormal | RoundedMixture)
        else (
            None,
            None,
        )
    )
