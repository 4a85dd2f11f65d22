"""The opposite of posterior collapse: without the KL the scales of the posteriors go to zero."""

from math import log
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

import reparam as rp
from experiments.common import (
    COLORS,
    Experiment,
    Findings,
    Protocol,
    Row,
    drawing,
    mean_of,
    new_axes,
    new_figure,
    number,
    picture_axes,
)

N_SAMPLED = 500
BETAS = (0.0, 1.0)


class _Measured(NamedTuple):
    """The figures of one model.

    Arguments:
        scales: The posterior σ of the training images, with shape (N, D).
        kl: KL(q(z | x)‖p(z)) of each of them, in nats with shape (N,).
        aggregate: KL(q(z)‖p(z)) in nats, and its standard error.
        reconstruction: E_q[log p(x | z)] of each of them, in nats with shape (N,), by one draw.
        codes: A draw from q(z | x) for each training image, with shape (N, D).
        samples: Means of p(x | z) for z from the prior, with shape (S, 1, 8, 8).
        distances: From each sample to the nearest training image, with shape (S,).
    """

    scales: Tensor
    kl: Tensor
    aggregate: tuple[float, float]
    reconstruction: Tensor
    codes: Tensor
    samples: Tensor
    distances: Tensor


@Experiment(
    source=(
        "Su, Variational Autoencoders (1): So That Is What They Are (in Chinese), Scientific "
        "Spaces 5253, 2018, for the claims that without the KL the noise vanishes, and that with "
        "it the mixture of all posteriors, Σ q(z|x) p(x), becomes N(0, I)"
    ),
    protocol=(
        "scikit-learn's digits, the VAE with 200 hidden units and 4 latent dimensions, trained "
        "with β = 0 and with β = 1 from the same weights, and with β = 1 also with 2 dimensions; "
        "posteriors of the training images; samples from the prior N(0, I)"
    ),
    data="digits",
    epochs=60,
    n_samples=5000,
    minutes=0.3,
)
def without_kl(protocol: Protocol) -> Findings:
    """Without the KL the posterior variances vanish, and samples from the prior are no digits."""
    data = protocol.dataset("digits")
    seen = {beta: _look(protocol, data, beta, latent_dim=4) for beta in BETAS}
    plane = _look(protocol, data, 1.0, latent_dim=2)
    train = data.examples("train").x
    real = mean_of(nearest_distance(data.examples("test").x, train))
    off, on = seen[0.0], seen[1.0]
    median_on = float(on.scales.median())
    rows = (
        Row("β = 1: median posterior σ", median_on, unit=""),
        Row(
            "β = 0: median posterior σ",
            float(off.scales.median()),
            unit="",
            target=rounded(median_on / 5),
            rule="at most",
            note="a fifth of that with β = 1",
        ),
        Row("β = 1: reconstruction of the training images", *mean_of(on.reconstruction)),
        Row(
            "β = 0: reconstruction of the training images",
            *mean_of(off.reconstruction),
            target=rounded(float(on.reconstruction.mean())),
            note="an autoencoder: only the reconstruction is trained",
        ),
        Row("a test digit to its nearest training digit, per pixel", *real, unit=""),
        Row("β = 1: a sample to its nearest training digit", *mean_of(on.distances), unit=""),
        Row(
            "β = 0: a sample to its nearest training digit",
            *mean_of(off.distances),
            unit="",
            target=rounded(1.5 * float(on.distances.mean())),
            note="one and a half times that with β = 1",
        ),
        Row("β = 1: mean KL(q(z|x)‖p(z))", *mean_of(on.kl)),
        Row("β = 0: mean KL(q(z|x)‖p(z))", *mean_of(off.kl)),
        Row(
            "β = 1: KL(q(z)‖p(z)) of all posteriors together",
            *on.aggregate,
            target=0.0,
            rule="apart",
            note="were q(z) = N(0, I), this would be 0",
        ),
        Row(
            "β = 0: KL(q(z)‖p(z)) of all posteriors together",
            *off.aggregate,
            target=rounded(10 * on.aggregate[0]),
            note="ten times that with β = 1",
        ),
        Row(
            "β = 1, 2 dimensions: KL(q(z)‖p(z))",
            *plane.aggregate,
            target=0.0,
            rule="apart",
            note="fewer dimensions, which the images fill better",
        ),
    )
    value, stderr = on.aggregate
    mean_kl, log_n = float(on.kl.mean()), log(len(train))
    notes = (
        f"The claim that Σ q(z|x) p(x) becomes N(0, I) holds only roughly: with β = 1 the mixture "
        f"is {value:.2f} ± {stderr:.2f} nats from it ({plane.aggregate[0]:.2f} with 2 dimensions), "
        f"while a single posterior is {mean_kl:.1f} nats from it on average. The KL pulls the "
        "mixture towards the prior, the reconstruction keeps it away, and the decoder is given "
        "some z from the prior that are far from all codes in training.",
        "The mixture is that of the training images' posteriors; over all possible digits it would "
        f"be smoother and nearer. The mutual information of z and {len(train):,} images is at most "
        f"log N = {log_n:.1f} nats: with β = 1 it is {mean_kl - value:.1f}. With β = 0 the "
        "posteriors hardly overlap, it is log N, and KL(q(z)‖p(z)) is the mean KL less log N.",
        "Distances are squared differences per pixel in [0, 1], to the nearest of the training "
        "images. A near image may still be wrong; a far one is not a digit.",
    )
    return Findings(rows, notes, {"figure": _figure(seen, plane)})


def nearest_distance(x: Tensor, others: Tensor) -> Tensor:
    r"""Return how far images are from the nearest of others, :math:`\min_j \|x - y_j\|^2 / D`.

    Arguments:
        x: Images, with shape (N, *shape).
        others: Images, with shape (M, *shape).

    Returns:
        The squared difference per pixel, with shape (N,).

    Example:
        >>> nearest_distance(torch.zeros(1, 4), torch.stack([torch.ones(4), torch.full((4,), 0.5)]))
        tensor([0.2500])
    """
    flat = x.flatten(1).double()
    distances = torch.cdist(flat, others.flatten(1).double()).min(1).values
    return (distances.square() / flat.shape[1]).float()


def _look(protocol: Protocol, data: rp.data.Dataset, beta: float, latent_dim: int) -> _Measured:
    """Train one model, and measure it."""
    run = protocol.train_variant(
        f"without-kl-beta-{beta:g}-latent-{latent_dim}",
        "vae",
        data,
        objective=rp.objectives.ELBO(beta=beta),
        latent_dim=latent_dim,
        hidden=(200,),
        likelihood="categorical",
        training={"batch_size": 64},
    )
    model, train = run.latent_model, data.examples("train").x
    with drawing(protocol.seed):
        x = train.to(next(model.parameters()).device)
        q, prior = model.posterior(x), model.prior_distribution()
        found = rp.evaluation.aggregate_kl(q, prior, protocol.n_samples, seed=protocol.seed)
        divergence = rp.kl(q, prior).value.cpu()
        scales, codes = q.stddev.cpu(), q.sample()
        reconstruction = model.likelihood(codes).log_prob(x).cpu()
    samples = run.sample(N_SAMPLED, seed=protocol.seed, mean=True).cpu()
    return _Measured(
        scales=scales,
        kl=divergence,
        aggregate=number(found),
        reconstruction=reconstruction,
        codes=codes.cpu(),
        samples=samples,
        distances=nearest_distance(samples, train),
    )


def rounded(value: float) -> float:
    """Return a value with three digits, for a target.

    >>> rounded(0.0349353)
    0.0349
    """
    return float(f"{value:.3g}")


def _figure(seen: dict[float, _Measured], plane: _Measured) -> Figure:
    figure = new_figure(11.0, 10.4)
    for i, beta in enumerate(BETAS):
        title = f"β = {beta:g}: samples from the prior"
        picture_axes(new_axes(figure, 2, 2, i + 1), seen[beta].samples[:64], title, 8)
    axes = new_axes(figure, 2, 2, 3)
    bins = torch.logspace(-5, 0.5, 56).tolist()
    colors = (COLORS[1], COLORS[0])
    for beta, color in zip(BETAS, colors, strict=True):
        values = seen[beta].scales.flatten().clamp(min=bins[0]).tolist()
        axes.hist(values, bins=bins, color=color, alpha=0.75, label=f"β = {beta:g}")
    axes.set(
        xscale="log",
        xlabel="posterior σ of a latent dimension",
        ylabel="training images × dimensions",
        title="Scales of the posteriors",
    )
    axes.legend(loc="upper left")
    _codes(new_axes(figure, 2, 2, 4), plane, colors[1])
    return figure


def _codes(axes: Axes, seen: _Measured, color: str) -> None:
    """Plot the mixture of all posteriors and the prior."""
    axes.scatter(
        seen.codes[:, 0].tolist(),
        seen.codes[:, 1].tolist(),
        s=8,
        color=color,
        alpha=0.6,
        linewidths=0,
    )
    for share in (0.5, 0.9, 0.99):
        # A share of N(0, I) in two dimensions lies within this distance of 0.
        radius = (-2 * log(1 - share)) ** 0.5
        axes.add_patch(Circle((0, 0), radius, fill=False, color="#000000", linewidth=1.2))
        axes.text(
            0, radius, f"{share:.0%}", ha="center", va="center", fontsize=9, backgroundcolor="white"
        )
    limit = 1.1 * max(3.1, float(seen.codes.abs().max()))
    axes.set(
        xlim=(-limit, limit),
        ylim=(-limit, limit),
        aspect="equal",
        xlabel="z₁",
        ylabel="z₂",
        title="β = 1, 2 dimensions: all posteriors, and N(0, I) as circles",
    )
