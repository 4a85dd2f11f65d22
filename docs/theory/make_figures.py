"""Make the figures of the theory pages: ``python docs/theory/make_figures.py [NAME ...]``.

Every function below draws one figure, by the public interface of reparam and with fixed seeds. Its
file is ``figures/NAME.png``, where the name is that of the function with hyphens. All of them take
about a minute on one core. The pages quote numbers that their own code blocks print, not these.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import log, pi
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Uniform

import reparam as rp
from reparam.plots import COLORS, new_axes, new_figure

FOLDER = Path(__file__).parent / "figures"
WIDTH = 5.6  # inches: at the width of a phone, 12 points are still 10 pixels
STYLE = {"font.size": 12.0, "axes.titlesize": 12.0, "legend.fontsize": 10.5, "savefig.dpi": 200}

BLUE, RED, GREEN, YELLOW, CYAN, WINE = COLORS[:6]

FIGURES: dict[str, Callable[[], Figure]] = {}
"""The figures by name."""


def drawn(function: Callable[[], Figure]) -> Callable[[], Figure]:
    """Add a figure to ``FIGURES``, under the name of its function."""
    FIGURES[function.__name__.replace("_", "-")] = function
    return function


def stacked(*heights: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel below the other, of these heights in inches."""
    figure = new_figure(WIDTH, sum(heights))
    places = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    return figure, [new_axes(figure, place) for place in places]


def show_images(axes: Axes, images: Tensor, n_columns: int, title: str) -> None:
    """Show images with shape (N, 1, H, W) in rows, dark on white."""
    n, _, height, width = images.shape
    n_rows = -(-n // n_columns)
    padded = nn.functional.pad(images, (0, 1, 0, 1))[:, 0]
    sheet = padded.reshape(n_rows, n_columns, height + 1, width + 1).permute(0, 2, 1, 3)
    axes.imshow(sheet.reshape(n_rows * (height + 1), -1), cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title)
    axes.set_axis_off()


class Given(nn.Module):
    """An encoder that returns the same posteriors for every x."""

    def __init__(self, q: Distribution) -> None:
        super().__init__()
        self.q = q

    def forward(self, x: Tensor) -> Distribution:
        """Return q, expanded to the batch of x."""
        return self.q.expand(x.shape[:1])


class Line(nn.Module):
    """The decoder p(x | z) = N(w z, s²) of the models whose log p(x) is known."""

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""
        return gaussian(W * z, torch.full_like(z, S))


W, S, X = 0.8, 0.5, 1.0
"""w and s of the linear model, and the x that is observed."""
POSTERIOR = (W * X / (W**2 + S**2), (S**2 / (W**2 + S**2)) ** 0.5)
"""Mean and σ of its exact posterior."""
LOG_P = float(Normal(0.0, (W**2 + S**2) ** 0.5).log_prob(torch.tensor(X)))
"""Its exact log p(x)."""


def gaussian(loc: Tensor, scale: Tensor) -> Distribution:
    """Return the Gaussians with these parameters, over events of the last axis."""
    return Independent(Normal(loc, scale), 1)


def linear_model(loc: Tensor, scale: Tensor) -> tuple[rp.LatentModel, rp.Batch]:
    """Return the linear model with these posteriors, one for each row, and as many x."""
    q = gaussian(loc.reshape(-1, 1), scale.reshape(-1, 1))
    model = rp.LatentModel(Given(q), Line(), rp.priors.StandardNormal(1))
    return model, rp.Batch(torch.full((loc.numel(), 1), X))


@cache
def digits() -> rp.data.Dataset:
    """Return the digits of scikit-learn, 8 × 8 pixels with 17 levels of gray."""
    return rp.data.load("digits")


def train(recipe: Any, epochs: int = 50, **options: Any) -> rp.Run:
    """Train on the digits, a few seconds."""
    data = options.pop("data", digits())
    options = {"lr": 5e-3, "seed": 0, "device": "cpu", "progress": False} | options
    return rp.fit(recipe, data, epochs=epochs, **options)


@cache
def vae(latent_dim: int, beta: float) -> rp.Run:
    """Return a trained VAE of the digits."""
    torch.manual_seed(0)  # the same weights whichever figure is first
    spec, objective = digits().spec, rp.objectives.ELBO(beta=beta)
    recipe = rp.variants.vae(spec, latent_dim=latent_dim, hidden=[200])
    return train(rp.variants.replace(recipe, objective=objective))


@drawn
def autoencoder_to_vae() -> Figure:
    """The naive picture beside an autoencoder and a VAE: reconstructions and samples."""
    spec, x = digits().spec, digits().examples("test").x[:10]
    prior = rp.priors.StandardNormal(8)
    decoder = rp.Conditional(rp.nn.MLP(8, 200), rp.families.DiscretizedLogistic(spec.shape, 17))
    naive = train(rp.LatentModel(Given(prior()), decoder, prior), precision="float32")
    plain = train(rp.variants.ae(spec, latent_dim=8, hidden=[200]))
    full = vae(8, 1.0)
    z = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
    rows = (
        (x, "test digits x"),
        (naive.latent_model.decode(z).detach(), "naive: x trained with an unrelated z ~ N(0, I)"),
        (plain.reconstruct(digits())[:10], "autoencoder: reconstructions"),
        (plain.decode(z), "autoencoder: decoded z ~ N(0, I)"),
        (full.reconstruct(digits())[:10], "VAE: reconstructions"),
        (full.decode(z), "VAE: decoded z ~ N(0, I)"),
    )
    figure = new_figure(WIDTH, 5.3)
    for i, (images, title) in enumerate(rows):
        show_images(new_axes(figure, len(rows), 1, i + 1), images.reshape(-1, 1, 8, 8), 10, title)
    return figure


@drawn
def elbo_gap() -> Figure:
    """The gap of the bound is KL(q(z | x) ‖ p(z | x)), for a model that is known exactly."""
    figure, (top, bottom) = stacked(2.9, 3.3)
    z = torch.linspace(-2.5, 3.0, 300)
    for loc, scale, color, style, label in (
        (0.0, 1.0, "#777777", ":", "prior p(z)"),
        (*POSTERIOR, "#000000", "-", "posterior p(z | x)"),
        (0.2, 0.3, RED, "--", "one q(z | x)"),
    ):
        top.plot(z, Normal(loc, scale).log_prob(z).exp(), style, color=color, label=label, lw=2)
    top.set(xlabel="z", ylabel="density", title=f"x = {X:g} is observed")
    top.legend(loc="upper left")
    means = torch.linspace(-0.4, 2.2, 14)
    bottom.axhline(LOG_P, color="#000000", lw=1.5)
    bottom.text(-0.45, LOG_P + 0.12, "log p(x)", va="bottom")
    for scale, color, marker in ((POSTERIOR[1], BLUE, "o"), (0.15, RED, "s")):
        q = gaussian(means[:, None], torch.full_like(means[:, None], scale))
        exact = gaussian(*(torch.full_like(means[:, None], value) for value in POSTERIOR))
        gap = rp.kl(q, exact).value
        model, batch = linear_model(means, torch.full_like(means, scale))
        torch.manual_seed(0)
        bound = rp.objectives.ELBO(n_samples=20_000)(model, batch).bound.detach()
        label = f"σ of q = {scale:.2f}"
        bottom.plot(means, LOG_P - gap, color=color, lw=1.5)
        bottom.plot(means, bound, marker, color=color, ms=6, label=f"ELBO, {label}")
        if scale == POSTERIOR[1]:
            bottom.fill_between(means, LOG_P - gap, LOG_P, color=CYAN, alpha=0.35, lw=0)
    bottom.set(
        xlabel="mean of q(z | x)",
        ylabel="nats",
        ylim=(-5, -0.4),
        title="points: ELBO; lines: log p(x) − KL(q ‖ p(z | x))",
    )
    bottom.legend(loc="lower center")
    return figure


def gradients(phi: Tensor, n_draws: int, kind: str) -> Tensor:
    """Return the derivative in φ of the ELBO at each draw z ~ N(φ, 0.7²), with shape (n, P).

    Arguments:
        phi: The places, with shape (P,).
        n_draws: The number of draws at each place.
        kind: ``through`` the draw, ``exchanged``, or ``score`` for that with the dropped term.
    """
    loc = phi.expand(n_draws, -1).reshape(-1).clone().requires_grad_()
    model, batch = linear_model(loc, torch.full_like(loc, 0.7))
    q = model.posterior(batch.x)
    z = q.rsample() if kind == "through" else q.sample()
    log_q = q.log_prob(z)
    value = model.likelihood(z).log_prob(batch.x) + model.prior_distribution().log_prob(z) - log_q
    if kind == "score":
        value = value + value.detach() * log_q
    (found,) = torch.autograd.grad(value.sum(), loc)
    return found.reshape(n_draws, -1)


@drawn
def gradient() -> Figure:
    """Mean and noise of three estimates of the gradient of the ELBO."""
    torch.manual_seed(0)
    phi = torch.linspace(-2.0, 3.0, 11)
    fine = torch.linspace(-2.0, 3.0, 101)
    exact = -fine + W * (X - W * fine) / S**2
    figure, (top, bottom) = stacked(3.3, 3.0)
    top.plot(fine, exact, color="#000000", lw=1.5, label="exact")
    for kind, label, color, marker in (
        ("through", "reparameterized", BLUE, "o"),
        ("exchanged", "∇ and E exchanged", RED, "s"),
        ("score", "score function", GREEN, "^"),
    ):
        found = gradients(phi, 20_000, kind)
        error = 4 * found.std(0) / len(found) ** 0.5
        top.errorbar(phi, found.mean(0), error, fmt=marker, color=color, label=label, ms=6)
        if kind != "exchanged":
            bottom.plot(phi, found.std(0), f"{marker}-", color=color, label=label, ms=6)
    top.set(ylabel="∂ ELBO / ∂φ", title="Mean over 20,000 draws (bars: 4 standard errors)")
    top.legend(loc="upper right")
    bottom.set(xlabel="φ, the mean of q(z | x)", ylabel="std. dev. of one draw", ylim=(0, None))
    bottom.set_title("Noise of the two unbiased estimates")
    bottom.legend(loc="upper center")
    return figure


@drawn
def kl_three_ways() -> Figure:
    """The KL of a Gaussian by closed form, grid and draws, and the naive penalty."""
    torch.manual_seed(0)
    unit = gaussian(torch.zeros(1), torch.ones(1))
    figure, panels = stacked(3.2, 3.2)
    scales = torch.logspace(-1.5, 0.6, 85)
    means = torch.linspace(-3.0, 3.0, 85)
    sweeps = (
        (torch.zeros(85), scales, scales, "σ, with μ = 0"),
        (means, torch.ones(85), means, "μ, with σ = 1"),
    )
    for axes, (loc, scale, shown, name) in zip(panels, sweeps, strict=True):
        q = gaussian(loc[:, None], scale[:, None])
        some = slice(None, None, 7)
        few = gaussian(loc[some, None], scale[some, None])
        z = few.sample(torch.Size([20_000]))
        grid = loc[some, None] + scale[some, None] * torch.linspace(-10, 10, 4001)
        log_q = Normal(loc[some, None], scale[some, None]).log_prob(grid)
        integral = torch.trapezoid(log_q.exp() * (log_q - Normal(0.0, 1.0).log_prob(grid)), grid)
        axes.plot(shown, rp.kl(q, unit).value, color="#000000", label="KL: closed form")
        look = {"color": BLUE, "fillstyle": "none", "ms": 9, "label": "KL: grid"}
        axes.plot(shown[some], integral, "s", **look)
        drawn_kl = rp.kl(few, unit, z, method="Monte Carlo").value
        axes.plot(shown[some], drawn_kl, "o", color=GREEN, ms=4, label="KL: 20,000 draws")
        naive = loc.square() + scale.square().log().square()
        axes.plot(shown, naive, "--", color=RED, lw=2, label="μ² + (log σ²)²")
        axes.set(xlabel=name, ylabel="nats", ylim=(-0.4, 10))
    panels[0].set_xscale("log")
    panels[0].xaxis.set_major_formatter("{x:g}")
    panels[1].legend(loc="upper center")
    return figure


@drawn
def noise_against_kl() -> Figure:
    """Samples, scales of the posteriors and codes with β = 0 and with β = 1."""
    figure = new_figure(WIDTH, 8.0)
    rows = figure.add_gridspec(3, 2, height_ratios=(1.0, 0.8, 1.0))
    middle = new_axes(figure, rows[1, :])
    x = digits().examples("train").x
    bins = torch.logspace(-4, 0.4, 60).tolist()
    for i, (beta, color) in enumerate(((0.0, RED), (1.0, BLUE))):
        run = vae(8, beta)
        images = run.sample(64, seed=0, mean=True)
        show_images(new_axes(figure, rows[0, i]), images, 8, f"β = {beta:g}: samples")
        torch.manual_seed(0)
        with torch.no_grad():
            q = run.latent_model.posterior(x)
            codes = q.sample()
        scales = q.stddev.flatten()
        middle.hist(scales, bins, color=color, alpha=0.75, label=f"β = {beta:g}")
        axes = new_axes(figure, rows[2, i])
        axes.scatter(codes[:, 0], codes[:, 1], s=4, color=color, alpha=0.5, lw=0)
        # Half, and 99 %, of a standard normal in the plane lie within these circles.
        for share in (0.5, 0.99):
            radius = (-2 * log(1 - share)) ** 0.5
            axes.add_patch(Circle((0, 0), radius, fill=False, color="#000000", lw=1.4))
        reach = 1.05 * max(3.3, float(codes[:, :2].abs().max()))
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set_title(f"β = {beta:g}: codes, z₁ and z₂")
    middle.set(xscale="log", xlabel="posterior σ", ylabel="examples × dimensions")
    middle.legend(loc="upper left")
    return figure


@drawn
def uniform_posterior() -> Figure:
    """Where the KL of a uniform posterior is finite, and how much it costs."""
    widths = torch.logspace(-1.3, 1.0, 80)
    unit = gaussian(torch.zeros(1), torch.ones(1))
    figure, (top, bottom) = stacked(3.2, 3.0)
    for middle, color in ((0.0, BLUE), (1.5, GREEN)):
        loc = torch.full_like(widths, middle)[:, None]
        box = Independent(Uniform(loc - widths[:, None] / 2, loc + widths[:, None] / 2), 1)
        equal = gaussian(loc, widths[:, None] / 12**0.5)
        top.plot(widths, rp.kl(box, unit).value, color=color, lw=2, label=f"box around {middle:g}")
        label = "Gaussian, same mean and variance"
        top.plot(widths, rp.kl(equal, unit).value, "--", color=color, lw=1.5, label=label)
    top.set(xscale="log", ylim=(0, 7), ylabel="KL from N(0, 1), nats", xlabel="width of the box")
    top.set_title("Box: finite KL, above that of the Gaussian")
    top.legend(loc="upper right", fontsize=9)
    inside = torch.linspace(0.05, 2.0, 60)
    box = Independent(Uniform(-inside[:, None] / 2, inside[:, None] / 2), 1)
    around = Independent(Uniform(-torch.ones(1), torch.ones(1)), 1)
    bottom.plot(inside, rp.kl(box, around).value, color=BLUE, lw=2)
    bottom.axvspan(2.0, 3.0, color=RED, alpha=0.3, lw=0)
    bottom.text(2.5, 1.7, "infinite:\nrefused", ha="center", va="center")
    bottom.set(xlim=(0, 3), ylim=(0, 3.5), xlabel="width w of q = U[−w/2, w/2]")
    bottom.set(ylabel="KL from U[−1, 1], nats", title="From another box, only inside it")
    return figure


@drawn
def importance_sampling() -> Figure:
    """The importance-weighted bound and the effective sample size, over the number of draws."""
    torch.manual_seed(0)
    counts = [2**i for i in range(11)]
    loc, scale = POSTERIOR
    figure, (top, bottom) = stacked(3.2, 3.0)
    top.axhline(0.0, color="#000000", lw=1.2)
    for factor, color, marker, name in (
        (1.0, GREEN, "^", "exact posterior"),
        (2.0, BLUE, "o", "σ twice as large"),
        (0.4, RED, "s", "σ × 0.4"),
    ):
        repeats = torch.full((2000,), loc)
        model, batch = linear_model(repeats, torch.full_like(repeats, factor * scale))
        log_weight = model.draw(batch.x, n_samples=counts[-1]).log_weight.double()
        bounds, shares = [], []
        for k in counts:
            weight = log_weight[:k]
            bounds.append(float((weight.logsumexp(0) - log(k)).mean()) - LOG_P)
            normed = weight.softmax(0)
            shares.append(float((1 / normed.square().sum(0) / k).mean()))
        top.plot(counts, bounds, f"{marker}-", color=color, label=f"q: {name}")
        bottom.plot(counts, shares, f"{marker}-", color=color)
    top.set(xscale="log", ylabel="nats", title="Mean of the K-draw bound, minus log p(x)")
    top.legend(loc="lower right")
    bottom.set(xscale="log", ylim=(0, 1.05), xlabel="K, draws of z for each x")
    bottom.set(ylabel="share of the draws", title="Effective sample size / K")
    return figure


@drawn
def draw_me_a_two() -> Figure:
    """Samples of each class from the two kinds of conditional VAE."""
    data = digits().conditioned("label")
    figure = new_figure(WIDTH, 5.6)
    kinds = (
        (rp.variants.class_prior_vae, "p(z | y) = N(μ_y, I)"),
        (rp.variants.cvae, "y into encoder and decoder"),
    )
    for i, (variant, title) in enumerate(kinds):
        run = train(variant(data.spec, latent_dim=8, hidden=[200]), data=data)
        axes = new_axes(figure, 2, 1, i + 1)
        show_images(axes, run.sample(50, seed=0, mean=True), 10, title)
        for y in range(10):
            axes.text(9 * y + 3.5, 46.5, str(y), ha="center", va="center")
    return figure


def simplex(points: Tensor) -> Tensor:
    """Return points of the simplex of three classes, with shape (N, 3), in the plane."""
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
    return points @ corners


@drawn
def discrete_and_spherical() -> Figure:
    """Relaxed one-hot codes, codes of a codebook, and directions."""
    torch.manual_seed(0)
    figure = new_figure(WIDTH, 7.6)
    rows = figure.add_gridspec(3, 3, height_ratios=(1.0, 1.5, 1.4))
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    for i, tau in enumerate((5.0, 1.0, 0.2)):
        axes = new_axes(figure, rows[0, i])
        codes = rp.distributions.OneHotCodes(logits, torch.tensor(tau)).sample((600,))
        axes.plot(*simplex(torch.eye(3)[[0, 1, 2, 0]]).T, color="#000000", lw=1)
        axes.scatter(*simplex(codes).T, s=6, color=BLUE, alpha=0.4, lw=0)
        axes.set(aspect="equal", title=f"τ = {tau:g}")
        axes.set_axis_off()
    axes = new_axes(figure, rows[1, :])
    codebook = rp.nn.Codebook(n_codes=6, code_dim=2, decay=0.8)
    vectors = torch.randn(400, 2)
    codebook.start(vectors)
    for _ in range(30):
        codebook.update(vectors, rp.distributions.nearest_code(vectors, codebook.codes))
    nearest = rp.distributions.nearest_code(vectors, codebook.codes)
    for k in range(6):
        mine = vectors[nearest == k]
        axes.scatter(*mine.T, s=10, color=COLORS[k], alpha=0.45, lw=0)
        axes.plot(*codebook.codes[k], "X", color=COLORS[k], ms=12, mec="#000000")
    axes.set(aspect="equal", title="vectors and their nearest code (X)")
    axes = new_axes(figure, rows[2, :])
    north = torch.tensor([0.0, 0.0, 1.0])
    edges = torch.linspace(0, pi, 40)
    for kappa, color in ((1.0, GREEN), (5.0, BLUE), (20.0, RED)):
        q = rp.distributions.VonMisesFisher(north, torch.tensor(kappa))
        angle = q.sample((20_000,))[:, 2].clamp(-1, 1).acos()
        axes.hist(angle, edges, density=True, color=color, alpha=0.3)
        t = torch.linspace(0, pi, 200)
        z = torch.stack([t.sin(), torch.zeros_like(t), t.cos()], -1)
        density = q.log_prob(z).exp() * 2 * pi * t.sin()
        axes.plot(t, density, color=color, lw=2, label=f"κ = {kappa:g}")
    axes.set(xlabel="angle between z and μ", title="von Mises-Fisher on the sphere")
    axes.legend(loc="upper right")
    return figure


class Curve(nn.Module):
    """A decoder of two latents, p(x | z) = N(z₂ − 0.6 z₁² − 0.8 z₁, 0.2²)."""

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x | z) for z with shape (*, 2)."""
        first, second = z[..., :1], z[..., 1:]
        loc = second - 0.6 * first.square() - 0.8 * first
        return gaussian(loc, torch.full_like(loc, 0.2))


@drawn
def flow_posterior() -> Figure:
    """Three posteriors fitted to one curved true posterior, and the gap of each."""
    axis = torch.linspace(-4.0, 4.0, 401)
    places = torch.cartesian_prod(axis, axis).reshape(401, 401, 2)
    prior, decoder = rp.priors.StandardNormal(2), Curve()
    x = torch.zeros(1, 1)
    log_joint = decoder(places).log_prob(x) + prior().log_prob(places)
    log_p = float(log_joint.flatten().logsumexp(0) + 2 * (axis[1] - axis[0]).log())
    families = (
        ("diagonal", rp.families.Gaussian(2), 600),
        ("full covariance", rp.families.FullCovarianceGaussian(2), 600),
        ("flow", rp.families.Flow(2, n_transforms=4, hidden=(64,)), 1000),
    )
    figure = new_figure(WIDTH, 5.8)
    axes = new_axes(figure, 2, 2, 1)
    axes.contourf(axis, axis, (log_joint - log_p).exp().T, levels=8, cmap="Greys")
    axes.set(title="p(z | x)")
    for i, (name, family, steps) in enumerate(families):
        torch.manual_seed(0)
        model = rp.LatentModel(rp.Conditional(rp.nn.MLP(1, 16), family), decoder, prior)
        optimizer = torch.optim.Adam(model.encoder.parameters(), lr=5e-3)
        objective = rp.objectives.ELBO(n_samples=64, kl_method="Monte Carlo")
        for _ in range(steps):
            optimizer.zero_grad()
            objective(model, rp.Batch(x)).loss.backward()
            optimizer.step()
        with torch.no_grad():
            gap = log_p - float(model.draw(x, n_samples=20_000).log_weight.mean())
            density = model.posterior(x).log_prob(places.reshape(-1, 1, 2)).exp()
        axes = new_axes(figure, 2, 2, i + 2)
        axes.contourf(axis, axis, density.reshape(401, 401).T, levels=8, cmap="Greys")
        axes.set(title=f"{name}: {gap:.2f} nats")
    for axes in figure.axes:
        axes.set(xlim=(-2.8, 2.0), ylim=(-1.8, 2.6), aspect="equal")
    return figure


@drawn
def likelihoods() -> Figure:
    """The constant that cross-entropy lacks, cells of rounded numbers, and masses of levels."""
    figure, (top, middle, bottom) = stacked(2.6, 2.9, 2.6)
    logits = torch.linspace(-12, 12, 241)
    constant = rp.distributions.ContinuousBernoulli(logits).log_normalizer
    top.plot(logits, constant, color=BLUE, lw=2)
    top.set(xlabel="logit of the pixel", ylabel="log C, nats", ylim=(0, 2.7))
    top.set_title("What cross-entropy on gray pixels leaves out")
    scales = torch.logspace(-3, 0.5, 120)
    density = Normal(0.0, scales).log_prob(torch.zeros(()))
    cell = rp.distributions.RoundedNormal(torch.zeros(120), scales, torch.full((120,), 0.1))
    middle.plot(scales, density, color=RED, lw=2, label="density of the value")
    middle.plot(scales, cell.log_prob(torch.zeros(120)), color=BLUE, lw=2, label="mass of its cell")
    middle.axhline(0, color="#000000", lw=1)
    middle.set(xscale="log", xlabel="σ, where a value repeats exactly", ylabel="nats per value")
    middle.set_title("Numbers rounded to 0.1")
    middle.legend(loc="upper right")
    levels = torch.linspace(0, 1, 17)
    for loc, color in ((0.05, GREEN), (0.6, BLUE)):
        p = rp.distributions.DiscretizedLogistic(torch.tensor(loc), torch.tensor(0.06), 17)
        shift = 0.008 if color == BLUE else -0.008
        mass = p.log_prob(levels).exp()
        bottom.bar(levels + shift, mass, width=0.03, color=color, alpha=0.8, label=f"μ = {loc}")
    bottom.set(xlabel="gray level", ylabel="probability")
    bottom.set_title("Discretized logistic, 17 levels, s = 0.06")
    bottom.legend(loc="upper right")
    return figure


@drawn
def collapse() -> Figure:
    """The KL of each dimension of four models, and the KL in the course of training."""
    spec, x = digits().spec, digits().examples("test").x
    elbo = rp.objectives.ELBO
    settings = (
        ("ELBO", elbo(), 0.0, BLUE, "o"),
        ("ELBO, KL warm-up", elbo(), 25.0, GREEN, "^"),
        ("free bits, λ = 0.25", elbo(free_bits=0.25), 0.0, YELLOW, "D"),
        ("mean over pixels, β = 64", elbo(beta=64.0), 0.0, RED, "s"),
    )
    figure, (top, bottom) = stacked(3.4, 3.0)
    for label, objective, kl_warmup, color, marker in settings:
        recipe = rp.variants.vae(spec, latent_dim=16, hidden=[200])
        recipe = rp.variants.replace(recipe, objective=objective)
        run = train(recipe, kl_warmup=kl_warmup, log_every=10)
        model = run.latent_model
        with torch.no_grad():
            nats = rp.kl(model.posterior(x), model.prior_distribution()).per_dimension
        heights = nats.mean(0).sort(descending=True).values
        top.plot(range(1, 17), heights, f"{marker}-", color=color, label=label, ms=5)
        rows = [row for row in run.rows if "kl" in row]
        bottom.plot([row["step"] for row in rows], [row["kl"] for row in rows], color=color, lw=1.8)
    top.set(xlabel="latent dimension, sorted", ylabel="KL, nats", title="KL of each dimension")
    top.legend(loc="upper right")
    bottom.set(xlabel="optimizer step", ylabel="KL, nats", title="KL of all of them in training")
    return figure


@drawn
def clusters() -> Figure:
    """Members and samples of each cluster, found without labels."""
    test = digits().examples("test")
    run = cluster_vae()
    figure = new_figure(WIDTH, 3.9)
    figure.get_layout_engine().set(w_pad=0.15)
    members = rp.plots.member_rows(run.latent_model, test, 8)
    show_images(new_axes(figure, 1, 2, 1), members, 8, "members")
    samples = rp.plots.sample_rows(run.latent_model, 8)
    show_images(new_axes(figure, 1, 2, 2), samples, 8, "samples")
    return figure


def cluster_vae() -> rp.Run:
    """Return a trained clustering VAE of the digits."""
    recipe = rp.variants.cluster_vae(
        digits().spec, latent_dim=8, hidden=(200,), pretraining=0.5, jitter=False
    )
    return train(recipe, epochs=60)


@dataclass(frozen=True)
class SquaredNoise:
    """The objective of a program that takes σ² for σ where it draws, and not in its KL."""

    def __call__(self, model: rp.LatentModel, batch: rp.Batch) -> rp.objectives.Terms:
        """Return the terms of one batch."""
        q = model.posterior(batch.x)
        z = q.mean + q.variance * torch.randn_like(q.mean)
        reconstruction = model.likelihood(z).log_prob(model.as_event(batch.x))
        kl = rp.kl(q, model.prior_distribution()).value
        return rp.objectives.Terms(reconstruction - kl, reconstruction, {"z": kl})


@drawn
def slips() -> Figure:
    """What common slips cost in test log-likelihood, image by image."""
    spec = digits().spec
    elbo = rp.objectives.ELBO
    slipped = (
        ("KL divided by pixels, β = 1/64", "gaussian", elbo(beta=1 / 64)),
        ("fit divided by pixels, β = 64", "gaussian", elbo(beta=64.0)),
        ("μ² + (log σ²)² as the KL", "gaussian", rp.objectives.NaivePenalty()),
        ("KL without its ½, β = 2", "gaussian", elbo(beta=2.0)),
        ("uniform posterior", "uniform", elbo()),
        ("σ² taken for σ in the draw", "gaussian", SquaredNoise()),
    )

    def scores(posterior: str, objective: rp.objectives.Objective) -> rp.evaluation.Figure:
        recipe = rp.variants.build("vae", spec, latent_dim=8, hidden=[200], posterior=posterior)
        run = train(rp.variants.replace(recipe, objective=objective))
        return run.evaluate(n_samples=100)["log_likelihood"]

    right = scores("gaussian", elbo())
    figure, (axes,) = stacked(3.6)
    for i, (label, posterior, objective) in enumerate(slipped):
        cost = scores(posterior, objective).paired_difference(right)
        error = 2 * (cost.stderr or 0.0)
        axes.barh(-i, cost.value, xerr=error, color=RED, alpha=0.8, height=0.45)
        axes.text(-24.5, -i + 0.3, label, va="bottom", fontsize=11)
        axes.text(0.3, -i, f"−{abs(cost.value):.1f}", va="center", fontsize=11)
    axes.set(xlim=(-25, 2.6), ylim=(-5.5, 0.9), yticks=[], xlabel="nats per image")
    axes.set_title("Test log p(x), minus that of the VAE without a slip")
    return figure


def main(names: Sequence[str]) -> None:
    """Write the figures of these names; all where none is given."""
    FOLDER.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        for name in names or FIGURES:
            torch.manual_seed(0)
            figure = FIGURES[name]()
            figure.set_dpi(200)
            figure.savefig(FOLDER / f"{name}.png", facecolor="white", metadata={"Software": None})
            print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
