"""The likelihood of the rows of a table whose columns are of several kinds: see ``schema``."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.distributions import MixedPart, MixedRow, base_distribution
from reparam.errors import SupportError
from reparam.families.bernoulli import Bernoulli
from reparam.families.categorical import Categorical
from reparam.families.family import LIKELIHOODS, Family, as_likelihood
from reparam.families.gaussian import Gaussian
from reparam.schema import QUANTITIES, Schema
from reparam.spec import DataSpec

QUANTITY = "gaussian-mixture"
"""The likelihood of quantities."""


@as_likelihood("mixed")
class Mixed(Family):
    r"""Columns of several kinds: quantities, classes, and missing values.

    .. math:: \log p(x \mid z) = \sum_{j \in \mathrm{obs}} \log p_j(x_j \mid z)

    A quantity is a mixture of Gaussians with a share of outliers, with cells where it is rounded, a
    transform where it has heavy tails, and a spike where many values are one number: see
    ``Gaussian``. Another column is a categorical variable. What is missing is left out, or is a
    value of its own: see ``distributions.MixedRow``.

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
        self.raw_shape = torch.Size([sum(family.raw_shape.numel() for family, _ in groups)])
        self.schema = schema
        self.has_flags = bool(schema.valued_missing)
        self.families = nn.ModuleList(family for family, _ in groups)
        for i, (_, places) in enumerate(groups):
            self.register_buffer(f"places_{i}", torch.tensor(places), persistent=False)
        optional = torch.tensor(schema.optional, dtype=torch.long)
        self.register_buffer("optional", optional, persistent=False)

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

    def _family(self, i: int) -> Family:
        family: Any = self.families[i]
        return family

    def attach(self, out_shape: Sequence[int]) -> "Mixed":
        """Create a head for each family, and return the family itself."""
        for i in range(len(self.families)):
            self._family(i).attach(out_shape)
        return self

    def forward(self, features: Tensor) -> MixedRow:
        r"""Return the distribution of rows that features of shape (\*, F) describe."""
        return self._row([self._family(i)(features) for i in range(len(self.families))])

    def distribution(self, raw: Tensor) -> MixedRow:
        r"""Return the distribution with the raw parameters of all families, side by side."""
        shapes = [self._family(i).raw_shape for i in range(len(self.families))]
        parts = raw.split([shape.numel() for shape in shapes], -1)
        return self._row(
            [
                self._family(i).distribution(part.unflatten(-1, shape))
                for i, (part, shape) in enumerate(zip(parts, shapes, strict=True))
            ]
        )

    def _row(self, found: Sequence[Distribution]) -> MixedRow:
        single = [base_distribution(each) for each in found]
        parts = [MixedPart(places, p) for (_, places), p in zip(self.groups, single, strict=False)]
        if not self.has_flags:
            return MixedRow(parts)
        flags: Any = single[-1]
        return MixedRow(parts, flags.logits, self.get_buffer(f"places_{len(parts)}"))

    def as_input(self, x: Tensor) -> Tensor:
        r"""Return rows as the encoder reads them, with shape (B, ``schema.input_size``).

        They are the standardized quantities, 0 where missing; the one-hot classes, zeros where
        missing; and whether each value is missing, of columns that training rows lack.

        Arguments:
            x: The rows, with shape (B, D).
        """
        missing = x.isnan()
        found = []
        for family, places in self.groups:
            part, absent = x[..., places], missing[..., places]
            if isinstance(family, Categorical):
                codes = torch.arange(family.n_classes, device=x.device)
                # A missing value is no class: NaN equals none.
                found.append((part.unsqueeze(-1) == codes).to(x).flatten(-2))
            else:
                seen = family.as_input(torch.where(absent, 0.0, part))
                found.append(torch.where(absent, 0.0, seen))
        found.append(missing[..., self.get_buffer("optional")].to(x))
        return torch.cat(found, -1)

    def start_classes(self, x: Tensor) -> None:
        """Start classes and missing values at their frequencies in training rows.

        Arguments:
            x: The rows, with shape (N, D).
        """
        for family, places in self.groups:
            if isinstance(family, Categorical):
                family.start_at_values(x[:, places])
        if self.has_flags:
            flags = self._family(len(self.families) - 1)
            places = self.get_buffer(f"places_{len(self.families) - 1}")
            flags.start_at(x[:, places].isnan().double().mean(0).float())
