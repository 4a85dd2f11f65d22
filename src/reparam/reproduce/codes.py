"""A codebook instead of a Gaussian: codes in use, and what its learned prior draws."""

from typing import Any

import torch
from torch import Tensor

from reparam.evaluation.classification import accuracy
from reparam.reproduce.figures import pictures
from reparam.reproduce.judge import CONFIDENT, confidence, digit_classifier
from reparam.reproduce.likelihoods import LATENT_DIM, NETWORKS, RECIPE, dynamic_mnist
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import evaluated, mean_of, seconds_of, trained
from reparam.runs.run import Run

N_GENERATED = 5000
N_CODES = 32
# Chosen on 6,000 images held out of the training images.
TRAINING: dict[str, Any] = {"batch_size": 64, "lr": 4e-3}


@entry(
    "vq-vae",
    source="van den Oord et al., NeurIPS 2017, where MNIST is not measured: the targets are ours",
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
    """Discrete codes: how many are used, what they keep, and whether their prior draws digits."""
    data = dynamic_mnist(protocol)
    test = data.examples("test")
    judge = digit_classifier(protocol, data)
    told = accuracy(judge.model, test)
    run = trained(protocol, "zoo-vq-vae", "vq-vae", data, training=TRAINING, n_codes=N_CODES)
    plain = trained(
        protocol,
        "zoo-vq-plain",
        "vae",
        data,
        training=RECIPE,
        latent_dim=LATENT_DIM,
        **NETWORKS,
    )
    result = evaluated(protocol, run, data, n_samples=1)
    error, plain_error = squared_error(run, test.x), squared_error(plain, test.x)
    made = {
        name: generator.sample(N_GENERATED, protocol.seed, mean=False)
        for name, generator in (("vq-vae", run), ("vae", plain))
    }
    clear = {name: clear_share(judge, drawn) for name, drawn in made.items()}
    rows = (
        Row("classifier on real test digits", told.value, told.stderr, unit="", target=0.985),
        Row(
            "codes in use, of all",
            (result.codes_in_use or 0) / N_CODES,
            unit="",
            target=0.5,
            seconds=seconds_of(run),
        ),
        Row("ELBO of the vq-vae", result.elbo, result.elbo_stderr),
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
            "clear digits among real ones",
            *mean_of(clear_share(judge, test.x)),
            unit="",
            beside=True,
        ),
    )
    notes = (
        f"A clear digit is one to which the classifier gives a probability of {CONFIDENT} or more.",
        "The posterior is a point on a discrete set, so that the KL is -log p(codes) and the ELBO "
        "a bound like any other.",
        "Both see the images as often; a step of the vq-vae, convolutional and with a transformer "
        "as its prior, costs several times that of the vae.",
        "Standard errors are over test images or draws, for one training run each.",
    )
    panels = [
        ("test images", test.x[:64]),
        ("reconstructions", run.reconstruct(test)[:64]),
        ("draws through the learned prior", run.sample(64, protocol.seed, mean=True)),
    ]
    return Findings(rows, notes, {"samples": pictures(panels)}, {"evaluation": result.to_dict()})


def squared_error(run: Run, x: Tensor) -> Tensor:
    """Return the squared error per pixel of each reconstruction, with shape (N,)."""
    return (run.reconstruct(x) - x).square().flatten(1).mean(1)


def clear_share(judge: Run, images: Tensor) -> Tensor:
    """Return for each image whether the classifier is sure of its class, with shape (N,)."""
    return (confidence(judge, images) >= CONFIDENT).to(torch.float64)
