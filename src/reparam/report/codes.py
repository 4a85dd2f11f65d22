"""Sections on the codes of rows: what they keep, what single dimensions do, and walks."""

from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np
from scipy.stats import spearmanr

from reparam.evaluation.latents.activity import interpolate
from reparam.plots.figure import new_axes, new_figure
from reparam.report.columns import (
    ShownColumn,
    Values,
    explained_columns,
    rows_of,
    shown_columns,
)
from reparam.report.images import N_DIMENSIONS, REACH, traversal
from reparam.report.section import Section, details, svg, table
from reparam.report.view import View

N_STEPS, N_ROWS, N_COLUMNS = 6, 4, 12
"""The numbers of points of the walk, of rows beside their reconstructions, and of columns."""

MOST_COLUMNS = 30
"""The largest number of columns whose changes are drawn."""


def reconstructed_rows(view: View) -> Iterator[Section]:
    """Yield how well each column is kept by the code, and rows beside their reconstructions."""
    codes, examples = view.codes, view.shown
    if codes is None or not view.run.spec.has_rows or len(codes) < 3:
        return
    columns = shown_columns(view)
    real = examples.x.double().numpy()
    made = view.decoded(codes, examples.c).double().numpy()
    kept = [_kept(real[:, i], made[:, i], column) for i, column in enumerate(columns)]
    order = sorted(range(len(columns)), key=lambda i: -kept[i][0])
    rows = [(columns[i].name, kept[i][1]) for i in order]
    shown = sorted(explained_columns(view, codes, examples.c)[:N_COLUMNS])
    lines = []
    for before, after in zip(real[:N_ROWS], made[:N_ROWS], strict=False):
        for name, x in (("row", before), ("reconstruction", after)):
            lines.append((name, *(columns[i].text(x[i]) for i in shown)))
    head = ("", *(columns[i].name for i in shown))
    yield Section(
        "reconstructions",
        "What the code keeps",
        f"Of {len(real):,} {rows_of(view)}: the rank correlation of a quantity with what the "
        "decoder makes of the row's code, and the share of classes that are right, with standard "
        "errors. "
        "What is near 0, or no better than the most frequent class, is not in the code.",
        table(("column", "kept"), rows[:N_COLUMNS])
        + (details("All columns", table(("column", "kept"), rows)) if len(rows) > N_COLUMNS else "")
        + details("Rows, each above its reconstruction", table(head, lines)),
    )


def _kept(real: Values, made: Values, column: ShownColumn) -> tuple[float, str]:
    """Return how well a column is kept, and the same in words."""
    there = ~np.isnan(real)
    x, y, n = real[there], made[there], int(there.sum())
    if n < 3:
        return -1.0, "too few values"
    if column.classes:
        right = float((x == y).mean())
        most = float(np.unique(x, return_counts=True)[1].max() / n)
        error = sqrt(right * (1 - right) / n)
        text = f"{100 * right:.0f} ± {100 * error:.0f} % right"
        text += f" (most frequent class: {100 * most:.0f} %)"
        return (right - most) / max(1 - most, 1e-9), text
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, "constant" if np.ptp(x) == 0 else "0: its reconstruction is constant"
    r = float(spearmanr(x, y).statistic)
    return r, f"{r:.2f} ± {(1 - r**2) / sqrt(n - 1):.2f}"


def effects(view: View) -> Iterator[Section]:
    """Yield how much single dimensions change each column, and a walk between two rows."""
    codes, examples = view.codes, view.shown
    if codes is None or not view.run.spec.has_rows or not view.reconstructs:
        return
    order = view.active[:N_DIMENSIONS]
    places = sorted(explained_columns(view, codes, examples.c)[:MOST_COLUMNS])
    columns = shown_columns(view, places)
    z, c = traversal(view, codes, order, 2)
    ends = (
        view.decoded(z.flatten(0, 1), c).double()[:, places].unflatten(0, (len(order), 2)).numpy()
    )
    scale = np.nanstd(examples.x.double().numpy()[:, places], 0)
    change = (ends[:, 1] - ends[:, 0]) / np.maximum(scale, 1e-9)
    shares = view.class_probabilities(z.flatten(0, 1), c)
    for i, place in enumerate(places):
        if place in shares:
            first, last = shares[place].unflatten(0, (len(order), 2)).unbind(1)
            change[:, i] = 0.5 * (last - first).abs().sum(-1).numpy()
    given = "" if c is None else " The condition is that of the example nearest to the mean code."
    yield Section(
        "traversals",
        "What single dimensions do",
        f"The change of each column, in its standard deviations, from -{REACH} to {REACH} standard "
        "deviations of one dimension of the mean code; of classes, half the sum of the changes of "
        f"their probabilities. A row of white is a dimension that changes nothing.{given}",
        _heatmap(change, [f"z{j}" for j in order], [column.name for column in columns]),
    )
    places = places[:N_COLUMNS]
    columns = columns[:N_COLUMNS]
    c = None if examples.c is None else examples.c[:1].expand(N_STEPS, -1)
    walk = view.decoded(interpolate(codes[:1], codes[1:2], N_STEPS)[0], c).double().numpy()
    rows = [
        (f"{100 * k / (N_STEPS - 1):.0f} %", *(one.text(x[one.place]) for one in columns))
        for k, x in enumerate(walk)
    ]
    given = "" if c is None else " The condition is that of the first row."
    yield Section(
        "interpolations",
        "From one row to another",
        "The decoded points of the straight line between the codes of two rows. In a good latent "
        f"space each is a row that the data could have.{given}",
        table(("way", *(column.name for column in columns)), rows),
    )


def _heatmap(change: Values, dimensions: Sequence[str], names: Sequence[str]) -> str:
    """Return a picture of changes, with shape (dimensions, columns)."""
    figure = new_figure(max(5.0, min(11.0, 2.0 + 0.45 * len(names))), 1.8 + 0.32 * len(dimensions))
    axes = new_axes(figure)
    most = max(0.25, float(np.nanmax(np.abs(change), initial=0.0)))
    image = axes.imshow(change, vmin=-most, vmax=most, cmap="RdBu", aspect="auto")
    short = [name[:14].replace("$", r"\$") for name in names]
    axes.set_xticks(range(len(names)), short, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(dimensions)), dimensions, fontsize=8)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, shrink=0.9)
    return svg(figure, "Changes of columns by single latent dimensions")
