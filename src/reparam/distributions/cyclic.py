r"""Dates with the places that they have in the year, the month, the week, the day and the hour.

.. math:: P(t) = P_0(\text{period of } t) \; \prod_{l=1}^L
          \frac{P_0(b_l)\, e^{\eta_{b_l}}}{\sum_{b'} P_0(b')\, e^{\eta_{b'}}} \;
          P_0(t \mid b_L)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution
from reparam.distributions.rounded import Standardized


class Level(NamedTuple):
    """A cycle: bins that divide a period, such as the days of a week.

    Arguments:
        n_bins: The number of bins of a period: of different logits.
        length: The length of a bin, in the unit of x.
        most: The largest number of bins that are told apart at once: 21 days in three weeks.
        is_month: Whether the period is a month of up to ``n_bins`` days.
        from_end: Whether the bins are counted from the end of the period.
    """

    n_bins: int
    length: float
    most: int
    is_month: bool = False
    from_end: bool = False


class Bins(NamedTuple):
    r"""The bins that an interval is divided into.

    Arguments:
        edges: Their edges, with shape (\*, m + 1); further bins have no length.
        labels: The numbers of their logits, with shape (\*, m).
        n: The number of bins of the period, with shape (\*).
    """

    edges: Tensor
    labels: Tensor
    n: Tensor

    def place_of(self, t: Tensor) -> Tensor:
        r"""Return the place of the bin of each number, with shape (\*)."""
        return (t.unsqueeze(-1) >= self.edges[..., 1:-1]).sum(-1)

    def interval(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ends of the bins at these places."""
        return _chosen(self.edges, place), _chosen(self.edges[..., 1:], place)


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
    def has_years(self) -> bool:
        """Whether the longest cycle is a year."""
        return self.edges is not None and self.edges.shape[1] > 2

    @property
    def sizes(self) -> list[int]:
        """The number of logits of each cycle."""
        years = [] if self.edges is None or not self.has_years else [self.edges.shape[1] - 1]
        return years + [level.n_bins for level in self.levels]

    def period_of(self, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the edges of the bins of the longest period around each date, and if it has one.

        Arguments:
            t: The dates, with shape (\*).

        Returns:
            The edges, with shape (\*, B + 1), and whether there is such a period, with shape (\*).
        """
        if self.edges is None:
            start = self.first + ((t - self.first) / self.length).floor() * self.length
            edges = torch.stack([start, start + self.length], -1)
            return edges, torch.ones_like(t, dtype=torch.bool)
        starts, end = self.edges[:, 0], self.edges[-1, -1]
        # As many years have begun; a binary search is no operator of ONNX.
        place = (t.unsqueeze(-1) >= starts[1:]).sum(-1)
        return self.edges[place], (t >= starts[0]) & (t < end)

    def divided(
        self, edges: Tensor, choose: Callable[[Bins], Tensor]
    ) -> Iterator[tuple[Bins, Tensor]]:
        r"""Yield the bins of every cycle, each within the bin chosen before, and the chosen places.

        Arguments:
            edges: The edges of the bins of the longest period, with shape (\*, B + 1).
            choose: A function from bins to the places of those that are divided next.
        """
        start, end = edges[..., 0], edges[..., -1]
        if self.has_years:
            numbers = torch.arange(edges.shape[-1] - 1, device=edges.device)
            bins = Bins(edges, numbers, torch.full_like(start, float(len(numbers))))
            place = choose(bins)
            yield bins, place
            start, end = bins.interval(place)
        for level in self.levels:
            numbers = torch.arange(level.most + 1, device=edges.device)
            places = start.unsqueeze(-1) + level.length * numbers.to(start)
            n = (end - start) / level.length
            labels = numbers[:-1] % level.n_bins
            if level.from_end:
                labels = (n.unsqueeze(-1).long() - 1 - numbers[:-1]).clamp(min=0)
            n = n if level.is_month else torch.full_like(n, float(level.n_bins))
            bins = Bins(torch.minimum(places, end.unsqueeze(-1)), labels, n)
            place = choose(bins)
            yield bins, place
            start, end = bins.interval(place)

    def first_on_grid(self, t: Tensor) -> Tensor:
        r"""Return the first date of the grid that is not before t, with shape (\*)."""
        return (t / self.step - _ON_GRID).ceil() * self.step if self.step else t

    def places_of(self, t: Tensor) -> "Places":
        r"""Return the bins that dates are in.

        Arguments:
            t: The dates, with shape (\*).
        """
        edges, is_inside = self.period_of(t)
        # Outside of all periods any date of one will do.
        t = torch.where(is_inside, t, edges[..., 0])
        found = list(self.divided(edges, lambda bins: bins.place_of(t)))
        labels = [_chosen(bins.labels, place) for bins, place in found]
        return Places(is_inside, labels, [bins.n for bins, _ in found])


@dataclass(frozen=True)
class Places:
    r"""Where dates of shape (\*) are in their cycles.

    Arguments:
        is_inside: Whether they are in a period.
        bins: The number of the bin in each cycle.
        counts: The number of bins of each cycle there: a month has 28 to 31 days.
    """

    is_inside: Tensor
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
    of a year. Within it the probabilities of its bins :math:`b_1` are weighted by :math:`e^\eta`,
    which are the same in every year; within such a bin those of the days :math:`b_2`, by weights of
    the days of the week; and so on. Where there is no cycle of years, :math:`P_0` gives the
    probability of the longest period that there is. The probabilities of all dates add up to one,
    and without weights they are those of :math:`P_0`.

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
        >>> week = Calendar(None, 4.0, 7.0, (Level(7, 1.0, 7),), 1.0)  # day 4 is a Monday
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
            of_base = found[..., entry]
            own = self._log_prob_of(value[..., entry], of_base, entry, calendar, logits)
            rest = (found[..., :entry], own.unsqueeze(-1), found[..., entry + 1 :])
            found = torch.cat(rest, -1)
        return found

    def _log_prob_of(
        self, t: Tensor, of_base: Tensor, entry: int, calendar: Calendar, logits: Sequence[Tensor]
    ) -> Tensor:
        r"""Return log p of the dates of one column.

        Arguments:
            t: The dates, with shape (\*).
            of_base: Their log-probabilities under the base.
            entry: The place of the column.
            calendar: Its bins.
            logits: The logits of each of its cycles.
        """
        edges, is_inside = calendar.period_of(t)
        known = torch.where(is_inside, t, edges[..., 0])
        found, last = of_base, None
        divided = calendar.divided(edges, lambda bins: bins.place_of(known))
        for (bins, place), own in zip(divided, logits, strict=True):
            mass = self._log_mass(entry, calendar, bins)
            if last is None:
                found = found + mass.logsumexp(-1)
            found = found + _chosen((mass + _labeled(own, bins)).log_softmax(-1), place)
            last = _chosen(mass, place)
        # Within the last bin dates are as frequent as in the base.
        return of_base if last is None else torch.where(is_inside, found - last, of_base)

    def _log_mass(self, entry: int, calendar: Calendar, bins: Bins) -> Tensor:
        r"""Return the log-probabilities of bins under the base, with shape (\*, m)."""
        # The cell of a date on a grid begins half a step before it.
        edges = calendar.first_on_grid(bins.edges) - 0.5 * calendar.step
        found = self.base.log_masses(entry, edges)
        return torch.where(bins.edges.diff(dim=-1) > 0, found, -inf)

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
        r"""Return draws of one column, given draws of the base, which tell the longest period.

        Arguments:
            t: The draws of the base, with shape (\*).
            entry: The place of the column.
            calendar: Its bins.
            logits: The logits of each of its cycles.
        """
        edges, is_inside = calendar.period_of(t)
        rest = iter(logits)

        def drawn(bins: Bins) -> Tensor:
            weights = self._log_mass(entry, calendar, bins) + _labeled(next(rest), bins)
            return Categorical(logits=weights, validate_args=False).sample()

        ends = edges[..., 0], edges[..., -1]
        for bins, place in calendar.divided(edges, drawn):
            ends = bins.interval(place)
        found = self._between(entry, calendar, *ends)
        return torch.where(is_inside, found, t)

    def _between(self, entry: int, calendar: Calendar, start: Tensor, end: Tensor) -> Tensor:
        r"""Return draws of the base from the dates between two, by bisection, with shape (\*)."""
        half = 0.5 * calendar.step
        start, end = (calendar.first_on_grid(each) - half for each in (start, end))

        def log_mass(high: Tensor) -> Tensor:
            return self.base.log_masses(entry, torch.stack([start, high], -1)).squeeze(-1)

        goal = log_mass(end) + torch.rand_like(start).log()
        low, high = start, end
        for _ in range(_N_HALVED):
            middle = 0.5 * (low + high)
            # Of an interval that has no more digits any end will do.
            is_below = (log_mass(middle) < goal) & (middle > start)
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        if not calendar.step:
            return low
        cell = (low / calendar.step).round() * calendar.step
        return torch.minimum(torch.maximum(cell, start + half), end - half)


_ON_GRID = 1e-3
"""The largest error, in steps, of an edge that is a date of the grid."""

_N_HALVED = 24
"""The number of times that an interval is halved: float32 has no more digits."""


def _chosen(values: Tensor, place: Tensor) -> Tensor:
    r"""Return the entries of values, with shape (\*, B), at places with shape (\*)."""
    shape = torch.broadcast_shapes(values.shape[:-1], place.shape)
    at = place.expand(shape).unsqueeze(-1)
    return values.expand(*shape, values.shape[-1]).gather(-1, at).squeeze(-1)


def _labeled(logits: Tensor, bins: Bins) -> Tensor:
    r"""Return the logits of bins, with shape (\*, m), of those of their labels."""
    if bins.labels.dim() == 1:
        return logits[..., bins.labels]
    shape = torch.broadcast_shapes(logits.shape[:-1], bins.labels.shape[:-1])
    return logits.expand(*shape, -1).gather(-1, bins.labels.expand(*shape, -1))
