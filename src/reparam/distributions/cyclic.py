r"""Dates with the places that they have in the year, the month, the week, the day and the hour.

.. math:: P(t) = \tilde P(\mathrm{bin}_0(t)) \prod_l \pi_l(\mathrm{bin}_l(t)) \big/ n, \qquad
          \tilde P(b) = P_0(\text{year of } b)\,
          \frac{P_0(b)\, e^{\eta_b}}{\sum_{b'} P_0(b')\, e^{\eta_{b'}}}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, constraints
from torch.nn.functional import log_softmax
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution
from reparam.distributions.rounded import Standardized


class Level(NamedTuple):
    """A cycle that divides each bin of the one before: weeks into days, days into hours.

    Arguments:
        n_bins: The number of bins of a period.
        length: The length of a bin, in the unit of x.
        is_month: Whether the period is the whole bin before, a month of up to ``n_bins`` days.
        from_end: Whether the bins are counted from the end of the period.
    """

    n_bins: int
    length: float
    is_month: bool = False
    from_end: bool = False


@dataclass(frozen=True)
class Calendar:
    r"""The bins of the cycles of one column of dates.

    Arguments:
        edges: The edges of the bins of each year, or those of each month alone, in the unit of x,
            with shape (P, B + 1); None where the longest cycle is a week, a day or an hour.
        first: The start of one period, where all have the same length.
        length: That length.
        levels: The further cycles, from the longest to the shortest.
        step: The step of the grid that dates lie on; 0 for none.
    """

    edges: Tensor | None
    first: float
    length: float
    levels: tuple[Level, ...]
    step: float

    @property
    def n_weighted(self) -> int:
        """The number of bins of a year; 0 where there is no cycle of years."""
        return 0 if self.edges is None or self.edges.shape[1] == 2 else self.edges.shape[1] - 1

    @property
    def sizes(self) -> list[int]:
        """The number of logits of each cycle."""
        own = [self.n_weighted] if self.n_weighted else []
        return own + [level.n_bins for level in self.levels]

    def bins_of(self, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the edges of the bins of the period around each date, and where it has one.

        Arguments:
            t: The dates, with shape (\*).

        Returns:
            The edges, with shape (\*, B + 1), and whether there is such a period, with shape (\*).
        """
        if self.edges is None:
            start = self.first + ((t - self.first) / self.length).floor() * self.length
            return torch.stack([start, start + self.length], -1), torch.ones_like(
                t, dtype=torch.bool
            )
        starts, end = self.edges[:, 0], self.edges[-1, -1]
        # As many years have begun; a binary search is no operator of ONNX.
        place = (t.unsqueeze(-1) >= starts[1:]).sum(-1)
        return self.edges[place], (t >= starts[0]) & (t < end)

    def places_of(self, t: Tensor) -> "Places":
        r"""Return the bins that dates are in.

        Arguments:
            t: The dates, with shape (\*).
        """
        edges, is_inside = self.bins_of(t)
        place = (t.unsqueeze(-1) >= edges[..., 1:-1]).sum(-1)
        places, counts = [], []
        if self.n_weighted:
            places.append(place)
            counts.append(torch.full_like(t, float(self.n_weighted)))
        start, end = (_chosen(edges[..., i:], place) for i in (0, 1))
        span = end - start
        for level in self.levels:
            n = span / level.length if level.is_month else torch.full_like(t, float(level.n_bins))
            period = n * level.length
            start = start + ((t - start) / period).floor() * period
            bin_ = ((t - start) / level.length).floor()
            # Outside of all periods there is no bin.
            bin_ = torch.minimum(bin_.clamp(min=0), n - 1)
            start, span = start + bin_ * level.length, torch.full_like(t, level.length)
            number = n - 1 - bin_ if level.from_end else bin_
            places.append(number.long().clamp(max=level.n_bins - 1))
            counts.append(n)
        return Places(edges, is_inside, place, end, places, counts)


@dataclass(frozen=True)
class Places:
    r"""Where dates of shape (\*) are in their cycles.

    Arguments:
        edges: The edges of the bins of their years, with shape (\*, B + 1).
        is_inside: Whether there is such a year.
        place: Which of these bins they are in.
        end: The end of that bin.
        bins: The number of the bin in each cycle.
        counts: The number of bins of each cycle there: a month has 28 to 31 days.
    """

    edges: Tensor
    is_inside: Tensor
    place: Tensor
    end: Tensor
    bins: Sequence[Tensor]
    counts: Sequence[Tensor]

    @property
    def phases(self) -> Tensor:
        r"""The middles of the bins as shares of their cycles, with shape (\*, C)."""
        return torch.stack(
            [(place + 0.5) / n for place, n in zip(self.bins, self.counts, strict=True)], -1
        )


class Cyclic(DeclaredDistribution):
    r"""Dates, of which some places in the year, the week or the day are more frequent than others.

    A distribution :math:`P_0` over the whole time, as a mixture of Gaussians, gives the probability
    of a year. Within the year its bins are weighted by :math:`e^\eta`. Within such a bin each
    shorter cycle has a softmax over its bins, the same in every period; the n values of the last
    bin are equally frequent. Where there is no cycle of years, :math:`P_0` gives the probability of
    the longest cycle that there is. So the probabilities of all dates add up to one.

    Arguments:
        base: :math:`P_0`, of independent entries, with batch shape (\*, n).
        logits: The :math:`\eta`, and the logits of the other cycles, of all columns side by side,
            with shape (\*, L).
        calendars: The bins of each column of dates.
        entries: The places of these columns among the entries.

    References:
        West & Harrison, Bayesian forecasting and dynamic models, 1997, chapter 8 (seasonal
        effects).

    Example:
        >>> from reparam.distributions import RoundedNormal
        >>> days = RoundedNormal(torch.zeros(1), torch.ones(1), torch.ones(1))
        >>> base = Standardized(days, torch.tensor([5.0]), torch.tensor([90.0]), torch.ones(1))
        >>> week = Calendar(None, 4.0, 7.0, (Level(7, 1.0),), 1.0)  # day 4 is a Monday
        >>> no_sunday = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -20.0])
        >>> p = Cyclic(base, no_sunday, [week], [0])
        >>> p.log_prob(torch.arange(4.0, 11.0)[:, None]).exp()[:, 0] > 0.005
        tensor([ True,  True,  True,  True,  True,  True, False])
    """

    def __init__(
        self,
        base: Standardized,
        logits: Tensor,
        calendars: Sequence[Calendar],
        entries: Sequence[int],
    ) -> None:
        self.base, self.logits = base, logits
        self.calendars, self.entries = tuple(calendars), tuple(entries)
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The values of the base."""
        return self.base.support

    @property
    def mean(self) -> Tensor:
        """Return the mean of the base, from which that of the dates differs by part of a period."""
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        """Return the variance of the base."""
        return self.base.variance

    def expand(self, batch_shape: _size, _instance: object = None) -> "Cyclic":
        """Return the distribution over a larger batch."""
        logits = self.logits.expand(*batch_shape[:-1], self.logits.shape[-1])
        return Cyclic(self.base.expand(batch_shape), logits, self.calendars, self.entries)

    def _columns(self) -> list[tuple[int, Calendar, list[Tensor]]]:
        """Return the place, the calendar and the logits of each cycle of every column."""
        sizes = [size for calendar in self.calendars for size in calendar.sizes]
        rest = list(self.logits.split(sizes, -1))
        found = []
        for entry, calendar in zip(self.entries, self.calendars, strict=True):
            n = len(calendar.sizes)
            found.append((entry, calendar, rest[:n]))
            rest = rest[n:]
        return found

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each entry in nats."""
        found = self.base.log_prob(value)
        for entry, calendar, logits in self._columns():
            own = self._log_prob_of(value[..., entry], entry, calendar, logits)
            own = torch.where(own.isnan(), found[..., entry], own).unsqueeze(-1)
            found = torch.cat([found[..., :entry], own, found[..., entry + 1 :]], -1)
        return found

    def _log_prob_of(
        self, t: Tensor, entry: int, calendar: Calendar, logits: Sequence[Tensor]
    ) -> Tensor:
        r"""Return log p of the dates of one column, NaN outside of all periods.

        Arguments:
            t: The dates, with shape (\*).
            entry: The place of the column.
            calendar: Its bins.
            logits: The logits of each of its cycles.
        """
        places = calendar.places_of(t)
        mass = self._log_mass(entry, calendar, places.edges)
        found = _chosen(mass, places.place)
        if calendar.n_weighted:
            weighted = logits[0] + mass
            found = mass.logsumexp(-1) + _chosen(weighted.log_softmax(-1), places.place)
        span = places.end - _chosen(places.edges, places.place)
        # The number of values, or the length where there is no grid.
        found = found - (span / (calendar.step or 1.0)).log()
        first = bool(calendar.n_weighted)
        for level, own, bin_, n in zip(
            calendar.levels,
            logits[first:],
            places.bins[first:],
            places.counts[first:],
            strict=True,
        ):
            found = found + _chosen(_log_shares(own, level, n), bin_) + n.log()
        return torch.where(places.is_inside, found, torch.nan)

    def _log_mass(self, entry: int, calendar: Calendar, edges: Tensor) -> Tensor:
        r"""Return the logarithms of the probabilities of bins, with shape (\*, B)."""
        # The cell of a date on a grid begins half a step before it.
        edges = edges - 0.5 * calendar.step
        return self.base.log_mass(entry, edges[..., :-1], edges[..., 1:])

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws."""
        with torch.no_grad():
            draws = self.base.sample(sample_shape)
            for entry, calendar, logits in self._columns():
                draws[..., entry] = self._sample_of(draws[..., entry], entry, calendar, logits)
            return draws

    def _sample_of(
        self, t: Tensor, entry: int, calendar: Calendar, logits: Sequence[Tensor]
    ) -> Tensor:
        r"""Return draws of one column, given draws of the base, which tell the period.

        Arguments:
            t: The draws of the base, with shape (\*).
            entry: The place of the column.
            calendar: Its bins.
            logits: The logits of each of its cycles.
        """
        edges, is_inside = calendar.bins_of(t)
        place = torch.zeros_like(t, dtype=torch.long)
        if calendar.n_weighted:
            place = _draw(logits[0] + self._log_mass(entry, calendar, edges))
        start, end = (_chosen(edges[..., i:], place) for i in (0, 1))
        span = end - start
        for level, own in zip(calendar.levels, logits[bool(calendar.n_weighted) :], strict=True):
            n = span / level.length if level.is_month else torch.full_like(t, float(level.n_bins))
            period = n * level.length
            start = start + _up_to(span / period) * period
            number = _draw(_log_shares(own.expand(*t.shape, -1), level, n)).to(t)
            start = start + (n - 1 - number if level.from_end else number) * level.length
            span = torch.full_like(t, level.length)
        if calendar.step:
            first = (start / calendar.step).ceil() * calendar.step
            found = first + _up_to(span / calendar.step) * calendar.step
        else:
            found = start + torch.rand_like(t) * span
        return torch.where(is_inside, found, t)


def _chosen(values: Tensor, place: Tensor) -> Tensor:
    r"""Return the entries of values, with shape (\*, B), at places with shape (\*)."""
    shape = torch.broadcast_shapes(values.shape[:-1], place.shape)
    at = place.expand(shape).unsqueeze(-1)
    return values.expand(*shape, values.shape[-1]).gather(-1, at).squeeze(-1)


def _log_shares(logits: Tensor, level: Level, n: Tensor) -> Tensor:
    r"""Return the log-probabilities of the bins of a cycle, of which only the first n exist."""
    if not level.is_month:
        return log_softmax(logits, -1)
    exists = torch.arange(level.n_bins, device=logits.device) < n.unsqueeze(-1)
    return log_softmax(torch.where(exists, logits, -inf), -1)


def _draw(logits: Tensor) -> Tensor:
    """Return a draw of a categorical variable with these logits."""
    return Categorical(logits=logits, validate_args=False).sample()


def _up_to(n: Tensor) -> Tensor:
    """Return whole numbers from 0 to n - 1, each with the same probability."""
    return torch.minimum((torch.rand_like(n) * n).floor(), n - 1)
