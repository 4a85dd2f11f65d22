"""What a label is worth to a generator: is the digit that comes out the one that was asked for?"""

from typing import Any

import torch

from reparam.evaluation.classification import accuracy
from reparam.reproduce.figures import pictures
from reparam.reproduce.judge import digit_classifier, read_as
from reparam.reproduce.likelihoods import NETWORKS, RECIPE, dynamic_mnist
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import mean_of, seconds_of, trained

N_GENERATED = 1000
"""Of each digit."""

ASKED = (
    ("cvae", 2, 0.98),
    ("cvae", 20, 0.92),
    ("class-prior-vae", 2, 0.50),
    ("class-prior-vae", 20, 0.84),
)
"""Variants, their latent dimensions, and the share that the issue asks for."""


@entry(
    "labels-asked-for",
    source=(
        "Sohn, Lee & Yan, NeurIPS 2015 (cvae); Su, Scientific Spaces 5253, 2018 (class prior); "
        "prototypes had 99.6, 93, 52 and 84 %"
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
    """The share of generated digits that a classifier reads as the label that was asked for."""
    data = dynamic_mnist(protocol)
    judge = digit_classifier(protocol, data)
    told = accuracy(judge.model, data.examples("test"))
    rows = [Row("classifier on real test digits", told.value, told.stderr, unit="", target=0.985)]
    panels: list[tuple[str, torch.Tensor]] = []
    by_digit: dict[str, Any] = {}
    for variant, latent_dim, target in ASKED:
        name = f"{variant}, latent {latent_dim}"
        run = trained(
            protocol,
            f"zoo-{variant}-{latent_dim}",
            variant,
            data,
            training=RECIPE,
            latent_dim=latent_dim,
            **NETWORKS,
        )
        right = []
        for label in range(10):
            made = run.sample(N_GENERATED, protocol.seed + label, label, mean=False)
            right.append((read_as(judge, made) == label).float())
        share = torch.stack(right)
        rows.append(
            Row(name, *mean_of(share.flatten()), unit="", target=target, seconds=seconds_of(run))
        )
        by_digit[name] = share.mean(1).tolist()
        shown = [run.sample(8, protocol.seed, label, mean=True) for label in range(10)]
        panels.append((name, torch.cat(shown)))
    notes = (
        "The classifier sees what it was trained on: binary draws, not the means that pictures "
        "show.",
        "In two dimensions the ten clouds of the class prior overlap, and so do its digits.",
        "Standard errors are over draws, for one training run each.",
    )
    return Findings(tuple(rows), notes, {"samples": pictures(panels)}, {"by_digit": by_digit})
