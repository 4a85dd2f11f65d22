"""The likelihood of the rows of a table whose columns are of several kinds: see ``schema``."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import inf
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution

from reparam.distributions import MixedPart, MixedRow, Region, base_distribution
from reparam.errors import SupportError
from reparam.families.bernoulli import Bernoulli
from reparam.families.categorical import Categorical
from reparam.families.cycles import Cycles
from reparam.families.family import LIKELIHOODS, Family, as_likelihood
from reparam.families.gaussian import Gaussian
from reparam.families.heaps import Heaps
from reparam.nn.heads import joint_linear
from reparam.nn.standardize import Standardize
from reparam.schema import DATE_UNITS, QUANTITIES, Schema
from reparam.spec import DataSpec

QUANTITY = "gaussian-mixture"
"""The likelihood of quantities."""

PADDING, FREE = 1.5, 16
"""Columns of classes are computed together where the logits, padded to the most classes of a
column, are at most so many times those of these columns, and so many more."""


SizedPlaces = tuple[int, Sequence[int]]
"""A number of classes, and the places of the columns that have as many."""


def joined(groups: Sequence[SizedPlaces]) -> list[list[SizedPlaces]]:
    """Return which columns of classes are computed together.

    Arguments:
        groups: The columns by their numbers of classes, in ascending order.

    Example:
        >>> joined([(2, [0, 1, 5]), (3, [4]), (40, [2, 3])])
        [[(2, [0, 1, 5]), (3, [4])], [(40, [2, 3])]]
    """
    found: list[list[SizedPlaces]] = []
    for size, places in groups:
        last = [*(found[-1] if found else []), (size, places)]
        padded = size * sum(len(at) for _, at in last)
        if found and padded <= PADDING * sum(k * len(at) for k, at in last) + FREE:
            found[-1] = last
        else:
            found.append([(size, places)])
    return found


def standardize_of(family: Gaussian) -> Standardize:
    """Return the location, the scale and the cells of the quantities of a table."""
    return cast(Standardize, family.standardize)


def _range_of(schema: Schema) -> tuple[list[float], list[float]]:
    """Return the least and the largest training value of each column, as it stands in x.

    They are infinite for a class. Those of a rounded column are the ends of its cells.

    >>> from reparam.schema import Column
    >>> _range_of(Schema((Column("age", "count", decimals=0, low=1, high=90, origin=1),)))
    ([-0.5], [89.5])
    """
    low, high = [], []
    for column in schema.features:
        half = 0.5 * column.last_digit
        low.append(-inf if column.low is None else column.low - column.origin - half)
        high.append(inf if column.high is None else column.high - column.origin + half)
    return low, high


def _inequalities_of(schema: Schema) -> list[tuple[dict[str, float], float]]:
    """Return linear inequalities of quantities in their own units: factors by name, and a bound.

    A quantity is at least another one, and a sum is in the range of its training values.

    >>> from reparam.schema import Column
    >>> schema = Schema((Column("low", "real"), Column("high", "real", at_least=("low",))))
    >>> _inequalities_of(schema)
    [({'low': 1.0, 'high': -1.0}, 0.0)]
    """
    found: list[tuple[dict[str, float], float]] = []
    for column in schema.features:
        for name in column.at_least:
            unit, own = (
                DATE_UNITS[c.unit] if c.kind == "date" else 1 for c in (schema.column(name), column)
            )
            found.append(({name: unit / own, column.name: -1.0}, 0.0))
    for column in schema.columns:
        formula, low, high = column.formula, column.low, column.high
        if formula is None or formula.operation != "sum" or low is None or high is None:
            continue
        if set(formula.names) <= set(schema.names):
            half = 0.5 * column.last_digit
            found.append((dict(formula.terms), high + half - formula.offset))
            found.append(({k: -a for k, a in formula.terms}, formula.offset + half - low))
    return found


def region_of(schema: Schema) -> Region:
    """Return the rows that are possible by the ranges, orders and formulas of columns.

    Arguments:
        schema: The columns.

    Example:
        >>> from reparam.schema import Column
        >>> columns = Column("low", "real"), Column("high", "real", at_least=("low",), origin=5.0)
        >>> region_of(Schema(columns))[2:]
        (tensor([[ 1., -1.]]), tensor([5.]))
    """
    inequalities = _inequalities_of(schema)
    factors = np.zeros((len(inequalities), len(schema.features)))
    bounds = np.array([bound for _, bound in inequalities])
    places = {name: i for i, name in enumerate(schema.names)}
    for i, (of_names, _) in enumerate(inequalities):
        for name, factor in of_names.items():
            factors[i, places[name]] = factor
            bounds[i] -= factor * schema.column(name).origin
    low, high = _range_of(schema)
    return Region(*(torch.tensor(v, dtype=torch.float32) for v in (low, high, factors, bounds)))


@as_likelihood("mixed")
class Mixed(Family):
    r"""Columns of several kinds: quantities, classes, and missing values.

    .. math:: \log p(x \mid z) = \sum_{j \in \mathrm{obs}} \log p_j(x_j \mid z)

    A quantity is a mixture of Gaussians with a share of outliers, with cells where it is rounded, a
    transform where it has heavy tails, and a probability for each value that is frequent: see
    ``Gaussian`` and ``distributions.Heaped``. A date has frequencies in the year, the week and the
    day too: see ``distributions.Cyclic``. Another column is a categorical variable. What is
    missing is left out, or is a value of its own: see ``distributions.MixedRow``.

    Arguments:
        schema: The columns.

    Raises:
        SupportError: No schema.

    References:
        Nazábal, Olmos, Ghahramani & Valera, Pattern Recognition 2020 (HI-VAE).

    Example:
        >>> from reparam.schema import Column
        >>> schema = Schema((Column("age", "count"), Column("sex", "binary", ("F", "M"))))
        >>> Mixed(schema).attach((8,))(torch.zeros(5, 8)).sample().shape
        torch.Size([5, 2])
    """

    supports = ("mixed",)
    starts_at_mean = True

    def __init__(self, schema: Schema) -> None:
        sizes = [column.n_values for column in schema.features]
        groups: list[tuple[Family, list[int]]] = []
        quantities = schema.places(QUANTITIES)
        if quantities:
            options: Mapping[str, Any] = LIKELIHOODS[QUANTITY].options
            family = Gaussian((len(quantities),), **options).standardized(per_entry=True)
            groups.append((family, quantities))
        for size in sorted({*sizes} - {0}):
            places = [i for i, n in enumerate(sizes) if n == size]
            groups.append((Categorical(size, (len(places),)), places))
        if schema.valued_missing:
            groups.append((Bernoulli((len(schema.valued_missing),)), schema.valued_missing))
        super().__init__((len(sizes),), 1)
        columns = [schema.features[i] for i in quantities]
        self.heaps = Heaps(columns) if any(column.atoms for column in columns) else None
        self.cycles = Cycles(columns) if any(column.cycles for column in columns) else None
        n_raw = sum(part.raw_shape.numel() for part in self._beside_quantities)
        n_raw += sum(family.raw_shape.numel() for family, _ in groups)
        self.raw_shape = torch.Size([n_raw])
        self.schema = schema
        self.has_flags = bool(schema.valued_missing)
        self.families = nn.ModuleList(family for family, _ in groups)
        for i, (_, places) in enumerate(groups):
            self._constant(f"places_{i}", places)
        self._constant("optional", schema.optional)
        for name, values in region_of(schema)._asdict().items():
            self.register_buffer(f"region_{name}", values, persistent=False)
        self._lay_out_classes([(f.n_classes, at) for f, at in groups if isinstance(f, Categorical)])

    def _lay_out_classes(self, groups: Sequence[SizedPlaces]) -> None:
        """Lay out the columns of classes, so that one pass computes those of similar sizes.

        Arguments:
            groups: The number of classes, and the places of the columns, of each family.
        """
        self.sizes: list[tuple[int, ...]] = []
        for i, several in enumerate(joined(groups)):
            columns = [(size, place) for size, places in several for place in places]
            most = max(size for size, _ in columns)
            self.sizes.append(tuple(size for size, _ in columns))
            # Of each logit of the heads, its place among those that are padded to the most classes.
            firsts = accumulate((len(places) for _, places in several), initial=0)
            slots = [
                (first + j) * most + k
                for first, (size, places) in zip(firsts, several, strict=False)
                for k in range(size)
                for j in range(len(places))
            ]
            self._constant(f"class_places_{i}", [place for _, place in columns])
            self._constant(f"slots_{i}", slots)
        # Of each one-hot entry that the encoder reads, its column and its class.
        entries = [(at, k) for size, places in groups for at in places for k in range(size)]
        self._constant("entry_places", [place for place, _ in entries])
        self._constant("entry_classes", [k for _, k in entries])

    def _constant(self, name: str, values: Sequence[int]) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=torch.long), persistent=False)

    @classmethod
    def for_data(cls, spec: DataSpec, options: Mapping[str, Any]) -> "Mixed":
        """Create the family as a likelihood of the columns of a schema.

        Raises:
            SupportError: Data without a schema.
        """
        if spec.schema is None:
            raise SupportError(f"{spec.name!r} has no schema, so that its columns are unknown")
        return cls(spec.schema, **options)

    @property
    def groups(self) -> list[tuple[Family, Tensor]]:
        """The families of the columns, and the places of the columns in x."""
        n = len(self.families) - self.has_flags
        return [(self._family(i), self.get_buffer(f"places_{i}")) for i in range(n)]

    @property
    def quantities(self) -> tuple[Gaussian, Tensor] | None:
        """The family of the quantities, and their places; None without any."""
        family, places = self.groups[0]
        return (family, places) if isinstance(family, Gaussian) else None

    @property
    def _beside_quantities(self) -> list[Heaps | Cycles]:
        """The softmaxes of quantities: which atom a value is, and where dates are in cycles."""
        return [part for part in (self.heaps, self.cycles) if part is not None]

    def _family(self, i: int) -> Family:
        family: Any = self.families[i]
        return family

    def attach(self, out_shape: Sequence[int]) -> "Mixed":
        """Create a head for each family, and return the family itself."""
        for i in range(len(self.families)):
            self._family(i).attach(out_shape)
        for part in self._beside_quantities:
            part.attach(out_shape)
        return self

    def forward(self, features: Tensor) -> MixedRow:
        r"""Return the distribution of rows that features of shape (\*, F) describe."""
        families = [self._family(i) for i in range(len(self.families))]
        others = [family(features) for family in families if not isinstance(family, Categorical)]
        softmaxes = [
            *(family for family in families if isinstance(family, Categorical)),
            *self._beside_quantities,
        ]
        raw = joint_linear([family.head for family in softmaxes], features)
        # A density with parameters in half precision is not accurate enough.
        return self._row(others, raw if raw.dtype == torch.float64 else raw.float())

    def distribution(self, raw: Tensor) -> MixedRow:
        r"""Return the distribution with the raw parameters of all families, side by side."""
        families = [self._family(i) for i in range(len(self.families))]
        sizes = [family.raw_shape.numel() for family in families]
        *parts, last = raw.split([*sizes, raw.shape[-1] - sum(sizes)], -1)
        classes, others = [raw[..., :0]], []
        for family, part in zip(families, parts, strict=True):
            if isinstance(family, Categorical):
                classes.append(part)
            else:
                others.append(family.distribution(part.unflatten(-1, family.raw_shape)))
        return self._row(others, torch.cat([*classes, last], -1))

    def _row(self, others: Sequence[Distribution], raw: Tensor) -> MixedRow:
        r"""Return the distribution of rows.

        Arguments:
            others: The distributions of the families that are not of classes.
            raw: The logits of all classes, then those of atoms and of cycles, with shape (\*, n).
        """
        single = [base_distribution(each) for each in others]
        sizes_of = [sum(sizes) for sizes in self.sizes]
        of_quantities = [part.raw_shape.numel() for part in self._beside_quantities]
        all_logits = list(raw.split([*sizes_of, *of_quantities], -1))
        logits, rest = all_logits[: len(sizes_of)], all_logits[len(sizes_of) :]
        parts = []
        if self.quantities is not None:
            family, places = self.quantities
            quantities = single[0]
            if self.cycles is not None:
                quantities = self.cycles.over(quantities, rest.pop())
            if self.heaps is not None:
                quantities = self.heaps.over(quantities, rest.pop(), standardize_of(family).width)
            parts.append(MixedPart(places, quantities))
        for i, (sizes, part) in enumerate(zip(self.sizes, logits, strict=True)):
            n, most = len(sizes), max(sizes)
            padded = part.new_full((*part.shape[:-1], n * most), -inf)
            padded = padded.index_copy(-1, self.get_buffer(f"slots_{i}"), part)
            classes = TorchCategorical(logits=padded.unflatten(-1, (n, most)), validate_args=False)
            is_one = len(set(sizes)) == 1
            places = self.get_buffer(f"class_places_{i}")
            parts.append(MixedPart(places, classes, () if is_one else sizes))
        return self._with_flags(parts, single)

    def _with_flags(self, parts: Sequence[MixedPart], single: Sequence[Distribution]) -> MixedRow:
        """Return the distribution of rows; the last single one is that of missing values."""
        region = Region(*(self.get_buffer(f"region_{name}") for name in Region._fields))
        if not self.has_flags:
            return MixedRow(parts, region=region)
        flags: Any = single[-1]
        places = self.get_buffer(f"places_{len(self.families) - 1}")
        return MixedRow(parts, flags.logits, places, region)

    def as_input(self, x: Tensor) -> Tensor:
        r"""Return rows as the encoder reads them, with shape (B, ``schema.input_size``).

        They are the standardized quantities, 0 where missing; the one-hot classes, zeros where
        missing; whether a quantity is each of its atoms; whether each value is missing, of columns
        that training rows lack; and where dates are in their cycles.

        Arguments:
            x: The rows, with shape (B, D).
        """
        seen = self.as_vectors(x)
        if self.quantities is None or self.cycles is None:
            return seen
        return torch.cat([seen, self.cycles.waves(x[..., self.quantities[1]])], -1)

    def as_vectors(self, x: Tensor) -> Tensor:
        r"""Return rows as vectors whose distances can be compared, with shape (B, n).

        They are what the encoder reads without the places of dates in their cycles, with which a
        date would count several times.

        Arguments:
            x: The rows, with shape (B, D).
        """
        missing, found, quantities = x.isnan(), [], self.quantities
        if quantities is not None:
            family, places = quantities
            absent = missing[..., places]
            seen = family.as_input(torch.where(absent, 0.0, x[..., places]))
            found.append(torch.where(absent, 0.0, seen))
        # A missing value is no class: NaN equals none.
        of_entries = x[..., self.get_buffer("entry_places")]
        found.append((of_entries == self.get_buffer("entry_classes")).to(x))
        if quantities is not None and self.heaps is not None:
            family, places = quantities
            found.append(self.heaps.indicators(x[..., places], standardize_of(family).width))
        found.append(missing[..., self.get_buffer("optional")].to(x))
        return torch.cat(found, -1)

    def start_classes(self, x: Tensor) -> None:
        """Start classes, atoms, cycles and missing values at their frequencies in training rows.

        Arguments:
            x: The rows, with shape (N, D).
        """
        for family, places in self.groups:
            if isinstance(family, Categorical):
                family.start_at_values(x[:, places])
        if self.quantities is not None and self.heaps is not None:
            family, places = self.quantities
            self.heaps.start_at_values(x[:, places], standardize_of(family).width)
        if self.quantities is not None and self.cycles is not None:
            self.cycles.start_at_values(x[:, self.quantities[1]])
        if self.has_flags:
            flags = self._family(len(self.families) - 1)
            places = self.get_buffer(f"places_{len(self.families) - 1}")
            flags.start_at(x[:, places].isnan().double().mean(0).float())
