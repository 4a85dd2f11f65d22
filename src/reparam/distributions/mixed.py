r"""Rows of a table whose columns are of several kinds, some of them missing.

.. math:: \log p(x_{\mathrm{obs}} \mid z) = \sum_{j \in \mathrm{obs}} \log p_j(x_j \mid z)
"""

from collections.abc import Iterator, Sequence
from math import nan
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints
from torch.nn.functional import logsigmoid
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution
from reparam.distributions.queries import mean_or_mode
from reparam.distributions.region import Region


class MixedPart(NamedTuple):
    r"""The distribution of some columns of a row.

    Arguments:
        places: The places of the columns in x, int64 with shape (n,).
        distribution: Their distributions, independent of each other, with batch shape (\*, n).
        sizes: The number of classes of each column of a ``Categorical``, whose further logits are
            -inf; () where all columns have as many.
    """

    places: Tensor
    distribution: Distribution
    sizes: tuple[int, ...] = ()


class MixedRow(DeclaredDistribution):
    r"""Rows of a table: independent columns, in parts of one kind each.

    A missing value is NaN. Its column is left out of the log-probability, which is then that of the
    observed columns; or, where missing values are values of their own, it counts as one:

    .. math:: \log p_j(x_j) = \log \pi_j \ \text{for a missing value, and else}\
              \log (1 - \pi_j) + \log p_j(x_j)

    Arguments:
        parts: The distributions of the columns; their places are all columns of x.
        missing_logits: The logits of the π of some columns, with shape (\*, n); None for none.
        missing_places: The places of these columns, int64 with shape (n,).
        region: The rows that are possible by the training data; None if they are not known. It
            limits ``sample_in_range`` alone.

    References:
        Nazábal, Olmos, Ghahramani & Valera, Pattern Recognition 2020 (HI-VAE), section 2.
        Mattei & Frellsen, ICML 2019 (MIWAE), section 2.

    Example:
        >>> from torch.distributions import Categorical, Normal
        >>> p = MixedRow([
        ...     MixedPart(torch.tensor([1]), Normal(torch.zeros(1), torch.ones(1))),
        ...     MixedPart(torch.tensor([0]), Categorical(logits=torch.zeros(1, 2))),
        ... ])
        >>> p.log_prob_of_columns(torch.tensor([1.0, nan]))
        tensor([-0.6931,  0.0000])
    """

    def __init__(
        self,
        parts: Sequence[MixedPart],
        missing_logits: Tensor | None = None,
        missing_places: Tensor | None = None,
        region: Region | None = None,
    ) -> None:
        self._joint = tuple(MixedPart(*part) for part in parts)
        self.missing_logits, self.missing_places = missing_logits, missing_places
        self.region = region
        batches = [part.distribution.batch_shape[:-1] for part in self._joint]
        n_columns = sum(len(part.places) for part in self._joint)
        super().__init__(
            torch.broadcast_shapes(*batches), torch.Size([n_columns]), validate_args=False
        )

    @property
    def parts(self) -> tuple[MixedPart, ...]:
        """The distributions of the columns, in parts whose columns have as many classes."""
        return tuple(single for part in self._joint for single in _by_size(part))

    @property
    def support(self) -> constraints.Constraint:
        """All rows: numbers of classes, quantities, and NaN."""
        return constraints.real_vector

    @property
    def observed(self) -> "MixedRow":
        """The distribution of rows of which NaN is not known, and no value of its own."""
        return MixedRow(self._joint, region=self.region)

    @property
    def mean(self) -> Tensor:
        """The mean of each quantity, and the most probable of classes; no value is missing."""
        return _joined(self._joint, [mean_or_mode(part.distribution) for part in self._joint])

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> "MixedRow":
        """Return the distribution over a larger batch."""
        shape = torch.Size(batch_shape)
        parts = [
            MixedPart(places, p.expand(torch.Size([*shape, p.batch_shape[-1]])), sizes)
            for places, p, sizes in self._joint
        ]
        logits = self.missing_logits
        logits = None if logits is None else logits.expand(*shape, logits.shape[-1])
        return MixedRow(parts, logits, self.missing_places, self.region)

    def log_prob_of_columns(self, value: Tensor) -> Tensor:
        r"""Return log p of each column in nats, with shape (\*, D); 0 for what is left out."""
        missing = value.isnan()
        # Zero is a class, and a quantity that the result does not depend on.
        filled = torch.where(missing, 0.0, value)
        found = _joined(
            self._joint,
            [part.distribution.log_prob(filled[..., part.places]) for part in self._joint],
        )
        found = torch.where(missing, 0.0, found)
        if self.missing_logits is None or self.missing_places is None:
            return found
        is_missing = missing[..., self.missing_places]
        of_missing = logsigmoid(torch.where(is_missing, self.missing_logits, -self.missing_logits))
        of_missing = of_missing.expand(*found.shape[:-1], of_missing.shape[-1])
        return found.index_add(-1, self.missing_places, of_missing.to(found))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of the observed columns of each row in nats."""
        return self.log_prob_of_columns(value).sum(-1)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, in which values are missing as often as where that is a value."""
        with torch.no_grad():
            # Columns of one size are drawn together, so that a seed draws the same as ever.
            parts = self.parts
            x = _joined(parts, [part.distribution.sample(sample_shape) for part in parts])
            if self.missing_logits is not None and self.missing_places is not None:
                share = self.missing_logits.sigmoid()
                is_missing = torch.rand(*sample_shape, *share.shape).to(share) < share
                kept = x[..., self.missing_places]
                x[..., self.missing_places] = torch.where(is_missing, nan, kept)
            return x

    def sample_in_range(self, known: Tensor | None = None) -> Tensor:
        r"""Return draws that are possible by the training data, with shape (\*, D).

        A quantity out of the range of the training rows, and columns that are not in the order of
        all training rows, are drawn again, given the same z, up to ``N_REDRAWS`` times. Clipped
        alone, the ends of the range would be more frequent than in the training rows.

        Arguments:
            known: Values that are given, NaN for others, in a shape that broadcasts to the draws.
        """
        x = super().sample_in_range(known)
        if self.region is None:
            return x
        for _ in range(N_REDRAWS):
            is_outside = self.region.outside(x)
            if known is not None:
                is_outside &= known.isnan()
            if not is_outside.any():
                break
            x = torch.where(is_outside, self.observed.sample(), x)
        return x

    def in_range(self, x: Tensor) -> Tensor:
        r"""Return whether rows are possible by the training data, with shape (\*)."""
        inside = super().in_range(x)
        return inside if self.region is None else inside & ~self.region.outside(x).any(-1)


N_REDRAWS = 20
"""The largest number of times that a quantity which is not possible is drawn again."""


def _joined(parts: Sequence[MixedPart], values: Sequence[Tensor]) -> Tensor:
    r"""Return the values of all parts as rows, with shape (\*, D)."""
    order = torch.cat([part.places for part in parts]).argsort()
    dtype = next((v.dtype for v in values if v.is_floating_point()), torch.float32)
    return torch.cat([v.to(dtype) for v in values], -1)[..., order]


def _by_size(part: MixedPart) -> Iterator[MixedPart]:
    """Yield the columns of a part that have as many classes each."""
    p = part.distribution
    if not part.sizes or not isinstance(p, Categorical):
        yield part
        return
    for size in dict.fromkeys(part.sizes):
        columns = [i for i, n in enumerate(part.sizes) if n == size]
        logits = p.logits[..., columns, :size]
        yield MixedPart(part.places[columns], Categorical(logits=logits, validate_args=False))
