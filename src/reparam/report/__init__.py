"""Reports: what a model has learned, as pictures and plots."""

from reparam.report.pictures import check_picturable, grid, is_picturable, save, side_by_side
from reparam.report.plots import (
    kl_per_dimension,
    latent_scatter,
    loss_curves,
    quantile_grid,
    save_figure,
)

__all__ = [
    "check_picturable",
    "grid",
    "is_picturable",
    "kl_per_dimension",
    "latent_scatter",
    "loss_curves",
    "quantile_grid",
    "save",
    "save_figure",
    "side_by_side",
]
