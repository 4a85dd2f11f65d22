"""A ladder of networks and likelihoods for the color images of CIFAR-10."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from experiments.common import (
    Drawing,
    Experiment,
    Findings,
    Protocol,
    Row,
    losses,
    mean_of,
    row,
    seconds_of,
)
from experiments.common.color import bits_row, color_images, shown

FIRST, CONVOLUTIONAL = -92.6265, -81.5941
"""The report's ELBO on its own scale, of its first networks and of the convolutional one."""


@dataclass(frozen=True)
class Rung:
    """One model of the ladder.

    Arguments:
        key: Its name in runs and figures.
        what: Its description.
        variant: The variant.
        options: Its options.
        training: Options of training.
        likelihood: The likelihood.
        published: The report's figure; None for none.
    """

    key: str
    what: str
    variant: str
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    likelihood: str = "squared-error"
    published: float | None = None


# Ours: the report gives neither learning rate nor batch size. Chosen on 5,000 images held out of
# the training images.
DENSE: dict[str, Any] = {"batch_size": 64, "lr": 1e-3, "lr_warmup": 0.1}
CONV: dict[str, Any] = {"batch_size": 64, "lr": 3e-3, "lr_warmup": 0.1}

NETWORK: dict[str, Any] = {
    "latent_dim": 256,
    "channels": (32, 64, 128, 256),
    "norm": "batch",
    "padding": 1,
}
LEAKY: dict[str, Any] = {**NETWORK, "activation": "leaky-relu"}

RUNGS = (
    Rung("dense-20", "hidden 400, latent 20", "vae", {"latent_dim": 20}, DENSE, published=FIRST),
    Rung("dense-256", "hidden 400, latent 256", "vae", {"latent_dim": 256}, DENSE, published=FIRST),
    Rung(
        "wide",
        "hidden 2048, latent 256",
        "vae",
        {"latent_dim": 256, "hidden": (2048,)},
        DENSE,
        published=FIRST,
    ),
    Rung("conv", "convolutions, batch norm", "conv-vae", NETWORK, CONV, published=CONVOLUTIONAL),
    Rung("leaky", "the same with LeakyReLU 0.2", "conv-vae", LEAKY, CONV),
)
"""The report's networks; all with its loss."""

LIKELIHOODS = (
    Rung("shared", "one learned variance", "conv-vae", LEAKY, CONV, "gaussian-shared"),
    Rung("optimal", "the optimal variance", "conv-vae", LEAKY, CONV, "gaussian-optimal"),
    Rung("mixture", "mixture of logistics", "conv-vae", LEAKY, CONV, "logistic-mixture"),
)
"""The last network with other likelihoods."""


def linear_optimum(train: Tensor, x: Tensor, variance: float = 0.5) -> tuple[Tensor, int]:
    r"""Return log p(x) under the best linear Gaussian model of a fixed noise, in closed form.

    .. math:: p(x) = \mathcal N(\bar x, U (\Lambda - \sigma^2 I) U^\top + \sigma^2 I)

    U and Λ are the principal axes of the training examples whose variance is above that of the
    noise. A VAE of linear networks converges to it, with any larger number of latent dimensions.

    Arguments:
        train: Training examples, with shape (N, D).
        x: The examples to score, with shape (M, D).
        variance: σ², that of the noise.

    Returns:
        Nats, with shape (M,), and the number of axes.

    References:
        Tipping & Bishop, Probabilistic principal component analysis, 1999, section 3.2; Lucas et
        al., Don't blame the ELBO, NeurIPS 2019.

    Example:
        >>> x = torch.zeros(3, 2)
        >>> linear_optimum(x, x)[1]
        0
    """
    mean = train.double().mean(0)
    spectrum, axes = torch.linalg.eigh(torch.cov((train.double() - mean).T, correction=0))
    kept = spectrum > variance
    difference = x.double() - mean
    along = difference @ axes[:, kept]
    rest = difference.square().sum(-1) - along.square().sum(-1)
    scales = spectrum[kept]
    log_det = scales.log().sum() + (train.shape[-1] - len(scales)) * log(variance)
    distance = (along.square() / scales).sum(-1) + rest / variance
    return -0.5 * (distance + log_det + train.shape[-1] * log(2 * pi)), len(scales)


@Experiment(
    source=(
        "the report on autoencoders and VAEs from which this project began (its networks for "
        "CIFAR-10; its title and author were not recorded), with -92.6265 for the first and "
        "-81.5941 for the convolutional network on its own scale, summed squared error and KL"
    ),
    protocol=(
        "CIFAR-10, 50,000 training images in [0, 1]; rungs with hidden 400 and latent 20, latent "
        "256, hidden 2048, convolutions of 32-64-128-256 filters with batch normalization, and "
        "LeakyReLU 0.2, on the report's loss; then the last one with a learned and with the "
        "optimal variance, and with a discretized mixture of logistics on the 256 levels; Adam, "
        "batch 64, with warm-up and cosine decay; measured on the 10,000 test images"
    ),
    data="cifar10",
    epochs=6,
    full_epochs=60,
    n_samples=10,
    minutes=60,
)
def cifar10_ladder(protocol: Protocol) -> Findings:
    """Color images, step by step: the gain of each change of network and likelihood."""
    data = color_images(protocol)
    # -log N(x; μ, ½ I) = ‖x - μ‖² + ½ D log π; the report's loss leaves out the constant.
    constant = 0.5 * data.spec.dim * log(pi)
    rows: list[Row] = []
    runs: dict[str, rp.Run] = {}
    details: dict[str, dict[str, Any]] = {}
    figures: dict[str, Drawing] = {}
    for rung in (*RUNGS, *LIKELIHOODS):
        if rung is LIKELIHOODS[0]:
            rows.append(_linear_row(data, constant))
            figures["losses"] = losses(runs, constant=-constant, unit="nats")
        run = protocol.train_variant(
            f"cifar10-ladder-{rung.key}",
            rung.variant,
            data,
            training=rung.training,
            likelihood=rung.likelihood,
            **rung.options,
        )
        found = details[rung.key] = protocol.evaluate(run, data)
        figures |= shown(protocol, run, data, rung.key)
        seconds = seconds_of(run)
        if rung in RUNGS:
            runs[rung.what] = run
            elbo = None if found["elbo"] is None else found["elbo"] + constant
            what = f"{rung.what}: ELBO on the report's scale"
            target = rung.published or CONVOLUTIONAL
            more: dict[str, Any] = {"published": rung.published, "target": target}
            rows.append(row(what, {**found, "elbo": elbo}, "elbo", seconds=seconds, **more))
        elif found["bits_per_dim"] is None:
            what = f"{rung.what}, σ = {_scale(run):.3f}: ELBO, a density"
            rows.append(row(what, found, "elbo", seconds=seconds))
        else:
            rows.append(bits_row(rung.what, found, run))
    notes = (
        "The report's loss is the negative ELBO of a Gaussian of variance ½, less a constant: with "
        "so much noise a latent pays only for directions whose variance is above ½.",
        "A linear model with the same loss has a closed form, and is better than every network of "
        "the report: its ladder measures how far networks are trained more than what they can do.",
        "The report changed its loss on the last rung; here the loss stays, so that the rungs "
        "compare.",
        "Learning rate and batch size were chosen on 5,000 images held out of the training images.",
        "The standard errors are over test images, for one training run each.",
    )
    return Findings(rows, notes, figures, details)


def _linear_row(data: rp.data.Dataset, constant: float) -> Row:
    """Return the row of the best linear model, in closed form."""
    train, test = (data.examples(name).x.flatten(1) for name in ("train", "test"))
    values, n_axes = linear_optimum(train, test)
    ours, stderr = mean_of(values)
    return Row(f"a linear model, {n_axes} axes, in closed form", ours + constant, stderr)


def _scale(run: rp.Run) -> float:
    """Return the one standard deviation of a Gaussian likelihood."""
    family: Any = run.latent_model.decoder.family
    kept = family.log_scale.exp() if family.scale == "shared" else family.kept_scale
    return float(kept)
