"""Codes on a sphere: the shared part of the two experiments on hyperspherical VAEs."""

from typing import Any

import reparam as rp
from experiments.common.measures import score_rows, seconds_of
from experiments.ledger.protocol import Protocol
from experiments.ledger.rows import Row

RECIPE: dict[str, Any] = {"batch_size": 128, "lr": 5e-3, "lr_warmup": 0.1}
"""Chosen on 5,000 images held out of the training images."""

SOURCE = (
    "Davidson et al., Hyperspherical Variational Auto-Encoders, UAI 2018, whose figure is -93.16, "
    "as the reproduction README of the library pythae (Chadebec, Vincent & Allassonnière, NeurIPS "
    "2022) quotes it; its own run of 500 epochs has -93.13"
)
DATA = (
    "MNIST, 60,000 training images, binarized anew in each step; 256-128 on each side, 11 "
    "coordinates; log-likelihood of the 10,000 test images under one frozen binarization, with "
    "1,000 importance samples each"
)


def train(protocol: Protocol, data: rp.data.Dataset, epochs: int, **options: Any) -> rp.Run:
    """Train a hyperspherical VAE; ``concentration=`` fixes κ."""
    name = f"zoo-vmf-vae-{epochs}{'-fixed' if options else ''}"
    return protocol.train_variant(name, "vmf-vae", data, epochs=epochs, training=RECIPE, **options)


def rows(
    protocol: Protocol, data: rp.data.Dataset, what: str, run: rp.Run, target: float | None
) -> list[Row]:
    """Return the rows of a run on the test images."""
    found = protocol.scores(run, data.examples("test").x)
    return score_rows(what, found, target=target, seconds=seconds_of(run))
