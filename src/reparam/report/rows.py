"""Sections of tables: columns of drawn rows, and their pairs, beside those of real rows."""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

import numpy as np

from reparam.evaluation.marginals import by_chance, distance, rank_correlations, shares
from reparam.plots.figure import COLORS, new_axes, new_figure
from reparam.report.columns import ShownColumn, Values, rows_of, shown_columns
from reparam.report.section import Section, details, svg, table
from reparam.report.view import View

N_DRAWN = 500
"""The smallest number of rows that are drawn."""

N_COLUMNS, N_PAIRS = 12, 15
"""The largest numbers of columns, and of pairs, that are shown, those that differ most first."""

MOST_LABELS, MOST_LETTERS = 9, 30
"""The largest number of classes that are named below their bars, and of letters of level names."""

MOST_PAIRED = 40
"""The largest number of columns whose pairs are compared, those that differ most."""


def marginals(view: View) -> Iterator[Section]:
    """Yield the columns that differ most, their distributions, and the pair correlations."""
    spec = view.run.spec
    if not view.generates or not spec.is_table:
        return
    real = view.shown.x
    drawn = view.sampled(max(len(real), N_DRAWN), mean=False)
    shown = shown_columns(view)
    columns = _columns(real.numpy()), _columns(drawn.numpy())
    sizes = [len(column.classes) for column in shown]
    apart = [distance(*each) for each in zip(*columns, sizes, strict=True)]
    chance = [by_chance(*each) for each in zip(*columns, sizes, strict=True)]
    order = sorted(range(len(shown)), key=lambda i: -apart[i])
    n_beyond = sum(d > c for d, c in zip(apart, chance, strict=True))
    rows = [
        (
            shown[i].name,
            f"{apart[i]:.3f}",
            f"{chance[i]:.3f}",
            *(_summary(values[i], shown[i]) for values in columns),
        )
        for i in order
    ]
    head = ("column", "distance", "by chance, up to", "real", "drawn")
    first = order[:N_COLUMNS]
    width = min(3, len(first))
    height = -(-len(first) // width)
    figure = new_figure(max(4.0, 3.4 * width), 2.3 * height + 0.4)
    for place, i in enumerate(first):
        axes = new_axes(figure, height, width, place + 1)
        _draw(axes, columns[0][i], columns[1][i], shown[i])
        axes.set_title(_plain(shown[i].name, 24), fontsize=11)
        axes.tick_params(labelsize=9)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=9)
    yield Section(
        "columns",
        "Columns",
        f"Drawn rows beside {len(real):,} {rows_of(view)}, the columns that differ most first. The "
        "distance is the largest difference of the two distribution functions, of classes half "
        "the sum of the differences of their shares: 0 is perfect, 1 is nothing in common. "
        f"{n_beyond} of {len(shown)} columns differ by more than two samples of one "
        "distribution do in 95 of 100 cases.",
        svg(figure, "Distributions of columns, real and drawn")
        + details("All columns", table(head, rows)),
    )
    paired = sorted(order[:MOST_PAIRED])
    names = [shown[i].name for i in paired]
    x, y = (values.double().numpy()[:, paired] for values in (real, drawn))
    yield from _correlations(names, x, y, len(shown))


def _correlations(
    names: Sequence[str], real: Values, drawn: Values, n_columns: int
) -> Iterator[Section]:
    if len(names) < 2:
        return
    found = [rank_correlations(x) for x in (real, drawn)]
    differences = np.nan_to_num(np.abs(found[0] - found[1]))
    figure = new_figure(9.5, 4.2)
    for place, (title, values) in enumerate(zip(("real", "drawn"), found, strict=True)):
        axes = new_axes(figure, 1, 2, place + 1)
        image = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu")
        axes.set_title(f"rank correlations, {title}")
        axes.grid(visible=False)
        if len(names) <= 20:
            short = [_plain(name, 12) for name in names]
            axes.set_xticks(range(len(names)), short, rotation=90, fontsize=8)
            axes.set_yticks(range(len(names)), short, fontsize=8)
    figure.colorbar(image, ax=figure.axes, shrink=0.8)
    of = "" if len(names) == n_columns else f" of the {len(names)} columns that differ most"
    yield Section(
        "correlations",
        "Pairs of columns",
        f"The two pictures{of} should look alike. {_worst(names, found, differences, len(real))}",
        svg(figure, "Rank correlations of pairs of columns, real and drawn")
        + details("The pairs that differ most", _pairs(names, found, differences)),
    )


def _worst(names: Sequence[str], found: Sequence[Values], differences: Values, n: int) -> str:
    """Return a sentence on the pair that differs most, with the error of the real rows."""
    i, j = divmod(int(differences.argmax()), len(names))
    if differences[i, j] == 0:
        return "No pair differs."
    error = (1 - found[0][i, j] ** 2) / sqrt(max(n - 1, 1))
    return (
        f"The largest difference is {differences[i, j]:.2f} ± {error:.2f}, of {names[i]} and "
        f"{names[j]}; the error is that of the correlation in {n:,} real rows."
    )


def _pairs(names: Sequence[str], found: Sequence[Values], differences: Values) -> str:
    """Return a table of the pairs that differ most."""
    above = np.triu(differences, 1)
    order = np.argsort(-above, axis=None)[:N_PAIRS]
    places = [divmod(int(k), len(names)) for k in order]
    rows = [
        (names[i], names[j], *(f"{values[i, j]:.2f}" for values in found))
        for i, j in places
        if above[i, j] > 0
    ]
    return table(("column", "and", "real", "drawn"), rows)


def _columns(x: Values) -> list[Values]:
    """Return the values of every column that are there."""
    return [values[~np.isnan(values)] for values in x.astype(np.float64).T]


def _summary(values: Values, column: ShownColumn) -> str:
    """Return the median and the middle 90 % of a quantity, or the most frequent classes."""
    if len(values) == 0:
        return "no values"
    if column.classes:
        places, n = np.unique(values, return_counts=True)
        top = sorted(zip(n, places, strict=True), reverse=True)[:3]
        return ", ".join(f"{column.text(k)} {100 * m / len(values):.0f} %" for m, k in top)
    low, middle, high = (column.text(v) for v in np.quantile(values, [0.05, 0.5, 0.95]))
    return f"{middle} ({low} to {high})"


def _plain(name: str, length: int) -> str:
    """Return a short name for a plot, in which a dollar sign begins no formula."""
    return name[:length].replace("$", r"\$")


def _draw(axes: Any, real: Values, drawn: Values, column: ShownColumn) -> None:
    """Draw two distributions of one column."""
    classes = column.classes
    if classes:
        places = np.arange(len(classes))
        sides = (("real", real, -0.2, COLORS[4]), ("drawn", drawn, 0.2, COLORS[0]))
        for label, values, shift, color in sides:
            axes.bar(places + shift, shares(values, len(classes)), 0.4, color=color, label=label)
        labeled = places[:: -(-len(places) // MOST_LABELS)]
        names = [_plain(classes[k], 8) for k in labeled]
        is_long = max(map(len, names)) * len(names) > MOST_LETTERS
        axes.set_xticks(labeled, names, rotation=45 if is_long else 0)
        return
    # matplotlib counts dates in days since 1970.
    days = [(x + column.origin) * column.seconds / 86_400 for x in (real, drawn)]
    if column.seconds and _has_calendar(np.concatenate(days)):
        import matplotlib.dates

        dates: Any = matplotlib.dates
        real, drawn = days
        locator = dates.AutoDateLocator(minticks=2, maxticks=5)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=True))
    elif column.seconds:
        axes.xaxis.set_major_formatter(lambda value, _: column.text(value)[:10])
        axes.locator_params(axis="x", nbins=2)
    elif column.origin:
        real, drawn = real + column.origin, drawn + column.origin
    edges, is_logarithmic = _edges(real if len(real) else drawn)
    if is_logarithmic and not column.seconds:
        axes.set_xscale("log")
    looks: tuple[dict[str, Any], ...] = (
        {"label": "real", "color": COLORS[4], "alpha": 0.7},
        {"label": "drawn", "color": COLORS[0], "histtype": "step"},
    )
    for values, look in zip((real, drawn), looks, strict=True):
        # Shares of all values: with a logarithmic axis the area of a bar is not its share.
        axes.hist(values, edges, weights=np.full(len(values), 1 / max(1, len(values))), **look)
    axes.set_yticks([])


def _has_calendar(days: Values) -> bool:
    """Return whether days since 1970 are in the years 100 to 9900, as an axis of dates needs.

    >>> _has_calendar(np.array([0.0, 19_000.0])), _has_calendar(np.array([2_932_896.0]))
    (True, False)
    """
    return bool(((days > -683_000) & (days < 2_896_000)).all())


def _edges(values: Values) -> tuple[Values, bool]:
    """Return the edges of the bars of a quantity, without its outer 1 %, and whether they grow.

    They grow by equal factors where the values are positive and span three orders of magnitude.
    """
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    if low > 0 and high > 1000 * low:
        return np.geomspace(low, high, 31), True
    return np.linspace(low, high if high > low else low + 1, 31), False
