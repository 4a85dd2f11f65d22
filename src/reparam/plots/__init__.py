"""Plots: loss curves, the latent space, clusters and comparisons."""

from typing import TYPE_CHECKING

from reparam.utils.lazy import lazy

if TYPE_CHECKING:
    from reparam.plots.clusters import member_rows as member_rows
    from reparam.plots.clusters import sample_rows as sample_rows
    from reparam.plots.comparison import differences as differences
    from reparam.plots.plots import kl_per_dimension as kl_per_dimension
    from reparam.plots.plots import latent_scatter as latent_scatter
    from reparam.plots.plots import loss_curves as loss_curves
    from reparam.plots.plots import quantile_grid as quantile_grid
    from reparam.plots.plots import save_figure as save_figure

# Matplotlib is imported when a plot is drawn.
_WHERE = {
    name: f"reparam.plots.{module}"
    for module, names in {
        "clusters": ("member_rows", "sample_rows"),
        "comparison": ("differences",),
        "plots": (
            "kl_per_dimension",
            "latent_scatter",
            "loss_curves",
            "quantile_grid",
            "save_figure",
        ),
    }.items()
    for name in names
}

__all__ = [*_WHERE]
__getattr__ = lazy("reparam.plots", _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
