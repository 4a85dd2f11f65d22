"""A small ladder with a mixture of logistics for the stored levels of CIFAR-10."""

from math import log
from typing import Any

from experiments.common import Experiment, Findings, Protocol, Row, losses, row
from experiments.common.color import bits_row, color_images, shown

RECIPE: dict[str, Any] = {"batch_size": 8, "lr": 1.5e-3, "lr_warmup": 0.1, "kl_warmup": 0.2}
"""Chosen on 5,000 images held out of the training images."""

LADDER: dict[str, Any] = {"maps": (8, 16), "channels": 64, "likelihood": "logistic-mixture"}


@Experiment(
    source=(
        "Salimans et al., PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture "
        "Likelihood and Other Modifications, ICLR 2017, section 2.1, for the likelihood; the "
        "target is ours"
    ),
    protocol=(
        "CIFAR-10, 50,000 training images of 256 levels; two layers of latents, 8 maps of 16 × 16 "
        "and 16 of 8 × 8, 64 filters, and a mixture of 5 discretized logistics whose channels "
        "depend on each other; Adam, batch 8; measured on the first 2,000 test images with 20 "
        "draws each"
    ),
    data="cifar10",
    epochs=4,
    full_epochs=100,
    n_samples=20,
    minutes=16,
)
def cifar10_mixture(protocol: Protocol) -> Findings:
    """Bits per dimension of the stored levels, under a discretized mixture of logistics."""
    data = color_images(protocol)
    run = protocol.train_variant(
        "cifar10-mixture", "conv-ladder-vae", data, training=RECIPE, **LADDER
    )
    found = protocol.evaluate(run, data.examples("test", limit=2000))
    unit, scale = "bits/dim", 1 / (data.spec.dim * log(2))
    bound = {
        "elbo": None if found["elbo"] is None else -scale * found["elbo"],
        "elbo_stderr": None if found["elbo_stderr"] is None else scale * found["elbo_stderr"],
    }
    rows = (
        bits_row("two layers", found, run, target=4.5),
        row("its bound, from the ELBO", bound, "elbo", unit=unit),
        *(
            Row(f"of which the KL of {name}", None if kl is None else scale * kl, unit=unit)
            for name, kl in found["kl_groups"].items()
        ),
        Row("as they are stored", 8.0, unit=unit),
    )
    figures = {
        "loss": losses({"two layers": run}, factor=scale, unit=unit),
        **shown(protocol, run, data, "ladder"),
    }
    notes = (
        "The levels are modelled as they are stored, so that this is a probability: nothing is "
        "dequantized, and no volume of a cell is subtracted.",
        "Samples have colors and edges but no objects: the upper layer of 8 × 8 places is drawn "
        "from a standard normal, which has no structure larger than its convolutions reach.",
        "The standard errors are over test images, for one training run.",
    )
    return Findings(rows, notes, figures, {"evaluation": found})
