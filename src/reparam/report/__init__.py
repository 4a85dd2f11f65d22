"""Reports: what a model has learned, as pictures (``pictures``) and plots (``plots``)."""

from typing import TYPE_CHECKING

from reparam.lazy import lazy

if TYPE_CHECKING:
    from reparam.report.clusters import member_rows as member_rows
    from reparam.report.clusters import sample_rows as sample_rows
    from reparam.report.comparison import differences as differences
    from reparam.report.pictures import grid as grid
    from reparam.report.pictures import save as save
    from reparam.report.pictures import side_by_side as side_by_side
    from reparam.report.plots import kl_per_dimension as kl_per_dimension
    from reparam.report.plots import latent_scatter as latent_scatter
    from reparam.report.plots import loss_curves as loss_curves
    from reparam.report.plots import quantile_grid as quantile_grid
    from reparam.report.plots import save_figure as save_figure

# Training draws pictures, and is not to wait for what plots and evaluation import.
_WHERE = {
    name: f"reparam.report.{module}"
    for module, names in {
        "clusters": ("member_rows", "sample_rows"),
        "comparison": ("differences",),
        "pictures": ("grid", "save", "side_by_side"),
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
__getattr__ = lazy("reparam.report", _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
