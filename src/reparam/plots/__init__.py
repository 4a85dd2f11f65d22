"""Plots: loss curves, the latent space, clusters and comparisons.

Matplotlib is imported when a plot is drawn.
"""

from reparam.plots.clusters import member_rows, sample_rows
from reparam.plots.comparison import differences
from reparam.plots.curves import loss_curves
from reparam.plots.figure import COLORS, new_axes, new_figure, plot_format, save_figure
from reparam.plots.latents import kl_per_dimension, latent_scatter, quantile_grid

__all__ = [
    "COLORS",
    "differences",
    "kl_per_dimension",
    "latent_scatter",
    "loss_curves",
    "member_rows",
    "new_axes",
    "new_figure",
    "plot_format",
    "quantile_grid",
    "sample_rows",
    "save_figure",
]
