"""The KL of Gaussians by closed form, grid and Monte Carlo, and a naive penalty in its place."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

import reparam as rp
from experiments.common import (
    COLORS,
    Experiment,
    Findings,
    Protocol,
    Row,
    mean_of,
    new_axes,
    new_figure,
)
from experiments.common.divergences import closed_form, gaussian, monte_carlo, numeric
from reparam.distributions import base_distribution

PAIRS = ((0.0, 1.0), (1.0, 1.0), (0.0, 0.5), (2.0, 0.3), (-1.0, 2.0), (0.5, 0.05))
"""(μ, σ) of the Gaussians in the table."""


def naive_penalty(mean: Tensor, scale: Tensor) -> Tensor:
    r"""Return :math:`\mu^2 + (\log \sigma^2)^2`, zero where the KL is, and no divergence.

    Arguments:
        mean: μ, with any shape.
        scale: σ, with the same shape.

    Example:
        >>> naive_penalty(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
        tensor([0., 1.])
    """
    return mean.square() + scale.square().log().square()


@Experiment(
    source=(
        "Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014, appendix B, for the closed "
        "form of KL(N(μ, σ²)‖N(0, 1)); Su, Variational Autoencoders (1): So That Is What They Are "
        "(in Chinese), Scientific Spaces 5253, 2018, for the naive penalty that it warns of"
    ),
    protocol=(
        "six Gaussians against N(0, 1): the closed form, the integral on a grid, the mean over "
        "draws; then the VAE of scikit-learn's digits, 200 hidden units and 8 latent dimensions, "
        "trained with the KL and with ‖μ‖² + ‖log σ²‖² in its place; as many epochs as 200 images "
        "held out of the training images were best with"
    ),
    data="digits",
    epochs=30,
    n_samples=20_000,
    minutes=0.2,
)
def kl_three_ways(protocol: Protocol) -> Findings:
    """Closed form, numeric grid and Monte Carlo agree on the KL; the naive penalty does not."""
    rows: list[Row] = []
    for mean, scale in PAIRS:
        q, p = gaussian(mean, scale), gaussian(0.0, 1.0)
        exact = closed_form(q, p)
        value, stderr = monte_carlo(q, p, protocol.n_samples)
        penalty = _penalty_of(q)
        name = f"μ = {mean:g}, σ = {scale:g}"
        rows += [
            Row(f"{name}: closed form", exact),
            Row(
                f"{name}: numeric grid", numeric(q, p), target=exact, rule="within", tolerance=1e-6
            ),
            Row(
                f"{name}: Monte Carlo",
                value,
                stderr,
                target=exact,
                rule="within",
                # With μ = 0 and σ = 1 every draw gives 0, up to rounding.
                tolerance=4 * stderr + 1e-9,
            ),
            Row(f"{name}: naive penalty", penalty, unit=""),
        ]
    rows += _trained_rows(protocol)
    notes = (
        "Both are zero at N(0, 1) and nowhere else, and have nothing more in common. As σ goes to "
        "0 the KL grows as -log σ and the penalty as its square; as σ grows the KL grows as σ² and "
        "the penalty as (log σ²)². In μ the penalty is twice the KL.",
        "The reconstruction less the penalty is not a bound: if the penalty is below the KL, the "
        "objective may exceed log p(x). The rows of the two VAEs are the true ELBO of each.",
    )
    return Findings(tuple(rows), notes, {"figure": _figure(protocol.n_samples)})


def _penalty_of(q: Distribution) -> float:
    return float(naive_penalty(base_distribution(q).mean, base_distribution(q).stddev))


def _trained_rows(protocol: Protocol) -> list[Row]:
    """Return the test ELBO of a VAE trained with the KL, and of one trained with the penalty."""
    data = protocol.dataset("digits")
    objectives: dict[str, rp.objectives.Objective] = {
        "KL": rp.objectives.ELBO(),
        "naive penalty": rp.objectives.NaivePenalty(),
    }
    rows, found = [], {}
    for name, objective in objectives.items():
        run = protocol.train_variant(
            f"kl-three-ways-{name.replace(' ', '-')}",
            "vae",
            data,
            objective=objective,
            latent_dim=8,
            hidden=(200,),
            likelihood="categorical",
            training={"batch_size": 64},
        )
        found[name] = protocol.scores(run, data.examples("test").x, n_samples=100).elbo
        rows.append(Row(f"VAE trained with the {name}: test ELBO", *mean_of(found[name])))
    cost = mean_of(found["naive penalty"] - found["KL"])
    what = "what the naive penalty costs, image by image"
    return [*rows, Row(what, *cost, target=0.0, rule="at most")]


def _figure(n_samples: int) -> Figure:
    figure = new_figure(11.4, 4.4)
    p = gaussian(0.0, 1.0)
    scales = torch.logspace(-1.5, 0.6, 113, base=10).tolist()
    means = torch.linspace(-3.0, 3.0, 113).tolist()
    panels = (
        ([gaussian(0.0, scale) for scale in scales], scales, "σ"),
        ([gaussian(mean, 1.0) for mean in means], means, "μ"),
    )
    handles: list[Any] = []
    for i, (smooth, fine, label) in enumerate(panels):
        axes = new_axes(figure, 1, 2, i + 1)
        exact = [closed_form(q, p) for q in smooth]
        penalty = [_penalty_of(q) for q in smooth]
        # A curve for exact values, a few points for estimates.
        family, places = smooth[::8], fine[::8]
        drawn = [monte_carlo(q, p, n_samples) for q in family]
        axes.plot(fine, exact, color="#000000", linewidth=1.5, label="KL: closed form")
        axes.plot(
            places,
            [numeric(q, p) for q in family],
            "s",
            color=COLORS[0],
            fillstyle="none",
            markersize=9,
            label="KL: numeric grid",
        )
        axes.errorbar(
            places,
            [value for value, _ in drawn],
            [4 * stderr for _, stderr in drawn],
            fmt="o",
            color=COLORS[2],
            markersize=4,
            label="KL: Monte Carlo",
        )
        axes.plot(fine, penalty, "--", color=COLORS[1], linewidth=2, label="naive penalty")
        axes.set(
            xlabel=label,
            ylabel="nats",
            ylim=(-0.4, 10),
            title=("Over the width of q = N(0, σ²)", "Over the mean of q = N(μ, 1)")[i],
        )
        if i == 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        handles = axes.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
