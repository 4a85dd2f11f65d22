"""The VAEs of a public repository on static MNIST: its networks and steps, our recipe."""

from typing import Any

import reparam as rp
from experiments.common import (
    Experiment,
    Findings,
    Protocol,
    Row,
    digest,
    samples,
    score_rows,
    seconds_of,
)
from experiments.common.static import HELD_OUT, OWN_DRAW, STDERR

# Adam in place of the source's RMSprop at 1e-3, with its rate.
RECIPE: dict[str, Any] = {"batch_size": 128, "lr": 1e-3, "lr_warmup": 0.1}
PUBLISHED = {512: -96.72, 256: -100.31}
LONG = {512: None, 256: -97.10}
"""Log-likelihoods by hidden units, after 30,000 and after 65,000 steps."""


@Experiment(
    source=(
        "Altosaar, README of the repository altosaar/variational-autoencoder: 512 hidden units, in "
        "JAX, -96.72 after 30,000 steps; 256, in PyTorch, -100.31 after as many and -97.10 after "
        "65,000"
    ),
    protocol=(
        "MNIST, 50,000 training images, binarized once; two layers of 512, or of 256, on each "
        "side, 128 latent dimensions; 76 epochs at batch 128, which are 29,716 steps (long run: "
        "166 epochs, 64,906 steps); log-likelihood of the 10,000 test images, with 1,000 "
        "importance samples each"
    ),
    data="mnist",
    epochs=76,
    full_epochs=166,
    n_samples=1000,
    minutes=18,
)
def jaanli(protocol: Protocol) -> Findings:
    """A public tutorial's VAE on static MNIST: its networks and steps, our recipe."""
    data = protocol.dataset("mnist", binarize="static", validation=HELD_OUT)
    x = data.examples("test").x
    published = LONG if protocol.options.full else PUBLISHED
    rows: list[Row] = []
    runs: dict[str, rp.Run] = {}
    for hidden, figure in published.items():
        what, name = f"{hidden} hidden units", f"jaanli-{hidden}-{protocol.epochs}"
        options: dict[str, Any] = {"latent_dim": 128, "hidden": (hidden, hidden)}
        run = protocol.train_variant(name, "vae", data, training=RECIPE, **options)
        runs[what] = run
        rows += score_rows(
            what,
            protocol.scores(run, x),
            published=figure,
            target=PUBLISHED[512] if hidden == 512 else figure,
            seconds=seconds_of(run),
        )
    notes = (
        "The two public figures are of networks of different size, and so are the two rows.",
        "The source has RMSprop at 1e-3; here it is Adam, with warm-up and cosine decay. The "
        "PyTorch source keeps its best weights by validation; here the last ones count.",
        OWN_DRAW,
        STDERR,
    )
    details = {"data_sha256": digest(x)}
    return Findings(rows, notes, {"samples": samples(runs, protocol.seed)}, details)
