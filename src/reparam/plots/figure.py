"""The style of all plots, and files of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reparam.pictures import picture_format
from reparam.utils.files import as_path, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The "muted" scheme of Paul Tol, which the color-blind can tell apart, and black.
COLORS = (
    *("#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE"),
    *("#882255", "#44AA99", "#999933", "#AA4499", "#000000"),
)
SAMPLED = (0.28, 0.85)
"""The part of the color map of many classes that can be seen on white and on black."""

_FORMATS = ("png", "pdf", "svg", "jpg", "jpeg", "webp")


def class_colors(n: int, few: Sequence[str] = COLORS) -> list[str]:
    """Return a color for each of n classes; no two are equal up to 140 classes.

    They are the colors of few classes; up to 20 those of matplotlib's ``tab20``; and for more
    samples of a perceptual color map, in the order of the classes.

    Arguments:
        n: The number of classes.
        few: The colors of few classes.

    Example:
        >>> class_colors(2), class_colors(11)[:2], len(set(class_colors(100)))
        (['#332288', '#CC6677'], ['#1f77b4', '#aec7e8'], 100)
    """
    if n <= len(few):
        return list(few[:n])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    many = colormaps["tab20"]
    if n <= many.N:
        return [to_hex(many(i)) for i in range(n)]
    return [to_hex(colormaps["plasma"](place)) for place in np.linspace(*SAMPLED, n)]


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches."""
    # Not pyplot: it keeps every figure, looks for a screen, and takes long to import.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def new_axes(figure: "Figure", *place: int) -> "Axes":
    """Return axes at a place of a figure's grid, in the style of all plots."""
    # Set on the axes one by one: matplotlib's settings are the whole process's, not ours.
    axes = figure.add_subplot(*place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    return axes


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a plot, whole or not at all; missing folders are made.

    Arguments:
        figure: The plot.
        path: The file; its ending gives the format.

    Raises:
        OptionError: An ending that is no format of pictures.
        RunError: The file cannot be written, as on a full disk.
    """
    path = as_path(path)
    kind = plot_format(path)
    write_whole(path, lambda file: figure.savefig(file, format=kind))


def plot_format(path: Path) -> str:
    """Return the format that the ending of a plot's file names.

    Raises:
        OptionError: An ending that is no format of pictures.

    Example:
        >>> plot_format(Path("comparison.pdf"))
        'pdf'
    """
    return picture_format(path, _FORMATS)
