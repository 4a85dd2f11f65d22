"""Maps of codes in the plane: principal components, and neighborhoods by t-SNE."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.report.plane import principal_plane

FEWEST = 30
"""The smallest number of codes that t-SNE is made of."""

MOST_DIMENSIONS = 50
"""The largest number of dimensions that t-SNE gets, the first principal components."""


@dataclass(frozen=True)
class Projection:
    """Codes as points of the plane.

    Arguments:
        name: Its name, for a choice.
        points: The points, with shape (N, 2).
        meaning: What the map shows, in a sentence.
        is_linear: Whether a place of the plane is a code: ``mean + point @ axes``.
    """

    name: str
    points: Tensor
    meaning: str
    is_linear: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for the script."""
        points = self.points.double().round(decimals=4).tolist()
        return {
            "name": self.name,
            "points": points,
            "meaning": self.meaning,
            "linear": self.is_linear,
        }


def principal(codes: Tensor) -> tuple[Projection, Tensor]:
    """Return the map of the codes along two directions, and these, with shape (2, D).

    One or two dimensions are shown as they are.

    Arguments:
        codes: Posterior means, with shape (N, D).
    """
    plane = principal_plane(codes)
    points = plane.project(codes)
    if codes.shape[1] == 1:
        # Points of a line are spread over the height of the map, which has no meaning.
        height = 0.25 * float(points[:, 0].max() - points[:, 0].min())
        noise = torch.rand(len(points), generator=torch.Generator().manual_seed(0))
        points[:, 1] = height * (noise.to(points) - 0.5)
        meaning = "the latent dimension from left to right; the height has no meaning"
    elif codes.shape[1] == 2:
        meaning = "the two latent dimensions"
    else:
        share = f"{100 * plane.share:.0f} % of the variance"
        meaning = f"the first two principal components, with {share}"
        return Projection("principal components", points, meaning, is_linear=True), plane.axes
    return Projection("latent dimensions", points, meaning, is_linear=True), plane.axes


def neighborhoods(codes: Tensor, seed: int) -> Projection | None:
    """Return the map of t-SNE; None for codes that are few, or have two dimensions or less.

    Arguments:
        codes: Posterior means, with shape (N, D).
        seed: The seed of its start.

    References:
        van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 2008.
    """
    n, dim = codes.shape
    if n < FEWEST or dim <= 2:
        return None
    # Imported here: slow, and not needed for most of what a report shows.
    from sklearn.manifold import TSNE

    x = codes - codes.mean(0)
    if dim > MOST_DIMENSIONS:
        directions = torch.linalg.svd(x, full_matrices=False)[2]
        x = x @ directions[:MOST_DIMENSIONS].T
    x = x / x.std().clamp(min=1e-12)
    method = TSNE(perplexity=min(30.0, (n - 1) / 3), init="pca", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of products of codes that do not vary
        points = method.fit_transform(x.numpy().astype(np.float32))
    meaning = "by t-SNE near codes stay near; distances between groups have no meaning"
    found = torch.from_numpy(points).double()
    return Projection("t-SNE", found, meaning, False) if bool(found.isfinite().all()) else None
