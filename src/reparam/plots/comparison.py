"""A picture of a comparison: differences with error bars."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reparam.errors import DataError
from reparam.evaluation.figure import Difference, formatted
from reparam.evaluation.metric import compared
from reparam.plots.figure import COLORS, class_colors, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def differences(found: Sequence[Difference], reference: str) -> "Figure":
    """Plot the differences of figures to those of a reference, each with its 95 % interval.

    Where there are seeds, a thin bar is of both errors together, a thick one of that over test
    points alone. A difference whose bar does not reach zero has a filled point, unless
    the two have log-probabilities of different things.

    Arguments:
        found: The differences, one for each model.
        reference: The name of the reference.

    Raises:
        DataError: Nothing was compared.

    Example:
        >>> from reparam.evaluation import Figure
        >>> differences([Difference("b", {"elbo": Figure(1.0, 0.3)})], "a").axes[0].get_title()
        'elbo'
    """
    names = [name for name in compared() if any(name in one.figures for one in found)]
    if not names:
        raise DataError("no difference to draw: compare two runs or more that have one")
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(3.8 * columns + 1.2, (1.3 + 0.4 * len(found)) * rows + 0.4)
    colors = class_colors(len(found), COLORS[:-1])
    for i, name in enumerate(names):
        axes = new_axes(figure, rows, columns, i + 1)
        axes.axvline(0.0, color=COLORS[-1], linewidth=1.0)
        for place, one in enumerate(found):
            d = one.figures.get(name)
            if d is None:
                continue
            color = colors[place]
            bars = [(d.margin, 1.2)]
            if d.stderr_seeds is not None:
                bars.append((replace(d, stderr_seeds=None).margin, 4.0))
            for margin, width in bars:
                if margin is not None:
                    ends = [d.value - margin, d.value + margin]
                    axes.plot(ends, [place, place], color=color, linewidth=width)
            face = color if name in one.clear else "white"
            look: dict[str, Any] = {"color": color, "markerfacecolor": face, "markersize": 5}
            axes.plot([d.value], [place], "o", zorder=3, **look)
            text = " ".join(formatted(d.value, d.margin)).strip()
            axes.text(d.value, place - 0.15, text, ha="center", va="bottom", fontsize=8)
        labels = [one.name for one in found] if i % columns == 0 else [""] * len(found)
        axes.set_yticks(range(len(found)), labels)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.margins(x=0.15)  # for the numbers at the ends
        axes.set_title(name.replace("_", "-"))
        axes.set_xlabel("nats per example")
        axes.locator_params(axis="x", nbins=6)
    figure.suptitle(f"Difference to {reference}, with its 95 % interval", fontsize=11)
    return figure
