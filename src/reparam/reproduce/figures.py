"""How the figures of the ledger look: as the plots of a report do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from reparam.batch import Batch
from reparam.pictures import grid
from reparam.plots import new_axes, new_figure
from reparam.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def picture_axes(axes: "Axes", images: Tensor, title: str, n_columns: int | None = None) -> None:
    """Show images with shape (N, C, H, W) as a grid, under a title."""
    shown = np.asarray(grid(images, n_columns=n_columns))
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def pictures(panels: Sequence[tuple[str, Tensor]], n_columns: int = 8) -> "Figure":
    """Return grids of images side by side, each under its title.

    Arguments:
        panels: Titles, and images with shape (N, C, H, W).
        n_columns: Images in a row of each grid.

    Example:
        >>> import torch
        >>> len(pictures([("noise", torch.rand(16, 1, 8, 8))], n_columns=4).axes)
        1
    """
    figure = new_figure(4.0 * len(panels), 4.3)
    for i, (title, images) in enumerate(panels):
        picture_axes(new_axes(figure, 1, len(panels), i + 1), images, title, n_columns)
    return figure


def seen(run: Run, images: Batch, seed: int) -> "Figure":
    """Return test images, their reconstructions and samples of a run, side by side.

    Arguments:
        run: The run.
        images: The test images to show.
        seed: Of the samples, which are as many.
    """
    return pictures(
        [
            ("test images", images.x),
            ("reconstructions", run.reconstruct(images)),
            ("samples from the prior", run.sample(len(images), seed=seed, mean=True)),
        ]
    )
