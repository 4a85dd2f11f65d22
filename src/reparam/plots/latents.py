"""Plots of the latent space: codes by class, decoded quantiles, the KL of each dimension."""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reparam.errors import DataError, OptionError, ShapeError
from reparam.evaluation.latents.activity import ACTIVE_VARIANCE, principal_components
from reparam.pictures import grid
from reparam.plots.figure import COLORS, class_colors, new_axes, new_figure
from reparam.utils.arguments import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

UNUSED_NATS = ACTIVE_VARIANCE / 2
"""Under a standard normal prior KL_j ≥ ½ Var_x(E_q[z_j]): with less, a dimension is not active."""


def latent_scatter(
    means: Tensor,
    labels: Tensor | None = None,
    class_names: Sequence[str] = (),
) -> "Figure":
    """Plot posterior means by class: two dimensions as they are, more along two principal axes.

    Arguments:
        means: Posterior means, with shape (N, D).
        labels: The classes, int64 with shape (N,); None for one color.
        class_names: The names of the classes, in the order of the labels; their numbers if empty.

    Raises:
        ShapeError: Means or labels of another shape, or fewer than two examples.

    Example:
        >>> latent_scatter(torch.randn(20, 5)).axes[0].get_xlabel()
        'principal component 1 (... % of variance)'
    """
    if means.dim() != 2 or len(means) < 2:
        raise ShapeError(
            f"means of shape {tuple(means.shape)}: give those of two or more examples as (N, D)"
        )
    if labels is not None and labels.shape != means.shape[:1]:
        raise ShapeError(
            f"labels of shape {tuple(labels.shape)} beside {len(means)} means: one label each"
        )
    points, names, title = _plane(means)
    # Thousands of points need to be small and thin, a few hundred large.
    size = max(5.0, min(30.0, 30000 / len(points)))
    look: dict[str, Any] = {"s": size, "alpha": 0.65, "linewidths": 0, "rasterized": True}
    figure = new_figure(7.2, 6.2)
    axes = new_axes(figure)
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], color=COLORS[0], **look)
    else:
        classes = sorted(set(labels.tolist()))
        colors = class_colors(len(classes))
        for index, (label, color) in enumerate(zip(classes, colors, strict=True)):
            mine = points[labels.cpu() == label]
            name = class_names[label] if 0 <= label < len(class_names) else str(label)
            axes.scatter(mine[:, 0], mine[:, 1], color=color, label=name, **look)
            if len(classes) <= 20:
                _name_at(axes, mine.median(0).values.tolist(), name, color, 10 + index)
        if len(classes) <= 20:
            legend = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2)
            legend.set_title("class")
            for handle in filter(None, legend.legend_handles):
                handle.set_alpha(1.0)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(f"{title}, {len(points):,} examples")
    return figure


@numbers(n=2)
def quantile_grid(
    decode: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    n: int = 15,
    low: float = 0.05,
    high: float = 0.95,
) -> "Image":
    r"""Return the decoded images of a two-dimensional latent space, as a map.

    .. math:: z_{ij} = (\Phi^{-1}(u_j), \Phi^{-1}(u_i)), \quad u \text{ evenly from low to high}

    Under the standard normal prior every tile represents the same share of samples. As in a
    scatter, z₁ grows to the right and z₂ upwards.

    Arguments:
        decode: A function from z with shape (B, 2) to images with shape (B, *shape).
        shape: The shape of an image, (channels, height, width).
        n: The number of tiles on a side.
        low: The first quantile.
        high: The last quantile.

    Raises:
        OptionError: Fewer than two tiles on a side, or quantiles that do not rise within (0, 1).

    References:
        Kingma & Welling, ICLR 2014, figure 4.

    Example:
        >>> quantile_grid(lambda z: z.sigmoid().mean(1).reshape(-1, 1, 1, 1), (1, 1, 1), n=3).size
        (640, 640)
    """
    if not 0 < low < high < 1:
        raise OptionError(f"quantiles {low} to {high}: they must rise, between 0 and 1")
    quantiles = torch.linspace(low, high, n, dtype=torch.float64).tolist()
    values = torch.tensor([NormalDist().inv_cdf(u) for u in quantiles])
    z2, z1 = torch.meshgrid(values.flip(0), values, indexing="ij")
    with torch.no_grad():
        images = decode(torch.stack([z1.flatten(), z2.flatten()], dim=-1))
    return grid(images.reshape(n * n, *shape), n_columns=n, min_side=600)


def kl_per_dimension(values: Sequence[float], errors: Sequence[float] | None = None) -> "Figure":
    """Plot the KL of each latent dimension, the largest first, in nats.

    A dimension that ``active_units`` counts has at least 0.005 nats, because under a standard
    normal prior the KL is at least half the variance of the mean: what lies below is unused.

    Arguments:
        values: The mean KL of each dimension, as ``Evaluation.kl_per_dimension``.
        errors: Their standard errors; None to draw none.

    Raises:
        DataError: No values.

    Example:
        >>> kl_per_dimension([2.0, 0.0]).axes[0].get_title()
        'KL of each latent dimension: 1 of 2 in use'
    """
    if len(values) == 0:
        raise DataError("no KL per dimension: posterior and prior must factorize for it to exist")
    order = sorted(range(len(values)), key=lambda j: -values[j])
    used = [values[j] > UNUSED_NATS for j in order]
    ranks = range(len(values))
    figure = new_figure(min(14.0, max(6.0, 2.0 + 0.32 * len(values))), 4.0)
    axes = new_axes(figure)
    heights = [values[j] for j in order]
    # The largest come first, so that those in use are the first ones.
    if n := sum(used):
        axes.bar(ranks[:n], heights[:n], color=COLORS[0], label=f"above {UNUSED_NATS} nats")
    if not all(used):
        label = f"below {UNUSED_NATS} nats: unused (posterior collapse)"
        axes.bar(ranks[n:], heights[n:], color=COLORS[1], label=label)
        # Such bars are too low to be seen: mark their places.
        axes.plot(ranks[n:], [0.0] * len(ranks[n:]), "x", color=COLORS[1], clip_on=False)
    if errors is not None:
        bars = [errors[j] for j in order]
        axes.errorbar(list(ranks), heights, yerr=bars, fmt="none", ecolor=COLORS[-1], elinewidth=1)
    if len(values) <= 64:
        axes.set_xticks(list(ranks), [str(j) for j in order], fontsize=8)
    axes.set_xlabel("latent dimension, largest KL first")
    axes.set_ylabel("nats per example")
    axes.set_title(f"KL of each latent dimension: {sum(used)} of {len(values)} in use")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right")
    return figure


def _plane(means: Tensor) -> tuple[Tensor, tuple[str, str], str]:
    """Return points (N, 2), the names of their axes and what they are."""
    means = means.detach().float().cpu()
    if means.shape[1] == 1:
        points = torch.cat([means, torch.zeros_like(means)], dim=1)
        return points, ("z₁", "(one latent dimension only)"), "Posterior means"
    if means.shape[1] == 2:
        return means, ("z₁", "z₂"), "Posterior means"
    points, ratio = principal_components(means, 2)
    first, second = (
        f"principal component {i + 1} ({100 * ratio[i]:.0f} % of variance)" for i in (0, 1)
    )
    return points, (first, second), f"Posterior means, PCA of {means.shape[1]} dimensions"


def _name_at(axes: "Axes", place: Sequence[float], name: str, color: Any, order: int) -> None:
    """Write the name of a class at its middle, for readers who cannot distinguish the colors."""
    from matplotlib.patheffects import withStroke

    text = axes.text(place[0], place[1], name, ha="center", va="center", zorder=order)
    text.set_color(color)
    text.set_fontsize(13 if len(name) <= 3 else 9)
    text.set_fontweight("bold")
    text.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
