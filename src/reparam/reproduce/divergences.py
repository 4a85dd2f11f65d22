"""The KL three ways, and the naive penalty that looks like it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, Uniform

from reparam import data as data_sets
from reparam.batch import Batch
from reparam.distributions import base
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, kl
from reparam.errors import OptionError
from reparam.models.latent import LatentModel
from reparam.objectives import ELBO, Terms
from reparam.plots import COLORS, new_axes, new_figure
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import mean_of, per_example, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = ((0.0, 1.0), (1.0, 1.0), (0.0, 0.5), (2.0, 0.3), (-1.0, 2.0), (0.5, 0.05))
"""(μ, σ) of the Gaussians that the table has."""


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


@dataclass(frozen=True)
class NaiveObjective:
    r"""The reconstruction less the naive penalty, :math:`\|\mu\|^2 + \|\log \sigma^2\|^2`.

    What it reports as its ELBO is the ELBO of the model; what it maximizes bounds nothing.
    """

    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x = model.as_event(batch.x)
        q = model.posterior(x, batch.c)
        z = q.rsample(torch.Size([1]))
        reconstruction = model.likelihood(z, batch.c).log_prob(x).mean(0)
        divergence = kl(q, model.prior_distribution(batch.c), z)
        penalty = naive_penalty(q.mean, q.stddev).sum(-1)
        return Terms(
            bound=reconstruction - penalty,
            reconstruction=reconstruction,
            kl={"z": divergence.value},
            kl_method=divergence.method,
        )


@entry(
    "kl-three-ways",
    source="two documents' closed form of KL(N(μ, σ²)‖N(0, 1)), and the penalty one warns of",
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
        exact = float(kl(q, p, method=CLOSED_FORM).value)
        value, stderr = monte_carlo(q, p, protocol.n_samples)
        penalty = float(naive_penalty(base(q).mean, base(q).stddev))
        name = f"μ = {mean:g}, σ = {scale:g}"
        rows += [
            Row(f"{name}: closed form", exact),
            Row(
                f"{name}: numeric grid",
                numeric(q, p),
                target=exact,
                rule="within",
                tolerance=1e-6,
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
        "Both are zero at N(0, 1) alone, and there the likeness ends. As σ goes to 0 the KL grows "
        "as -log σ and the penalty as its square; as σ grows the KL follows σ² and the penalty "
        "only (log σ²)². For μ it asks twice the KL's price.",
        "Less the penalty, the reconstruction bounds nothing: where the penalty is below the KL "
        "the objective may exceed log p(x). The rows of the two VAEs are the true ELBO of each.",
    )
    return Findings(tuple(rows), notes, {"figure": _figure(protocol.n_samples)})


def gaussian(mean: float, scale: float) -> Distribution:
    """Return the Gaussian N(μ, σ²) over events of shape (1,), in float64."""
    wide = torch.tensor([mean, scale], dtype=torch.float64)
    return Independent(Normal(wide[:1], wide[1:]), 1)


def numeric(q: Distribution, p: Distribution, n: int = 40_001) -> float:
    r"""Return :math:`\int q \log (q / p)\, dz` by the trapezoid rule, in nats.

    Arguments:
        q: A distribution over events of shape (1,): a Gaussian, or one on an interval.
        p: Another.
        n: The number of points.

    Raises:
        OptionError: Another distribution than these.

    Example:
        >>> round(numeric(gaussian(1.0, 1.0), gaussian(0.0, 1.0)), 6)
        0.5
    """
    inner = base(q)
    if isinstance(inner, Normal):
        low, high = inner.mean - 12 * inner.stddev, inner.mean + 12 * inner.stddev
    elif isinstance(inner, Uniform):
        # A hair inside: at its ends an interval's density is whatever one says it is.
        width = inner.high - inner.low
        low, high = inner.low + 1e-12 * width, inner.high - 1e-12 * width
    else:
        raise OptionError(f"q={type(inner).__name__}: the grid knows Normal and Uniform")
    z = torch.linspace(float(low), float(high), n, dtype=torch.float64)
    log_q, log_p = q.log_prob(z[:, None]), p.log_prob(z[:, None])
    return float(torch.trapezoid(log_q.exp() * (log_q - log_p), z))


def monte_carlo(q: Distribution, p: Distribution, n_samples: int) -> tuple[float, float]:
    """Return the Monte-Carlo estimate of KL(q‖p) and its standard error, in nats.

    Arguments:
        q: A distribution with batch shape ().
        p: Another.
        n_samples: The number of draws.
    """
    many = q.expand(torch.Size([n_samples]))
    # One draw for each of many equal posteriors: their estimates apart.
    return mean_of(kl(many, p, many.sample(torch.Size([1])), method=MONTE_CARLO).value)


def _trained_rows(protocol: Protocol) -> list[Row]:
    data = data_sets.load("digits", data_dir=protocol.options.data_dir, validation=0)
    test = data.examples("test").x
    options: dict[str, Any] = {"latent_dim": 8, "hidden": (200,), "training": {"batch_size": 64}}
    found = {}
    for name, objective in (("KL", ELBO()), ("naive penalty", NaiveObjective())):
        folder = f"kl-three-ways-{name.replace(' ', '-')}"
        run = trained(protocol, folder, "vae", data, objective=objective, **options)
        found[name] = per_example(run, test, 100, protocol.seed)
    difference = mean_of(found["naive penalty"].elbo - found["KL"].elbo)
    return [
        Row("VAE trained with the KL: test ELBO", *mean_of(found["KL"].elbo)),
        Row(
            "VAE trained with the naive penalty: test ELBO",
            *mean_of(found["naive penalty"].elbo),
        ),
        Row(
            "what the naive penalty costs, image by image",
            *difference,
            target=0.0,
            rule="at most",
        ),
    ]


def _figure(n_samples: int) -> "Figure":
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
        exact = [float(kl(q, p, method=CLOSED_FORM).value) for q in smooth]
        penalty = [float(naive_penalty(base(q).mean, base(q).stddev)) for q in smooth]
        # A curve for what is exact, a few points for what is computed.
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
        axes.set_xlabel(label)
        axes.set_ylabel("nats")
        axes.set_ylim(-0.4, 10)
        axes.set_title(("Over the width of q = N(0, σ²)", "Over the mean of q = N(μ, 1)")[i])
        if i == 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        handles = axes.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
