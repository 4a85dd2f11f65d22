"""Plots of how a model learned and of its latent space."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reparam.errors import DataError, OptionError, ShapeError
from reparam.evaluation.latents.activity import ACTIVE_VARIANCE, principal_components
from reparam.pictures import grid, picture_format
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

# The "muted" scheme of Paul Tol, which the color-blind can tell apart, and black.
COLORS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#DDCC77",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#000000",
)
_SPLITS = {"train": (COLORS[4], 1.5), "validation": (COLORS[0], 2.0)}
_OTHER = (COLORS[1], 1.5)
_FORMATS = ("png", "pdf", "svg", "jpg", "jpeg", "webp")

UNUSED_NATS = ACTIVE_VARIANCE / 2
"""Under a standard normal prior KL_j ≥ ½ Var_x(E_q[z_j]): with less, a dimension is not active."""


def loss_curves(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Plot what training and validation gave, step by step, in nats per example.

    Three panels: the ELBO, the reconstruction and the KL; for a model without latent variables,
    those that it has. Values that are missing or not finite are left out. Where the weight of the
    KL changes, it is drawn beside the KL.

    Arguments:
        rows: Rows of a run's ``metrics.jsonl``, with ``step`` or ``epoch``, ``split`` and any of
            ``elbo``, ``reconstruction``, ``kl``, ``loss``, ``beta``.

    Raises:
        DataError: Rows that hold no figure to draw.

    Example:
        >>> rows = [{"step": i, "split": "train", "elbo": -200 + i} for i in range(5)]
        >>> len(loss_curves(rows).axes)
        1
    """
    titles = {
        "elbo": "ELBO (higher is better)",
        "reconstruction": "reconstruction, E log p(x | z)",
        "kl": "KL of posterior and prior",
    }
    drawn = [name for name in titles if any(_has(row, name) for row in rows)]
    if "elbo" not in drawn and any(_has(row, "loss") for row in rows):
        # Without latent variables the loss says all, and the reconstruction would say it again.
        drawn, titles = ["loss"], {"loss": "loss (lower is better)"}
    if not drawn:
        raise DataError(
            f"{len(rows)} rows of metrics hold no elbo, reconstruction, kl or loss: "
            "train for at least one epoch, then plot"
        )
    splits = list(dict.fromkeys(str(row.get("split", "train")) for row in rows))
    axis = "epoch" if _one_row_an_epoch(rows) else "step"
    figure = new_figure(4.2 * len(drawn) + 0.4, 3.8)
    for i, name in enumerate(drawn):
        axes = new_axes(figure, 1, len(drawn), i + 1)
        for split in splits:
            mine = [row for row in rows if str(row.get("split", "train")) == split]
            _curve(axes, mine, axis, name, split)
        axes.set_title(titles[name])
        axes.set_xlabel("epoch" if axis == "epoch" else "optimizer step")
        axes.set_ylabel("nats per example")
        axes.legend(loc="upper right" if name == "loss" else "lower right")
        if name == "kl":
            _layers(axes, rows, axis)
            _weight(axes, rows, axis)
    return figure


def latent_scatter(
    means: Tensor,
    labels: Tensor | None = None,
    class_names: Sequence[str] = (),
) -> "Figure":
    """Plot posterior means by class: as they are where there are two, else their two main axes.

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
        colors = _palette(len(classes))
        for index, (label, color) in enumerate(zip(classes, colors, strict=True)):
            mine = points[labels.cpu() == label]
            name = class_names[label] if 0 <= label < len(class_names) else str(label)
            axes.scatter(mine[:, 0], mine[:, 1], color=color, label=name, **look)
            if len(classes) <= 20:
                _name_at(axes, mine.median(0).values.tolist(), name, color, 10 + index)
        if len(classes) <= 20:
            legend = axes.legend(
                title="class", loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2
            )
            for handle in legend.legend_handles:
                if handle is not None:
                    handle.set_alpha(1.0)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(f"{title}, {len(points):,} examples")
    return figure


@numbers(n=1)
def quantile_grid(
    decode: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    n: int = 15,
    low: float = 0.05,
    high: float = 0.95,
) -> "Image":
    r"""Return the images that a two-dimensional latent space holds, as a map of it.

    .. math:: z_{ij} = (\Phi^{-1}(u_j), \Phi^{-1}(u_i)), \quad u \text{ evenly from low to high}

    Under the standard normal prior every tile stands for the same share of samples. As in a
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
    if n < 2:
        raise OptionError(f"n={n}: a map needs at least two tiles on a side")
    if not 0 < low < high < 1:
        raise OptionError(f"quantiles {low} to {high}: they must rise, between 0 and 1")
    quantiles = torch.linspace(low, high, n, dtype=torch.float64).tolist()
    values = torch.tensor([NormalDist().inv_cdf(u) for u in quantiles])
    z2, z1 = torch.meshgrid(values.flip(0), values, indexing="ij")
    with torch.no_grad():
        images = decode(torch.stack([z1.flatten(), z2.flatten()], dim=-1))
    return grid(images.reshape(n * n, *shape), n_columns=n, min_side=600)


def kl_per_dimension(values: Sequence[float]) -> "Figure":
    """Plot what each latent dimension tells of x, the largest first, in nats.

    A dimension that ``active_units`` counts has at least 0.005 nats, because under a standard
    normal prior the KL is at least half the variance of the mean: what lies below is unused.

    Arguments:
        values: The mean KL of each dimension, as ``Evaluation.kl_per_dimension``.

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
    words = (
        f"below {UNUSED_NATS} nats: unused (posterior collapse)",
        f"above {UNUSED_NATS} nats",
    )
    for wanted, color in ((True, COLORS[0]), (False, COLORS[1])):
        mine = [rank for rank in ranks if used[rank] is wanted]
        if mine:
            heights = [values[order[rank]] for rank in mine]
            axes.bar(mine, heights, color=color, label=words[wanted])
    if not all(used):
        # Such bars are too low to be seen: mark their places.
        mine = [rank for rank in ranks if not used[rank]]
        axes.plot(mine, [0.0] * len(mine), "x", color=COLORS[1], clip_on=False)
    if len(values) <= 64:
        axes.set_xticks(list(ranks), [str(j) for j in order], fontsize=8)
    axes.set_xlabel("latent dimension, largest KL first")
    axes.set_ylabel("nats per example")
    axes.set_title(f"KL of each latent dimension: {sum(used)} of {len(values)} in use")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right")
    return figure


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a plot, whole or not at all; missing folders are made.

    Arguments:
        figure: The plot.
        path: The file; its ending tells the format.

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


def _has(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return isinstance(value, int | float) and isfinite(value)


def _one_row_an_epoch(rows: Sequence[Mapping[str, Any]]) -> bool:
    if not all(_has(row, "epoch") for row in rows):
        return False
    places = [(row.get("split", "train"), row["epoch"]) for row in rows]
    return len(set(places)) == len(places) or not all(_has(row, "step") for row in rows)


def _curve(
    axes: "Axes", rows: Sequence[Mapping[str, Any]], axis: str, name: str, split: str
) -> None:
    """Draw one split's curve, and write its last value in the legend."""
    points = [(row[axis], row[name]) for row in rows if _has(row, axis) and _has(row, name)]
    if not points:
        return
    points.sort(key=lambda point: point[0])
    color, width = _SPLITS.get(split, _OTHER)
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=color,
        linewidth=width,
        marker="o" if len(points) <= 30 else None,
        markersize=4,
        label=f"{split}: {points[-1][1]:,.2f}",
    )


def _layers(axes: "Axes", rows: Sequence[Mapping[str, Any]], axis: str) -> None:
    """Draw the KL of each layer of a hierarchy while training, thin and dashed."""
    names = sorted({name for row in rows for name in row if name.startswith("kl/")})
    for name, color in zip(names, COLORS[5:], strict=False):
        mine = [row for row in rows if row.get("split") == "train"]
        points = sorted(
            (row[axis], row[name]) for row in mine if _has(row, axis) and _has(row, name)
        )
        if points:
            label = f"layer {name.removeprefix('kl/')}: {points[-1][1]:,.2f}"
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=color, linewidth=1.0, linestyle="--", label=label)
    if names:
        axes.legend(loc="best")


def _weight(axes: "Axes", rows: Sequence[Mapping[str, Any]], axis: str) -> None:
    """Draw the weight of the KL against an axis of its own, where it changes."""
    points = sorted(
        (row[axis], row["beta"]) for row in rows if _has(row, axis) and _has(row, "beta")
    )
    if len({beta for _, beta in points}) < 2:
        return
    other = axes.twinx()
    other.plot([x for x, _ in points], [y for _, y in points], color="#888888", linestyle=":")
    other.set_ylabel("β, the weight of the KL (dotted)", color="#666666")
    other.set_ylim(bottom=0)
    other.grid(visible=False)


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


def _palette(n: int) -> list[Any]:
    if n <= len(COLORS):
        return list(COLORS[:n])
    from matplotlib import colormaps

    return [colormaps["viridis"](i / (n - 1)) for i in range(n)]


def _name_at(axes: "Axes", place: Sequence[float], name: str, color: Any, order: int) -> None:
    """Write a class's name at its middle, so that color is not all that tells it apart."""
    from matplotlib.patheffects import withStroke

    axes.text(
        place[0],
        place[1],
        name,
        color=color,
        fontsize=13 if len(name) <= 3 else 9,
        fontweight="bold",
        ha="center",
        va="center",
        zorder=order,
        path_effects=[withStroke(linewidth=3.5, foreground="white")],
    )
