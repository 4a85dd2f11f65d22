"""Plots: loss curves, the latent space, clusters and comparisons."""

from typing import TYPE_CHECKING

from reparam.utils.lazy import lazy

if TYPE_CHECKING:
    from reparam.plots.clusters import member_rows as member_rows
    from reparam.plots.clusters import sample_rows as sample_rows
    from reparam.plots.comparison import differences as differences
    from reparam.plots.curves import loss_curves as loss_curves
    from reparam.plots.figure import COLORS as COLORS
    from reparam.plots.figure import new_axes as new_axes
    from reparam.plots.figure import new_figure as new_figure
    from reparam.plots.figure import plot_format as plot_format
    from reparam.plots.figure import save_figure as save_figure
    from reparam.plots.latents import kl_per_dimension as kl_per_dimension
    from reparam.plots.latents import latent_scatter as latent_scatter
    from reparam.plots.latents import quantile_grid as quantile_grid

# Matplotlib is imported when a plot is drawn.
_NAMES = {
    "clusters": ("member_rows", "sample_rows"),
    "comparison": ("differences",),
    "curves": ("loss_curves",),
    "figure": ("COLORS", "new_axes", "new_figure", "plot_format", "save_figure"),
    "latents": ("kl_per_dimension", "latent_scatter", "quantile_grid"),
}
_WHERE = {name: f"reparam.plots.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [*_WHERE]
__getattr__ = lazy("reparam.plots", _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
