"""Plots and grids of images, in one style."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import reparam as rp
from reparam.pictures import grid

COLORS = ("#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#999933")
"""The scheme "muted" of Paul Tol, whose colors are distinct with color blindness, too."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    # Not pyplot, which keeps every figure and needs a screen.
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def new_axes(figure: Figure, *place: int) -> Axes:
    """Return axes at a place of the grid of a figure."""
    axes = figure.add_subplot(*place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    return axes


def picture_axes(axes: Axes, images: Tensor, title: str, n_columns: int | None = None) -> None:
    """Show images with shape (N, C, H, W) as a grid, with a title."""
    shown = np.asarray(grid(images, n_columns=n_columns))
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def pictures(panels: Mapping[str, Tensor], n_columns: int = 8) -> Figure:
    """Return grids of images side by side, each with a title.

    Arguments:
        panels: Images with shape (N, C, H, W), by their titles.
        n_columns: Images in a row of each grid.

    Example:
        >>> import torch
        >>> len(pictures({"noise": torch.rand(16, 1, 8, 8)}, n_columns=4).axes)
        1
    """
    figure = new_figure(4.0 * len(panels), 4.3)
    for i, (title, images) in enumerate(panels.items()):
        picture_axes(new_axes(figure, 1, len(panels), i + 1), images, title, n_columns)
    return figure


def samples(runs: Mapping[str, rp.Run], seed: int) -> Figure:
    """Return 64 samples from the prior of each run, side by side."""
    return pictures({name: run.sample(64, seed=seed, mean=True) for name, run in runs.items()})


def reconstructions(run: rp.Run, images: rp.Batch, seed: int) -> Figure:
    """Return images, their reconstructions, and as many samples of a run, side by side."""
    panels = {
        "test images": images.x,
        "reconstructions": run.reconstruct(images),
        "samples from the prior": run.sample(len(images), seed=seed, mean=True),
    }
    return pictures({title: shown.clamp(0, 1) for title, shown in panels.items()})


def losses(
    runs: Mapping[str, rp.Run],
    *,
    test: Mapping[str, float | None] | None = None,
    constant: float = 0.0,
    factor: float = 1.0,
    unit: str = "nats per image",
) -> Figure:
    """Return the training losses of runs by epoch, with their test losses.

    Arguments:
        runs: The runs by name.
        test: The ELBO of each on the test images, in nats.
        constant: Subtracted from every loss, in nats.
        factor: Every loss is then multiplied by it.
        unit: The unit after that.
    """
    figure = new_figure(7.2, 4.6)
    axes = new_axes(figure)
    lows: list[float] = []
    highs: list[float] = []
    for (name, run), color in zip(runs.items(), COLORS, strict=False):
        points = [(epoch, factor * (loss - constant)) for epoch, loss in training_losses(run.rows)]
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, color=color, linewidth=1.3, label=name)
        elbo = None if test is None else test[name]
        if elbo is not None:
            at_end = factor * (-elbo - constant)
            label = f"{name}: test, {at_end:.1f}"
            axes.plot([epochs[-1]], [at_end], "D", color=color, markersize=7, label=label)
            lows.append(at_end)
        lows.append(min(values))
        # The first steps are far above the others.
        highs.append(max(values[len(values) // 10 :]))
    if lows:
        margin = 0.05 * (max(highs) - min(lows)) or 1.0
        axes.set_ylim(min(lows) - margin, max(*highs, *lows) + margin)
    axes.set(
        xlabel="epoch",
        ylabel=f"loss, {unit} (lower is better)",
        title="Loss while training" + (", and on the test images at the end" if test else ""),
    )
    axes.legend(loc="upper right")
    return figure


def training_losses(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return (epoch, loss) of every full window of training steps.

    >>> row = {"split": "train", "epoch": 0, "elbo": -100.0}
    >>> training_losses([row | {"step": 50}, row | {"step": 100}, row | {"step": 104}])
    [(0.4807692307692308, 100.0), (0.9615384615384616, 100.0)]
    """
    mine = [row for row in rows if row.get("split") == "train" and "elbo" in row]
    steps = [0, *(row["step"] for row in mine)]
    lengths = [last - first for first, last in pairwise(steps)]
    an_epoch = max((row["step"] / (row["epoch"] + 1) for row in mine), default=1.0)
    # The last window of an epoch may have few batches, whose mean is mostly noise.
    return [
        (row["step"] / an_epoch, -row["elbo"])
        for row, length in zip(mine, lengths, strict=True)
        if isfinite(row["elbo"]) and 2 * length > max(lengths)
    ]
