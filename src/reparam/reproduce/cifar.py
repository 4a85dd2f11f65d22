"""Images in color: a document's ladder of networks for CIFAR-10, and true bits per dimension."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reparam import data as data_sets
from reparam.data import Dataset
from reparam.evaluation import Evaluation
from reparam.plots import COLORS, latent_scatter, new_axes, new_figure
from reparam.reproduce.figures import pictures
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Drawing, Findings, Row
from reparam.reproduce.training import evaluated, seconds_of, trained
from reparam.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST, CONVOLUTIONAL = -92.6265, -81.5941
"""The document's ELBO on its own scale, of its first rungs and of the convolutional one."""


@dataclass(frozen=True)
class Rung:
    """One model of the ladder.

    Arguments:
        key: What its run and its figures are called.
        what: What it is, in words.
        variant: The variant.
        options: Its options.
        training: How it is trained.
        published: The document's figure; None where it has none.
    """

    key: str
    what: str
    variant: str
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    published: float | None = None


# Ours: the document gives neither. Chosen on 5,000 images held out of the training images.
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
    Rung("dense-20", "hidden 400, latent 20", "vae", {"latent_dim": 20}, DENSE, FIRST),
    Rung("dense-256", "hidden 400, latent 256", "vae", {"latent_dim": 256}, DENSE, FIRST),
    Rung(
        "wide",
        "hidden 2048, latent 256",
        "vae",
        {"latent_dim": 256, "hidden": (2048,)},
        DENSE,
        FIRST,
    ),
    Rung("conv", "convolutions, batch norm", "conv-vae", NETWORK, CONV, CONVOLUTIONAL),
    Rung("leaky", "the same with LeakyReLU 0.2", "conv-vae", LEAKY, CONV),
)
"""The document's rungs; all on its loss."""

LIKELIHOODS = (
    Rung("shared", "one learned variance", "conv-vae", LEAKY, CONV),
    Rung("optimal", "the optimal variance", "conv-vae", LEAKY, CONV),
    Rung("mixture", "mixture of logistics", "conv-vae", LEAKY, CONV),
)
"""The last network under other likelihoods."""

NAMES = {
    "shared": "gaussian-shared",
    "optimal": "gaussian-optimal",
    "mixture": "logistic-mixture",
}


def linear_optimum(train: Tensor, x: Tensor, variance: float = 0.5) -> tuple[Tensor, int]:
    r"""Return log p(x) under the best linear Gaussian model of a fixed noise, in closed form.

    .. math:: p(x) = \mathcal N(\bar x, U (\Lambda - \sigma^2 I) U^\top + \sigma^2 I)

    U and Λ are the principal axes of the training examples whose variance is above that of the
    noise. It is what a VAE of linear networks comes to, however many latent dimensions it has.

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


@entry(
    "cifar10-ladder",
    source=(
        "a document on VAEs, whose networks for CIFAR-10 are on record at -92.6265 (the first) and "
        "-81.5941 (convolutional) on its own scale: summed squared error and KL"
    ),
    protocol=(
        "CIFAR-10, 50,000 training images in [0, 1]; rungs with hidden 400 and latent 20, latent "
        "256, hidden 2048, convolutions of 32-64-128-256 filters with batch normalization, and "
        "LeakyReLU 0.2, on the document's loss; then the last one with a learned and with the "
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
    """Color images, rung by rung: what each change of the network and of the likelihood brings."""
    data = _levels(protocol)
    # -log N(x; μ, ½ I) = ‖x - μ‖² + ½ D log π, of which the document leaves out the constant.
    constant = 0.5 * data.spec.dim * log(pi)
    rows: list[Row] = []
    losses: dict[str, Run] = {}
    found: dict[str, Evaluation] = {}
    figures: dict[str, Drawing] = {}
    for rung in RUNGS:
        run = _climbed(protocol, data, rung, "squared-error")
        losses[rung.what], found[rung.key] = run, evaluated(protocol, run, data)
        figures |= _shown(protocol, run, data, rung.key)
        result = found[rung.key]
        rows.append(
            Row(
                f"{rung.what}: ELBO on the document's scale",
                None if result.elbo is None else result.elbo + constant,
                result.elbo_stderr,
                published=rung.published,
                target=rung.published or CONVOLUTIONAL,
                seconds=seconds_of(run),
            )
        )
    linear, n_axes = _linear(data)
    rows.append(
        Row(
            f"a linear model, {n_axes} axes, in closed form",
            float(linear.mean()) + constant,
            float(linear.std() / len(linear) ** 0.5),
        )
    )
    figures["losses"] = _losses(losses, constant)
    for rung in LIKELIHOODS:
        run = _climbed(protocol, data, rung, NAMES[rung.key])
        result = found[rung.key] = evaluated(protocol, run, data)
        figures |= _shown(protocol, run, data, rung.key)
        if result.bits_per_dim is None:
            what = f"{rung.what}, σ = {_scale(run):.3f}: ELBO, a density"
            rows.append(Row(what, result.elbo, result.elbo_stderr, seconds=seconds_of(run)))
        else:
            rows.append(_bits_row(rung.what, result, run))
    notes = (
        "The document's loss is the negative ELBO of a Gaussian of variance ½, less a constant: "
        "with so much noise only what varies by more than that of an image is worth a latent.",
        "A linear model with the same loss has a closed form, and passes every rung of the "
        "document: its ladder measures how far networks are trained, more than what they can do.",
        "The document changed its loss on the last rung; here the loss stays, so that the rungs "
        "compare.",
        "Learning rate and batch size were chosen on 5,000 images held out of the training images.",
        "The standard errors are over test images, for one training run each.",
    )
    details = {name: result.to_dict() for name, result in found.items()}
    return Findings(tuple(rows), notes, figures, details)


MIXTURE: dict[str, Any] = {"batch_size": 8, "lr": 1.5e-3, "lr_warmup": 0.1, "kl_warmup": 0.2}
"""Chosen on 5,000 images held out of the training images."""

LADDER: dict[str, Any] = {"maps": (8, 16), "channels": 64, "likelihood": "logistic-mixture"}


@entry(
    "cifar10-mixture",
    source="a claim of this package: bits of the stored levels, from a small ladder on a CPU",
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
    """Bits for each color of each pixel, which a compressor could reach: no density, no offset."""
    data = _levels(protocol)
    run = trained(protocol, "cifar10-mixture", "conv-ladder-vae", data, training=MIXTURE, **LADDER)
    result = evaluated(protocol, run, data.examples("test", limit=2000))
    bound = -(result.elbo or float("nan")) / (data.spec.dim * log(2))
    bits = "bits/dim"
    rows = (
        _bits_row("two layers", result, run, target=4.5),
        Row("its bound, from the ELBO", bound, _bits(result.elbo_stderr, data), bits),
        *(
            Row(f"of which the KL of {name}", _bits(value, data), unit=bits)
            for name, value in (result.kl_groups or {}).items()
        ),
        Row("as they are stored", 8.0, unit=bits),
    )
    figures = {
        "loss": _losses({"two layers": run}, 0.0, 1 / (data.spec.dim * log(2)), "bits/dim"),
        **_shown(protocol, run, data, "ladder"),
    }
    notes = (
        "The levels are modelled as they are stored, so that this is a mass: nothing is "
        "dequantized, and no volume of a cell is subtracted.",
        "Samples have colors and edges but no things: the upper layer of 8 × 8 places is drawn "
        "from a standard normal, which knows of no shape larger than its convolutions reach.",
        "The standard errors are over test images, for one training run.",
    )
    return Findings(rows, notes, figures, {"evaluation": result.to_dict()})


def _levels(protocol: Protocol) -> Dataset:
    return data_sets.load(
        "cifar10", data_dir=protocol.options.data_dir, dequantize=False, validation=0
    )


def _climbed(protocol: Protocol, data: Dataset, rung: Rung, likelihood: str) -> Run:
    return trained(
        protocol,
        f"cifar10-ladder-{rung.key}",
        rung.variant,
        data,
        training=dict(rung.training),
        likelihood=likelihood,
        **rung.options,
    )


def _linear(data: Dataset) -> tuple[Tensor, int]:
    train, test = (data.examples(name).x.flatten(1) for name in ("train", "test"))
    return linear_optimum(train, test)


def _scale(run: Run) -> float:
    """Return the one standard deviation of a Gaussian likelihood."""
    family: Any = run.latent_model.decoder.family
    kept = family.log_scale.exp() if family.scale == "shared" else family.kept_scale
    return float(kept)


def _bits(nats: float | None, data: Dataset) -> float | None:
    return None if nats is None else nats / (data.spec.dim * log(2))


def _bits_row(what: str, result: Evaluation, run: Run, target: float | None = None) -> Row:
    return Row(
        f"{what}: bits per dimension, {result.n_samples} draws",
        result.bits_per_dim,
        result.bits_per_dim_stderr,
        unit="bits/dim",
        target=target,
        rule="at most",
        seconds=seconds_of(run),
    )


def _shown(protocol: Protocol, run: Run, data: Dataset, key: str) -> dict[str, Drawing]:
    """Return the principal plane of the posterior means, and pictures."""
    few, many = data.examples("test", limit=64), data.examples("test", limit=2000)
    panels = [
        ("test images", few.x),
        ("reconstructions", run.reconstruct(few)),
        ("samples from the prior", run.sample(64, seed=protocol.seed, mean=True)),
    ]
    return {
        f"{key}-latents": latent_scatter(run.encode(many), many.y, data.class_names),
        f"{key}-pictures": pictures([(title, images.clamp(0, 1)) for title, images in panels]),
    }


def _losses(
    runs: Mapping[str, Run], constant: float, factor: float = 1.0, unit: str = "nats"
) -> "Figure":
    """Plot the training losses of runs, less a constant and times a factor, by epoch."""
    figure = new_figure(7.2, 4.6)
    axes = new_axes(figure)
    lows, highs = [], []
    for (name, run), color in zip(runs.items(), COLORS, strict=False):
        rows = [row for row in run.rows if row.get("split") == "train" and "elbo" in row]
        if not rows:
            continue
        an_epoch = max(row["step"] / (row["epoch"] + 1) for row in rows)
        epochs = [row["step"] / an_epoch for row in rows]
        losses = [factor * (-row["elbo"] - constant) for row in rows]
        axes.plot(epochs, losses, color=color, linewidth=1.2, label=name)
        lows.append(min(losses))
        # The first steps fall from far above, and would flatten all that follows.
        highs.append(max(losses[len(losses) // 10 :]))
    if lows:
        margin = 0.05 * (max(highs) - min(lows)) or 1.0
        axes.set_ylim(min(lows) - margin, max(highs) + margin)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"loss, {unit} (lower is better)")
    axes.set_title("Loss while training")
    axes.legend(loc="upper right")
    return figure
