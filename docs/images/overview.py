"""Draw ``overview.png``: an image, its place on the map of codes, and what codes are decoded to.

python docs/images/overview.py
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch, Ellipse

import reparam as rp

BLUE, RED = "#2f6fb7", "#c2412d"


def show(axes: Axes, image: torch.Tensor, title: str, color: str) -> None:
    """Show an image of 8 × 8 pixels in a frame."""
    axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=11, color=color)
    axes.spines[:].set(color=color, linewidth=2)


def arrow(
    start: Axes, where: tuple[float, float], end: Axes, to: tuple[float, float], color: str
) -> None:
    """Draw an arrow between places of two axes."""
    patch = ConnectionPatch(
        where,
        to,
        "data",
        "data",
        axesA=start,
        axesB=end,
        arrowstyle="-|>",
        color=color,
        mutation_scale=16,
        linewidth=1.8,
        shrinkA=4,
        shrinkB=6,
    )
    start.figure.add_artist(patch)


def main() -> None:
    """Train a VAE with two latent dimensions on digits, and draw the picture."""
    data = rp.data.load("digits")
    run = rp.fit(rp.variants.vae, data, latent_dim=2, epochs=120, lr=3e-3, seed=0)
    codes = run.encode(split="train").numpy()
    batch = data.examples("train")
    labels = np.asarray(batch.y)
    # The class that lies highest on the map gives the example, and the lowest one the new place.
    centers = np.array([np.median(codes[labels == k], axis=0) for k in range(10)])
    top = int(centers[:, 1].argmax())
    distance = np.linalg.norm(codes - centers[top], axis=1) + 10 * (labels != top)
    x = batch.x[[int(distance.argmin())]]
    lowest = centers[centers[:, 1].argmin()]
    drawn = (float(lowest[0]) + 0.1, float(lowest[1]) - 0.1)
    with torch.no_grad():
        q = run.latent_model.posterior(x)
    mean, std = q.mean[0].numpy(), q.stddev[0].numpy()

    figure = plt.figure(figsize=(11, 4.6), facecolor="white")
    grid = figure.add_gridspec(
        2,
        3,
        width_ratios=(1, 2.6, 1),
        left=0.03,
        right=0.97,
        bottom=0.12,
        top=0.84,
        wspace=0.45,
        hspace=0.5,
    )
    left = figure.add_subplot(grid[0, 0])
    plane = figure.add_subplot(grid[:, 1])
    above, below = figure.add_subplot(grid[0, 2]), figure.add_subplot(grid[1, 2])

    plane.scatter(codes[:, 0], codes[:, 1], c=labels, cmap="tab10", s=5, alpha=0.45, linewidths=0)
    for r in (1, 2):
        plane.add_patch(Ellipse((0, 0), 2 * r, 2 * r, fill=False, color="gray", linestyle=":"))
    plane.add_patch(Ellipse(tuple(mean), *(4 * std), color=BLUE, alpha=0.85))
    plane.plot(*drawn, "*", color=RED, markersize=17)
    plane.set(xlim=(-3.3, 3.3), ylim=(-3.1, 3.1), xticks=[], yticks=[], aspect="equal")
    plane.set_title("the code z: a place on a map", fontsize=11)
    plane.set_xlabel(
        "a point for each image, a color for each digit\n(unknown in training); dotted: the prior",
        fontsize=9,
    )

    show(left, x, "an example x", BLUE)
    show(above, run.decode(torch.tensor(mean)[None]), "x, reconstructed", BLUE)
    show(below, run.decode(torch.tensor([drawn])), "a new example", RED)
    arrow(left, (7.5, 3.5), plane, tuple(mean), BLUE)
    arrow(plane, tuple(mean), above, (-0.5, 3.5), BLUE)
    arrow(plane, drawn, below, (-0.5, 3.5), RED)
    words: dict[str, Any] = {"fontsize": 11, "ha": "center"}
    figure.text(0.265, 0.9, "encoder\nq(z | x)", color=BLUE, **words)
    figure.text(0.745, 0.9, "decoder\np(x | z)", color=BLUE, **words)
    figure.text(
        0.12,
        0.24,
        "prior p(z): which codes\noccur at all. Draw one (★),\ndecode it.",
        color=RED,
        **words,
    )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
