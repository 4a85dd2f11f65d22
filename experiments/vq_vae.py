"""A codebook instead of a Gaussian: codes in use, and samples through its learned prior."""

from typing import Any

import torch
from torch import Tensor

import reparam as rp
from experiments.common import (
    Experiment,
    Findings,
    Protocol,
    Row,
    mean_of,
    pictures,
    row,
    seconds_of,
)
from experiments.common.contest import PLAIN, RECIPE
from experiments.common.judge import CONFIDENT, confidence, digit_classifier, real_digits

N_GENERATED = 5000
N_CODES = 32
# Chosen on 6,000 images held out of the training images.
TRAINING: dict[str, Any] = {"batch_size": 64, "lr": 4e-3}


@Experiment(
    source=(
        "van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS "
        "2017, for the model; MNIST is not measured there, the targets are ours"
    ),
    protocol=(
        "MNIST, 60,000 training images, binarized anew in each step; 32 codes on 4 x 4 positions, "
        "convolutional networks, an autoregressive prior learned along; 10 epochs; beside it the "
        "vae with two layers of 300 and 40 latent dimensions, 10 epochs; 5,000 draws, every pixel "
        "drawn, seen by a classifier of real digits"
    ),
    data="mnist",
    epochs=10,
    minutes=9,
)
def vq_vae(protocol: Protocol) -> Findings:
    """Discrete codes: their usage, their reconstructions, and samples from a learned prior."""
    data = protocol.dataset("mnist", binarize="dynamic")
    test = data.examples("test")
    judge = digit_classifier(protocol, data)
    run = protocol.train_variant("zoo-vq-vae", "vq-vae", data, training=TRAINING, n_codes=N_CODES)
    variant, options = PLAIN.variant
    plain = protocol.train_variant("zoo-vq-plain", variant, data, training=RECIPE, **options)
    found = protocol.evaluate(run, data, n_samples=1)
    error, plain_error = squared_error(run, test.x), squared_error(plain, test.x)
    clear = {
        name: is_clear(judge, generator.sample(N_GENERATED, protocol.seed, mean=False))
        for name, generator in (("vq-vae", run), ("vae", plain))
    }
    rows = (
        real_digits(judge, test),
        Row(
            "codes in use, of all",
            (found["codes_in_use"] or 0) / N_CODES,
            unit="",
            target=0.5,
            seconds=seconds_of(run),
        ),
        row("ELBO of the vq-vae", found, "elbo"),
        Row("squared error per pixel", *mean_of(error), unit=""),
        Row(
            "squared error per pixel, less the vae's",
            *mean_of(error - plain_error),
            unit="",
            target=0.0,
            rule="at most",
            seconds=seconds_of(run),
        ),
        Row(
            "squared error per pixel of the vae",
            *mean_of(plain_error),
            unit="",
            seconds=seconds_of(plain),
        ),
        Row("clear digits among its draws", *mean_of(clear["vq-vae"]), unit="", target=0.8),
        Row("clear digits among draws of the vae", *mean_of(clear["vae"]), unit=""),
        Row(
            "clear digits among real ones", *mean_of(is_clear(judge, test.x)), unit="", beside=True
        ),
    )
    notes = (
        f"A clear digit is one to which the classifier gives a probability of {CONFIDENT} or more.",
        "The posterior is a point on a discrete set, so that the KL is -log p(codes) and the ELBO "
        "is a bound.",
        "Both see the images as often; a step of the vq-vae, convolutional and with a transformer "
        "as its prior, costs several times that of the vae.",
        "Standard errors are over test images or draws, for one training run each.",
    )
    panels = {
        "test images": test.x[:64],
        "reconstructions": run.reconstruct(test)[:64],
        "draws through the learned prior": run.sample(64, protocol.seed, mean=True),
    }
    return Findings(rows, notes, {"samples": pictures(panels)}, {"evaluation": found})


def squared_error(run: rp.Run, x: Tensor) -> Tensor:
    """Return the squared error per pixel of each reconstruction, with shape (N,)."""
    return (run.reconstruct(x) - x).square().flatten(1).mean(1)


def is_clear(judge: rp.Run, images: Tensor) -> Tensor:
    """Return 1 for each image that the classifier is sure of, else 0, with shape (N,)."""
    return (confidence(judge, images) >= CONFIDENT).to(torch.float64)
