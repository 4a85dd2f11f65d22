"""The networks, data and recipes of the experiments on importance weighted autoencoders.

The networks, the data and the evaluation are the source's. The training is ours, except in the long
run, which has the source's batches, epochs and learning rates.
"""

from typing import Any

import reparam as rp
from experiments.ledger.protocol import Protocol

SOURCE = "Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, ICLR 2016, table 1"
DATA = (
    "MNIST, 59,600 training images (400 are left out), binarized anew in each step; 10,000 test "
    "images under one frozen binarization"
)
ONE_LAYER: dict[str, Any] = {"latent_dim": 50, "hidden": (200, 200), "activation": "tanh"}
TWO_LAYERS: dict[str, Any] = {
    "latent_dims": (100, 50),
    "hidden": (200, 200),
    "above": (100, 100),
    "activation": "tanh",
}

# Chosen on 5,000 images held out of the training images, with runs of 25 to 150 epochs: the rate,
# the batch, and the estimator of the gradient (the doubly reparameterized one gained
# 0.3 nats).
RECIPE: dict[str, Any] = {
    "optimizer": "muon",
    "batch_size": 512,
    "lr": 1e-2,
    "lr_warmup": 0.1,
    "precision": "bfloat16",
}
EXACT: dict[str, Any] = {
    "batch_size": 20,
    "lr": 1e-3,
    "lr_warmup": 0.0,
    "lr_schedule": "stages",
    "clip_norm": 0.0,
}
"""The source's batches and learning rates, for 3,280 epochs."""


def frozen_mnist(protocol: Protocol) -> rp.data.Dataset:
    """Return MNIST as the source has it: 59,600 training images, binarized anew in each step."""
    return protocol.dataset("mnist", binarize="dynamic", validation=400)
