"""Color images on their stored levels: the shared part of the two experiments on CIFAR-10."""

from collections.abc import Mapping
from typing import Any

import reparam as rp
from experiments.common.figures import reconstructions
from experiments.common.measures import row, seconds_of
from experiments.ledger.protocol import Protocol
from experiments.ledger.rows import Drawing, Row


def color_images(protocol: Protocol) -> rp.data.Dataset:
    """Return CIFAR-10 with the 256 levels as they are stored."""
    return protocol.dataset("cifar10", dequantize=False)


def bits_row(
    what: str, figures: Mapping[str, Any], run: rp.Run, target: float | None = None
) -> Row:
    """Return the row of the bits per dimension of a run."""
    what = f"{what}: bits per dimension, {figures['n_samples']} draws"
    more: dict[str, Any] = {"target": target, "rule": "at most", "seconds": seconds_of(run)}
    return row(what, figures, "bits_per_dim", unit="bits/dim", **more)


def shown(protocol: Protocol, run: rp.Run, data: rp.data.Dataset, key: str) -> dict[str, Drawing]:
    """Return a plot of the first principal components of the posterior means, and pictures."""
    few, many = data.examples("test", limit=64), data.examples("test", limit=2000)
    return {
        f"{key}-latents": rp.plots.latent_scatter(run.encode(many), many.y, data.class_names),
        f"{key}-pictures": reconstructions(run, few, protocol.seed),
    }
