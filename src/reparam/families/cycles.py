"""Frequencies of dates in their cycles: months, weekdays, hours."""

from collections.abc import Sequence
from dataclasses import replace
from math import pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution

from reparam.cycles import (
    BIN,
    MOST_WEEKS,
    N_BINS,
    Cycle,
    bins_of_years,
    months_between,
    regular_periods,
)
from reparam.distributions import Calendar, Cyclic, Spiked, Standardized
from reparam.distributions.cyclic import Level
from reparam.errors import OptionError, SupportError
from reparam.families.family import Family
from reparam.nn.heads import set_bias
from reparam.schema import DATE_UNITS, N_WAVES, Column

_SMOOTHING = 0.1
"""The rows that are added to those of each bin at the start."""


class Cycles(Family):
    r"""One softmax for each cycle of each date, as the days of the week.

    It is a part of the likelihood ``mixed``: see ``distributions.Cyclic``.

    Arguments:
        quantities: The columns of the quantities, of which one or more has cycles.

    Raises:
        OptionError: No column with cycles.

    Example:
        >>> day = Column("day", "date", unit="D", cycles=("week",), step=1.0)
        >>> family = Cycles([Column("pay", "real"), day]).attach((8,))
        >>> family(torch.zeros(5, 8)).logits.shape
        torch.Size([5, 7])
    """

    def __init__(self, quantities: Sequence[Column]) -> None:
        entries = [i for i, column in enumerate(quantities) if column.cycles]
        if not entries:
            raise OptionError("quantities: no column has cycles; give a date that has some")
        super().__init__((len(entries),), 1)
        self.entries = entries
        self._made = [_calendar(quantities[i]) for i in entries]
        for i, calendar in enumerate(self._made):
            self.register_buffer(f"edges_{i}", calendar.edges, persistent=False)
        self.raw_shape = torch.Size([sum(sum(each.sizes) for each in self._made)])

    @property
    def calendars(self) -> list[Calendar]:
        """The bins of each column with cycles."""
        # Buffers are on the device of the model.
        edges = (self._buffers[f"edges_{i}"] for i in range(len(self._made)))
        return [replace(c, edges=e) for c, e in zip(self._made, edges, strict=True)]

    @property
    def steps(self) -> dict[int, float]:
        """The step of the grid of each date with cycles, by its place among the quantities."""
        return {i: each.step for i, each in zip(self.entries, self._made, strict=True)}

    def distribution(self, raw: Tensor) -> TorchCategorical:
        """Return the logits of all cycles, side by side, as those of one variable."""
        return TorchCategorical(logits=raw, validate_args=False)

    def over(self, base: Distribution, raw: Tensor) -> Distribution:
        r"""Return the distribution of quantities, of which some are dates with cycles.

        Arguments:
            base: The distribution of the quantities, with batch shape (\*, n).
            raw: The logits of all cycles, side by side.

        Raises:
            SupportError: Quantities that are not standardized.
        """
        if isinstance(base, Spiked):
            return Spiked(self.over(base.base, raw), base.logits, base.spike, base.width)
        if not isinstance(base, Standardized):
            raise SupportError(f"{type(base).__name__}: dates need standardized quantities")
        return Cyclic(base, raw, self.calendars, self.entries)

    def waves(self, x: Tensor) -> Tensor:
        r"""Return where dates are in their cycles, as sines and cosines of three frequencies.

        .. math:: \sin 2 \pi h \varphi, \; \cos 2 \pi h \varphi \qquad (h = 1, 2, 3)

        They are 0 for missing dates. Seven days of a week are told apart by them.

        Arguments:
            x: The quantities, with shape (\*, n), NaN where missing.
        """
        found, waves = [], torch.arange(1, N_WAVES // 2 + 1, device=x.device)
        for entry, calendar in zip(self.entries, self.calendars, strict=True):
            t = x[..., entry]
            places = calendar.places_of(t.nan_to_num())
            angle = (2 * pi * waves * places.phases.to(x).unsqueeze(-1)).flatten(-2)
            is_known = (places.is_inside & ~t.isnan()).unsqueeze(-1)
            found.append(torch.where(is_known, torch.cat([angle.sin(), angle.cos()], -1), 0.0))
        return torch.cat(found, -1)

    def start_at_values(self, x: Tensor) -> None:
        """Start at the frequencies in training rows.

        Arguments:
            x: The quantities of the rows, with shape (N, n), NaN where missing.

        Raises:
            OptionError: The family has no head yet.
        """
        found = []
        for entry, calendar in zip(self.entries, self.calendars, strict=True):
            t = x[~x[:, entry].isnan(), entry]
            places = calendar.places_of(t)
            for i, (size, bins) in enumerate(zip(calendar.sizes, places.bins, strict=True)):
                counts = torch.bincount(bins, minlength=size).double() + _SMOOTHING
                if i == 0 and calendar.has_years:
                    # The base gives most of the frequencies of bins that few years have.
                    counts = counts / (_covered(calendar, t) + _SMOOTHING * size / max(len(t), 1))
                found.append((counts / counts.sum()).log())
        set_bias(self._attached(), 0, torch.cat(found).float())


def _covered(calendar: Calendar, t: Tensor) -> Tensor:
    """Return the share of the range of dates that each bin of the year has, times their number.

    Arguments:
        calendar: The bins.
        t: The dates, with shape (N,).
    """
    edges = calendar.edges
    if edges is None or not len(t):
        return torch.ones(calendar.sizes[0], dtype=torch.double)
    ends = edges.double().clamp(float(t.min()), float(t.max()))
    length = ends.diff(dim=1).sum(0)
    return len(t) * length / length.sum().clamp(min=1e-12)


def _calendar(column: Column) -> Calendar:
    """Return the bins of the cycles of a column, in its own unit and from its origin on."""
    second = DATE_UNITS[column.unit]

    low, high = (
        second * (column.origin if end is None else end) for end in (column.low, column.high)
    )
    cycles = list(column.cycles)
    by_month = "month" in cycles or "month end" in cycles
    edges, first, length = None, 0.0, 0.0
    if cycles[0] == "year":
        edges = _as_x(bins_of_years(low, high, by_month), column)
        cycles = cycles[1:]
    elif by_month:
        edges = _as_x(months_between(low, high), column)
    else:
        start, seconds = regular_periods(cycles[0])
        first, length = start / second - column.origin, seconds / second
    is_divided = edges is not None and not by_month
    levels = tuple(_level(c, column, is_divided) for c in cycles)
    return Calendar(edges, first, length, levels, column.step)


def _level(cycle: Cycle, column: Column, in_years: bool) -> Level:
    """Return a cycle within longer ones, or within a period of its own.

    Arguments:
        cycle: The cycle.
        column: The column, in whose unit bins are.
        in_years: Whether days of the week divide bins of a year, which have up to three weeks.
    """
    length, n = BIN[cycle] / DATE_UNITS[column.unit], N_BINS[cycle]
    most = MOST_WEEKS * n if cycle == "week" and in_years else n
    return Level(n, length, most, cycle in ("month", "month end"), cycle == "month end")


def _as_x(seconds: NDArray[np.float64], column: Column) -> Tensor:
    """Return times as they stand in x, from seconds since 1970."""
    return torch.from_numpy(seconds / DATE_UNITS[column.unit] - column.origin).float()
