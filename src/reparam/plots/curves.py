"""Curves of training: the ELBO, the reconstruction and the KL, step by step."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from reparam.errors import DataError
from reparam.plots.figure import COLORS, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS = {"train": (COLORS[4], 1.5), "validation": (COLORS[0], 2.0)}
_OTHER = (COLORS[1], 1.5)


def loss_curves(rows: Sequence[Mapping[str, object]]) -> "Figure":
    """Plot the curves of training and validation, step by step, in nats per example.

    There are three panels, the ELBO, the reconstruction and the KL, as far as the model has them.
    Values that are missing or not finite are left out. A weight of the KL that changes is drawn on
    a second axis.

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
        # Without latent variables the loss is the negative reconstruction.
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
            x, y = _points(rows, axis, name, split)
            if x:
                color, width = _SPLITS.get(split, _OTHER)
                (line,) = axes.plot(x, y, color=color, label=f"{split}: {y[-1]:,.2f}")
                line.set(linewidth=width, marker="o" if len(x) <= 30 else "", markersize=4)
        axes.set_title(titles[name])
        axes.set_xlabel("epoch" if axis == "epoch" else "optimizer step")
        axes.set_ylabel("nats per example")
        axes.legend(loc="upper right" if name == "loss" else "lower right")
        if name == "kl":
            _layers(axes, rows, axis)
            _weight(axes, rows, axis)
    return figure


def _has(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return isinstance(value, int | float) and isfinite(value)


def _one_row_an_epoch(rows: Sequence[Mapping[str, Any]]) -> bool:
    if not all(_has(row, "epoch") for row in rows):
        return False
    places = [(row.get("split", "train"), row["epoch"]) for row in rows]
    return len(set(places)) == len(places) or not all(_has(row, "step") for row in rows)


def _points(
    rows: Sequence[Mapping[str, Any]], axis: str, name: str, split: str | None = None
) -> tuple[list[float], list[float]]:
    """Return the places and the values of a curve, of one split or of all, in their order."""
    mine = [row for row in rows if split is None or str(row.get("split", "train")) == split]
    points = [(row[axis], row[name]) for row in mine if _has(row, axis) and _has(row, name)]
    points.sort(key=lambda point: point[0])
    return [x for x, _ in points], [y for _, y in points]


def _layers(axes: "Axes", rows: Sequence[Mapping[str, Any]], axis: str) -> None:
    """Draw the KL of each layer of a hierarchy while training, thin and dashed."""
    names = sorted({name for row in rows for name in row if name.startswith("kl/")})
    for name, color in zip(names, COLORS[5:], strict=False):
        x, y = _points(rows, axis, name, "train")
        if x:
            label = f"layer {name.removeprefix('kl/')}: {y[-1]:,.2f}"
            axes.plot(x, y, color=color, linewidth=1.0, linestyle="--", label=label)
    if names:
        axes.legend(loc="best")


def _weight(axes: "Axes", rows: Sequence[Mapping[str, Any]], axis: str) -> None:
    """Draw the weight of the KL on a second axis, if it changes."""
    x, y = _points(rows, axis, "beta")
    if len(set(y)) < 2:
        return
    other = axes.twinx()
    other.plot(x, y, color="#888888", linestyle=":")
    other.set_ylabel("β, the weight of the KL (dotted)", color="#666666")
    other.set_ylim(bottom=0)
    other.grid(visible=False)
