"""Conditional generation: the share of generated digits that have the requested label."""

import torch

from experiments.common import (
    Experiment,
    Findings,
    Protocol,
    Row,
    mean_of,
    pictures,
    seconds_of,
)
from experiments.common.contest import NETWORKS, RECIPE
from experiments.common.judge import digit_classifier, read_as, real_digits

N_GENERATED = 1000
"""Generated images of each digit."""

TARGETS = {
    ("cvae", 2): 0.98,
    ("cvae", 20): 0.92,
    ("class-prior-vae", 2): 0.50,
    ("class-prior-vae", 20): 0.84,
}
"""The target share for each variant and number of latent dimensions."""


@Experiment(
    source=(
        "Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional "
        "Generative Models, NeurIPS 2015 (cvae), and Su, Variational Autoencoders (1): So That Is "
        "What They Are (in Chinese), Scientific Spaces 5253, 2018 (class prior), for the models; "
        "the targets are ours, prototypes had 99.6, 93, 52 and 84 %"
    ),
    protocol=(
        "MNIST, 60,000 training images, binarized anew in each step; two layers of 300 on each "
        "side; 60 epochs; 1,000 draws of each digit, every pixel drawn, read by a classifier that "
        "was trained on real digits"
    ),
    data="mnist",
    epochs=60,
    minutes=20,
)
def labels_asked_for(protocol: Protocol) -> Findings:
    """The share of generated digits that a classifier reads as the requested label."""
    data = protocol.dataset("mnist", binarize="dynamic")
    judge = digit_classifier(protocol, data)
    rows = [real_digits(judge, data.examples("test"))]
    panels: dict[str, torch.Tensor] = {}
    by_digit: dict[str, list[float]] = {}
    for (variant, latent_dim), target in TARGETS.items():
        name, folder = f"{variant}, latent {latent_dim}", f"zoo-{variant}-{latent_dim}"
        run = protocol.train_variant(
            folder, variant, data, training=RECIPE, latent_dim=latent_dim, **NETWORKS
        )
        right = []
        for label in range(10):
            made = run.sample(N_GENERATED, protocol.seed + label, label, mean=False)
            right.append((read_as(judge, made) == label).float())
        share = torch.stack(right)
        seconds = seconds_of(run)
        rows.append(Row(name, *mean_of(share.flatten()), unit="", target=target, seconds=seconds))
        by_digit[name] = share.mean(1).tolist()
        shown = [run.sample(8, protocol.seed, label, mean=True) for label in range(10)]
        panels[name] = torch.cat(shown)
    notes = (
        "The classifier is given images as in its training: binary draws, not the means that "
        "pictures show.",
        "In two dimensions the ten clouds of the class prior overlap, and so do its digits.",
        "Standard errors are over draws, for one training run each.",
    )
    return Findings(rows, notes, {"samples": pictures(panels)}, {"by_digit": by_digit})
