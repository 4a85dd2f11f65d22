"""Sections of tables and counts: columns of drawn rows beside those of real rows."""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp, rankdata

from reparam.plots.figure import COLORS, new_axes, new_figure
from reparam.report.section import Section, svg, table
from reparam.report.view import View

N_COLUMNS = 12
"""The largest number of columns that are drawn, those that differ most first."""

MOST_PAIRED = 60
"""The largest number of columns whose pairs are compared."""

Values = NDArray[Any]


def marginals(view: View) -> Iterator[Section]:
    """Yield the columns that differ most, their distributions, and the pair correlations."""
    spec = view.run.spec
    if not view.generates or not spec.is_table:
        return
    real = view.held.x
    drawn = view.sampled(max(len(real), 500), mean=False)
    names = names_of(view)
    columns = _columns(real.numpy()), _columns(drawn.numpy())
    distance = [_distance(*pair) for pair in zip(*columns, strict=True)]
    order = sorted(range(len(names)), key=lambda i: -distance[i])
    rows = [
        (names[i], f"{distance[i]:.3f}", _summary(columns[0][i]), _summary(columns[1][i]))
        for i in order
    ]
    head = ("column", "distance", "real", "drawn")
    shown = order[:N_COLUMNS]
    width = min(4, len(shown))
    height = -(-len(shown) // width)
    figure = new_figure(2.9 * width, 2.2 * height + 0.4)
    for place, i in enumerate(shown):
        axes = new_axes(figure, height, width, place + 1)
        _draw(axes, columns[0][i], columns[1][i], _classes(view, i))
        axes.set_title(names[i][:24], fontsize=9)
        axes.tick_params(labelsize=7)
    yield Section(
        "columns",
        "Columns",
        "Drawn rows beside rows that training did not see. The distance is the largest difference "
        "of the two distribution functions (of classes: half the sum of the differences): 0 is "
        "perfect, 1 is nothing in common.",
        svg(figure, "Distributions of columns, real and drawn")
        + f"<details><summary>All columns</summary>{table(head, rows)}</details>",
    )
    yield from _correlations(names, real.double().numpy(), drawn.double().numpy())


def _correlations(names: Sequence[str], real: Values, drawn: Values) -> Iterator[Section]:
    if not 2 <= len(names) <= MOST_PAIRED:
        return
    found = [_correlation(x) for x in (real, drawn)]
    differences = np.abs(found[0] - found[1])
    worst = float(differences[np.isfinite(differences)].max(initial=0.0))
    figure = new_figure(9.5, 4.2)
    for place, (title, values) in enumerate(zip(("real", "drawn"), found, strict=True)):
        axes = new_axes(figure, 1, 2, place + 1)
        image = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu")
        axes.set_title(f"rank correlations, {title}")
        axes.grid(visible=False)
        if len(names) <= 20:
            axes.set_xticks(range(len(names)), [n[:12] for n in names], rotation=90, fontsize=7)
            axes.set_yticks(range(len(names)), [n[:12] for n in names], fontsize=7)
    figure.colorbar(image, ax=figure.axes, shrink=0.8)
    yield Section(
        "correlations",
        "Pairs of columns",
        f"The two pictures should look alike. The largest difference of a pair is {worst:.2f}.",
        svg(figure, "Rank correlations of pairs of columns, real and drawn"),
    )


def counts(view: View) -> Iterator[Section]:
    """Yield the zeros and the dispersion of every entry, real and drawn."""
    if not view.generates or view.run.spec.support != "counts":
        return
    real = view.held.x.flatten(1).double()
    drawn = view.sampled(len(real), mean=False).flatten(1).double()
    figure = new_figure(9.0, 4.0)
    for place, (title, function) in enumerate(
        (("share of zeros", _zeros), ("log10 variance", _log_variance))
    ):
        axes = new_axes(figure, 1, 2, place + 1)
        x, y = (function(values).numpy() for values in (real, drawn))
        axes.plot(x, y, ".", color=COLORS[0], markersize=3, alpha=0.5)
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        axes.plot([low, high], [low, high], color=COLORS[-1], linewidth=1)
        axes.set_xlabel(f"{title}, real")
        axes.set_ylabel(f"{title}, drawn")
    yield Section(
        "counts",
        "Zeros and dispersion",
        "A point for each entry. On the line, drawn counts have as many zeros, and vary as much, "
        "as real ones.",
        svg(figure, "Zeros and variances of counts, real and drawn"),
    )


def _zeros(values: torch.Tensor) -> torch.Tensor:
    return (values == 0).double().mean(0)


def _log_variance(values: torch.Tensor) -> torch.Tensor:
    return values.var(0).clamp(min=1e-6).log10()


def names_of(view: View) -> list[str]:
    """Return the names of the columns of x."""
    spec = view.run.spec
    if spec.schema is not None:
        return [column.name for column in spec.schema.features]
    return list(spec.columns) or [f"column {i}" for i in range(spec.dim)]


def _classes(view: View, i: int) -> tuple[str, ...]:
    """Return the names of the classes of a column; none for a quantity."""
    schema = view.run.spec.schema
    column = None if schema is None else schema.features[i]
    return () if column is None or not column.n_values else tuple(map(str, column.values))


def _columns(x: Values) -> list[Values]:
    """Return the values of every column that are there."""
    return [values[~np.isnan(values)] for values in x.astype(np.float64).T]


def _distance(real: Values, drawn: Values) -> float:
    if len(real) == 0 or len(drawn) == 0:
        return 0.0 if len(real) == len(drawn) else 1.0
    return float(ks_2samp(real, drawn).statistic)


def _summary(values: Values) -> str:
    if len(values) == 0:
        return "no values"
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _correlation(x: Values) -> Values:
    """Return the rank correlations of pairs of columns, over the rows that have both values.

    NaN stands for a pair with a column that is constant in these rows.
    """
    n = x.shape[1]
    found = np.full((n, n), np.nan)
    for i, j in combinations_with_replacement(range(n), 2):
        both = x[~np.isnan(x[:, [i, j]]).any(1)][:, [i, j]]
        if len(both) > 1 and (np.ptp(both, 0) > 0).all():
            found[i, j] = found[j, i] = np.corrcoef(rankdata(both, axis=0).T)[0, 1]
    return found


def _draw(axes: Any, real: Values, drawn: Values, classes: Sequence[str]) -> None:
    """Draw two distributions of one column."""
    if classes:
        places = np.arange(len(classes))
        for values, shift, color in ((real, -0.2, COLORS[4]), (drawn, 0.2, COLORS[0])):
            share = np.bincount(values.astype(int), minlength=len(classes)) / max(1, len(values))
            axes.bar(places + shift, share[: len(classes)], 0.4, color=color)
        if len(classes) <= 8:
            axes.set_xticks(places, [name[:8] for name in classes], rotation=45)
        return
    both = np.concatenate([real, drawn])
    low, high = np.quantile(both, [0.005, 0.995]) if len(both) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 31)
    axes.hist(real, edges, density=True, color=COLORS[4], alpha=0.7, label="real")
    axes.hist(drawn, edges, density=True, histtype="step", color=COLORS[0], label="drawn")
    axes.set_yticks([])
    axes.legend(fontsize=6, frameon=False)
