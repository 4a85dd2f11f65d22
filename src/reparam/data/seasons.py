"""Which cycles of dates a table varies with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.cycles import N_BINS, Cycle, places_in, regular_periods
from reparam.data.columns import ROWS_PER_CLASS
from reparam.data.tables import Table, codes_of
from reparam.schema import Schema, missing_in

N_TESTED, MOST_TESTED = 20_000, 50
"""The largest numbers of rows and of columns by which the cycles of dates are chosen."""

LEVEL = 1e-3
"""The probability by chance, over all columns, below which dates have a cycle."""

FEW_PERIODS, FEW_LEVEL = 4, 0.01
"""The number of periods below which the probability is the second number: two years of the same
order have 0.002."""


def with_seasons(schema: Schema, table: Table) -> Schema:
    """Return a schema in which dates have those cycles alone that the table varies with.

    A cycle stays where some of its bins are more frequent than others, or where another column
    differs between them. Others cost time and rows, and say nothing.

    Arguments:
        schema: The schema.
        table: The table.

    References:
        Kruskal & Wallis, Journal of the American Statistical Association 1952.
        Friedman, Journal of the American Statistical Association 1937.
    """
    dates = [column for column in schema.features if column.cycles]
    if not dates:
        return schema
    # At random: every sixth of hourly rows would be of four hours.
    n, rng = len(table), np.random.default_rng(0)
    rows = np.arange(n) if n <= N_TESTED else np.sort(rng.choice(n, N_TESTED, replace=False))
    tested = [column.name for column in schema.features if column.kind != "date"][:MOST_TESTED]
    others = [
        (codes_of(table.columns[name][rows]), table.columns[name].dtype.kind == "O")
        for name in tested
    ]
    changes = {}
    for column in dates:
        moments = table.columns[column.name][rows]
        there = ~missing_in(moments)
        if there.sum() < ROWS_PER_CLASS:
            continue
        seconds = column.shown(moments[there]).astype(np.int64) / 1e6
        seen = [(codes[there], is_text) for codes, is_text in others]
        kept = [cycle for cycle in column.cycles if _varies(cycle, seconds, seen)]
        # Those between two that stay divide the bins of the longer one.
        places = [i for i, cycle in enumerate(column.cycles) if cycle in kept]
        cycles = column.cycles[places[0] : places[-1] + 1] if kept else ()
        changes[column.name] = replace(column, cycles=cycles, step=column.step if kept else 0.0)
    return schema.with_columns(changes)


def _varies(
    cycle: Cycle, seconds: NDArray[Any], others: Sequence[tuple[NDArray[np.int64], bool]]
) -> bool:
    """Return whether the bins of a cycle have other frequencies, or other rows.

    Arguments:
        cycle: The cycle.
        seconds: The dates, in seconds from 1970, with shape (N,).
        others: The numbers of the values of other columns, -1 for missing ones, with shape (N,),
            and whether they are text.
    """
    if cycle in ("month", "month end"):  # few days of the month are what makes them one
        return True
    places, limit = places_in(cycle, seconds), LEVEL / (1 + len(others))
    return _frequencies_differ(cycle, seconds, places) < limit or any(
        _differs(cycle, seconds, places, codes, is_text, limit) for codes, is_text in others
    )


def _frequencies_differ(cycle: Cycle, seconds: NDArray[Any], places: NDArray[np.int64]) -> float:
    """Return the probability that the bins of a cycle have such frequencies by chance.

    Arguments:
        cycle: The cycle.
        seconds: The dates, in seconds from 1970, with shape (N,).
        places: The bin of each, with shape (N,).
    """
    from scipy.stats import chisquare

    counts, share = np.bincount(places, minlength=N_BINS[cycle]), np.ones(N_BINS[cycle])
    if cycle == "year":
        # The first and the last year are parts of one.
        span = np.linspace(seconds.min(), seconds.max(), 100 * N_BINS[cycle])
        share = np.bincount(places_in(cycle, span), minlength=N_BINS[cycle]).astype(float)
    exists = share > 0
    expected = share[exists] / share[exists].sum() * counts[exists].sum()
    return float(chisquare(counts[exists], expected).pvalue)


def _differs(
    cycle: Cycle,
    seconds: NDArray[Any],
    places: NDArray[np.int64],
    codes: NDArray[np.int64],
    is_text: bool,
    limit: float,
) -> bool:
    """Return whether a column differs between bins by more than chance makes it.

    A quantity of a regular series, which changes slowly, differs within any one period. So the test
    is whether its bins have the same order in all periods; that of other rows takes them as
    independent.

    Arguments:
        cycle: The cycle.
        seconds: The dates, in seconds from 1970, with shape (N,).
        places: The bin of each, with shape (N,).
        codes: The numbers of the values of the column, -1 for missing ones, with shape (N,).
        is_text: Whether the values are text, whose order means nothing.
        limit: The probability by chance; of two or three periods, which say less, another one.

    References:
        Friedman, Journal of the American Statistical Association 1937.
    """
    from scipy.stats import chi2_contingency, friedmanchisquare, kruskal

    there = codes >= 0
    seconds, places, codes = seconds[there], places[there], codes[there]
    if len(np.unique(codes)) < 2 or len(np.unique(places)) < 2:
        return False
    if is_text:
        counts = np.zeros((places.max() + 1, codes.max() + 1))
        np.add.at(counts, (places, codes), 1)
        counts = counts[counts.sum(1) > 0]
        return bool(chi2_contingency(counts[:, counts.sum(0) > 0]).pvalue < limit)
    if cycle in ("year", "week", "day"):
        blocks = _blocks(cycle, seconds, places, codes)
        if blocks.size:
            limit = limit if len(blocks) >= FEW_PERIODS else FEW_LEVEL
            return bool(friedmanchisquare(*blocks.T).pvalue < limit)
    return bool(kruskal(*(codes[places == place] for place in np.unique(places))).pvalue < limit)


def _blocks(
    cycle: Cycle, seconds: NDArray[Any], places: NDArray[np.int64], codes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the mean of a quantity in each bin of each period, with shape (P, B).

    They are those of periods that have all bins, and none where these are few.

    Arguments:
        cycle: The cycle.
        seconds: The dates, in seconds from 1970, with shape (N,).
        places: The bin of each row, with shape (N,).
        codes: The quantity in the order of its values, with shape (N,).
    """
    if cycle == "year":
        period = seconds.astype("datetime64[s]").astype("datetime64[Y]").astype(int)
    else:
        start, length = regular_periods(cycle)
        period = np.floor((seconds - start) / length).astype(int)
    bins, at = np.unique(places, return_inverse=True)
    period -= period.min()
    sums, counts = np.zeros((2, period.max() + 1, len(bins)))
    np.add.at(sums, (period, at), codes)
    np.add.at(counts, (period, at), 1)
    whole = (counts > 0).all(1)
    seen = (counts > 0).any(1).sum()
    if len(bins) < 3 or whole.sum() < 2 or 2 * whole.sum() < seen:
        return np.zeros((0, len(bins)))
    return np.asarray(sums[whole] / counts[whole])
