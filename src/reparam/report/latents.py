"""The latent map, which the script of the page explores, and the distance to training examples."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree
from torch import Tensor

from reparam.pictures import grid, is_picturable
from reparam.plots.figure import COLORS, new_axes, new_figure
from reparam.report.decoder import plain_decoder
from reparam.report.plane import Plane, principal_plane
from reparam.report.rows import names_of
from reparam.report.section import Section, data_uri, picture, svg
from reparam.report.view import View

N_POINTS, N_COMPARED = 800, 300
"""The numbers of points of the map, and of samples whose nearest training examples are found."""

PALETTE = (
    *("#4c78ff", "#e4572e", "#17a673", "#d6a300", "#39b6d8"),
    *("#b5418f", "#7a8c00", "#8f6bff", "#c98a6b", "#8a8f98"),
)
"""The colors of classes, which can be seen on white and on black."""

SIDE = 28
"""The largest height and width of a thumbnail."""

N_NAMED, N_NAMED_CLASSES = 12, 20
"""The largest numbers of columns of a row, and of classes in the legend."""

N_SHOWN = 8
"""The number of samples that are shown beside their nearest training examples."""


def latent_map(view: View) -> Iterator[Section]:
    """Yield the map of codes, with what lies under the pointer."""
    codes = view.codes
    if codes is None or len(codes) < 3 or float(codes.var(0).sum()) == 0:
        return
    codes = codes[:N_POINTS]
    plane = principal_plane(codes)
    known = _map_data(view, codes, plane)
    shown = "the codes"
    if codes.shape[1] > 2:
        shown = f"the first two principal components ({100 * plane.share:.0f} % of their variance)"
    data = json.dumps(known, allow_nan=False).replace("<", "\\u003c")
    yield Section(
        "map",
        "The latent space",
        f"A point for the posterior mean of each example: {shown}. Near points are examples that "
        "the model finds alike.",
        '<div class="explorer"><canvas class="map" width="640" height="520"></canvas>'
        f"{_under('thumbnails' in known, 'decoder' in known)}"
        f'<script type="application/json">{data}</script></div>{_legend(known["classes"])}',
    )


def _map_data(view: View, codes: Tensor, plane: Plane) -> dict[str, Any]:
    """Return what the script gets: points, labels, thumbnails or rows, and a small decoder."""
    held = view.held
    y = None if held.y is None else held.y[: len(codes)]
    known: dict[str, Any] = {
        "points": plane.project(codes).round(decimals=4).tolist(),
        "labels": None if y is None else y.tolist(),
        "classes": view.class_names,
        "colors": list(PALETTE),
        "shape": list(view.run.spec.shape),
        "mean": plane.origin.tolist(),
        "axes": plane.axes.tolist(),
    }
    if view.run.spec.is_table:
        known["columns"] = names_of(view)[:N_NAMED]
        rows = held.x[: len(codes), :N_NAMED].tolist()
        known["rows"] = [[f"{v:.4g}" for v in row] for row in rows]
    if not is_picturable(view.run.spec):
        return known
    known["thumbnails"] = _sprite(held.x[: len(codes)])
    decoder = None if view.latent is None or held.c is not None else plain_decoder(view.latent)
    return known if decoder is None else {**known, "decoder": decoder.to_dict()}


def _under(has_thumbnails: bool, has_decoder: bool) -> str:
    """Return what shows the example and the decoded code under the pointer."""
    canvas = '<canvas class="{}" width="140" height="140"></canvas>'
    parts = [canvas.format("example")] if has_thumbnails else []
    parts.append('<p class="said">Move the pointer over the map.</p>')
    if has_decoder:
        parts.append(canvas.format("decoded"))
        parts.append("<p>what the decoder makes of the place under the pointer</p>")
    return f'<div class="under">{"".join(parts)}</div>'


def _legend(classes: Sequence[str]) -> str:
    """Return the colors of the first classes."""
    parts = (
        f'<span><i style="background:{color}"></i>{escape(name)}</span>'
        for name, color in zip(classes[:N_NAMED_CLASSES], cycle(PALETTE), strict=False)
    )
    return f'<div class="legend">{"".join(parts)}</div>'


def _sprite(x: Tensor) -> str:
    """Return small images side by side in one picture."""
    side = max(x.shape[-2:])
    if side > SIDE:
        factor = SIDE / side
        size = [max(1, round(n * factor)) for n in x.shape[-2:]]
        x = torch.nn.functional.interpolate(x.float(), size, mode="area")
    shades = (255 * x.clamp(0, 1)).round().to(torch.uint8).numpy()
    n, c, h, w = shades.shape
    columns = 40
    whole = np.zeros((-(-n // columns) * h, columns * w, c), np.uint8)
    for i, image in enumerate(shades):
        top, left = i // columns * h, i % columns * w
        whole[top : top + h, left : left + w] = image.transpose(1, 2, 0)
    return data_uri(Image.fromarray(whole[..., 0] if c == 1 else whole))


def memory(view: View) -> Iterator[Section]:
    """Yield how near samples are to training examples, beside how near held-out examples are."""
    spec = view.run.spec
    if not view.generates or spec.support in ("tokens", "mixed") or view.held_name == "train":
        return
    drawn = view.sampled(N_COMPARED, mean=is_picturable(spec))
    train, held = view.train.x, view.held.x[:N_COMPARED]
    scale = Scale(train, spec.is_table)
    tree = KDTree(scale(train))
    of_samples, nearest = tree.query(scale(drawn))
    of_held, _ = tree.query(scale(held))
    figure = new_figure(7.0, 3.2)
    axes = new_axes(figure)
    farthest = float(np.quantile(np.concatenate([of_samples, of_held]), 0.99))
    edges = np.linspace(0, farthest, 40).tolist()
    axes.hist(of_held, edges, density=True, color=COLORS[4], alpha=0.7, label="unseen examples")
    axes.hist(of_samples, edges, density=True, histtype="step", color=COLORS[0], label="samples")
    axes.set_xlabel(f"distance to the nearest of {len(train):,} training examples")
    axes.set_yticks([])
    axes.legend(frameon=False)
    close = float((of_samples < np.quantile(of_held, 0.01)).mean())
    verdict = "no sign of copies" if close < 0.05 else "some samples may be copies"
    body = svg(figure, "Distances to the nearest training example")
    if is_picturable(spec):
        pairs = torch.stack([drawn[:N_SHOWN], train[nearest[:N_SHOWN]]], 1).flatten(0, 1)
        body += picture(grid(pairs, n_columns=2 * N_SHOWN), "Samples beside training examples")
        body += "<p>Samples, each beside the training example that is nearest to it.</p>"
    yield Section(
        "memory",
        "Does it copy its training examples?",
        f"{100 * close:.0f} % of the samples are nearer to a training example than the nearest 1 % "
        f"of unseen examples are: {verdict}. The means of images are smoother than images, and so "
        "lie a little nearer.",
        body,
    )


class Scale:
    """Examples as vectors whose distances can be compared; columns of a table are standardized.

    Arguments:
        train: The training examples.
        is_table: Whether an example is a row of a table.
    """

    def __init__(self, train: Tensor, is_table: bool) -> None:
        flat = train.flatten(1).double()
        self.loc = flat.mean(0) if is_table else torch.zeros(flat.shape[1])
        self.scale = flat.std(0).clamp(min=1e-9) if is_table else torch.ones(flat.shape[1])

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        """Return examples as vectors, with shape (N, D)."""
        return ((x.flatten(1).double() - self.loc) / self.scale).numpy()
