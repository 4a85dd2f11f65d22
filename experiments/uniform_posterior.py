"""The uniform distribution as a posterior: where its KL is finite, and what it costs."""

import torch
from matplotlib.figure import Figure
from torch.distributions import Distribution

import reparam as rp
from experiments.common import (
    COLORS,
    Experiment,
    Findings,
    Protocol,
    Row,
    Scores,
    new_axes,
    new_figure,
)
from experiments.common.divergences import closed_form, gaussian, interval, numeric, refusal
from experiments.common.seeds import OVER_SEEDS, compared, seeds

Family = rp.families.Gaussian | rp.families.Uniform

INTERVALS = ((-1.0, 1.0), (0.0, 3.0), (-3.0, 3.0), (0.2, 0.3))
"""[a, b] of the uniforms that are compared with N(0, 1)."""

NESTED = (((0.0, 1.0), (0.0, 2.0)), ((-0.1, 0.1), (-1.0, 1.0)))
"""Intervals, the first of each pair inside the second."""


@Experiment(
    source=(
        "Su, Variational Autoencoders (1): So That Is What They Are (in Chinese), Scientific "
        "Spaces 5253, 2018, for the question why the posterior is not uniform"
    ),
    protocol=(
        "KL of uniforms against N(0, 1) and against wider uniforms, closed form beside the grid; "
        "the pairs whose KL is infinite; the VAE of scikit-learn's digits, 200 hidden units and "
        "8 latent dimensions, with a uniform and with a Gaussian posterior, eight seeds each; as "
        "many epochs as 200 images held out of the training images were best with"
    ),
    data="digits",
    epochs=30,
    n_samples=100,
    minutes=1,
)
def uniform_posterior(protocol: Protocol) -> Findings:
    """A uniform posterior has a finite KL where supports nest, and trains; a Gaussian is better."""
    rows: list[Row] = []
    for low, high in INTERVALS:
        name = f"KL(U[{low:g}, {high:g}]‖N(0, 1))"
        rows.append(_held(name, interval(low, high), gaussian(0.0, 1.0)))
    for (low, high), (below, above) in NESTED:
        name = f"KL(U[{low:g}, {high:g}]‖U[{below:g}, {above:g}])"
        rows.append(_held(name, interval(low, high), interval(below, above)))
    infinite = {
        "KL(U[0, 2]‖U[0, 1])": (interval(0.0, 2.0), interval(0.0, 1.0)),
        "KL(U[0, 1]‖U[2, 3])": (interval(0.0, 1.0), interval(2.0, 3.0)),
        "KL(N(0, 1)‖U[-5, 5])": (gaussian(0.0, 1.0), interval(-5.0, 5.0)),
    }
    refusals = {name: refusal(q, p) for name, (q, p) in infinite.items()}
    rows += [
        Row(f"{name}: refused in words", float(message is not None), unit="", target=1.0)
        for name, message in refusals.items()
    ]
    data = protocol.dataset("digits")
    kinds = {"Gaussian": rp.families.Gaussian, "uniform": rp.families.Uniform}
    found: dict[str, list[Scores]] = {name: [] for name in kinds}
    for seed in seeds(protocol):
        for name, family in kinds.items():
            torch.manual_seed(seed)
            model = small_vae(data.spec, family(8), 200)
            folder = f"uniform-posterior-{name}-{seed}"
            run = protocol.train(folder, model, data, seed=seed, batch_size=64)
            found[name].append(protocol.scores(run, data.examples("test").x))
    rows += compared("Gaussian", found["Gaussian"], "uniform", found["uniform"], rule="at most")
    refused = ", ".join(name for name, message in refusals.items() if message is not None)
    notes = (
        f"The message for {refused}: {next(iter(refusals.values()))}.",
        "Importance sampling from a uniform posterior draws only inside its box, so its figure "
        "stays below log p(x) for any number of draws.",
        OVER_SEEDS,
    )
    return Findings(rows, notes, {"figure": _figure()}, {"refusals": refusals})


def _held(name: str, q: Distribution, p: Distribution) -> Row:
    """Return the row of a closed form that is held to the grid."""
    return Row(name, closed_form(q, p), target=numeric(q, p), rule="within", tolerance=1e-6)


def small_vae(spec: rp.DataSpec, posterior: Family, hidden: int) -> rp.LatentModel:
    """Return a VAE of two small networks, with one hidden layer each.

    Arguments:
        spec: The shape and support of the data.
        posterior: The family of q(z | x).
        hidden: The units of the hidden layer.
    """
    latent_dim = posterior.event_shape.numel()
    return rp.LatentModel(
        encoder=rp.Conditional(rp.nn.MLP(spec.shape, hidden), posterior),
        decoder=rp.Conditional(
            rp.nn.MLP(latent_dim, hidden), rp.families.likelihood(spec, "categorical")
        ),
        prior=rp.priors.StandardNormal(latent_dim),
    )


def _figure() -> Figure:
    figure = new_figure(7.2, 4.6)
    axes = new_axes(figure)
    widths = torch.logspace(-1.5, 1.0, 60, base=10).tolist()
    p = gaussian(0.0, 1.0)
    for middle, color in zip((0.0, 1.0, 2.0), COLORS, strict=False):
        values = [closed_form(interval(middle - w / 2, middle + w / 2), p) for w in widths]
        axes.plot(widths, values, color=color, linewidth=1.8, label=f"uniform around {middle:g}")
        # The Gaussian of the same mean and variance, w² / 12.
        equal = [closed_form(gaussian(middle, w / 12**0.5), p) for w in widths]
        label = "Gaussian, same mean and variance"
        axes.plot(widths, equal, "--", color=color, linewidth=1.3, label=label)
    axes.set(
        xscale="log",
        ylim=(0, 8),
        xlabel="width w of the uniform U[m - w/2, m + w/2]",
        ylabel="KL from N(0, 1), nats",
        title="Finite, but above that of the Gaussian of the same variance",
    )
    axes.legend(loc="upper right", fontsize=8)
    return figure
