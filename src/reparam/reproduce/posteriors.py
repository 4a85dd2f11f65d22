"""Other posteriors than the diagonal Gaussian: why not a uniform one, and what covariance buys."""

from typing import TYPE_CHECKING

import torch
from torch.distributions import Distribution, Independent, Uniform

from reparam import data as data_sets
from reparam.data import Dataset
from reparam.divergence import CLOSED_FORM, kl
from reparam.errors import SupportError
from reparam.families import Gaussian
from reparam.families import Uniform as UniformFamily
from reparam.families import likelihood as likelihood_of
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.plots import COLORS, new_axes, new_figure
from reparam.priors import StandardNormal
from reparam.reproduce.divergences import gaussian, numeric
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row, Rule
from reparam.reproduce.training import Scores, mean_of, per_example, trained
from reparam.runs.run import Run, fit
from reparam.spec import DataSpec
from reparam.utils.seeding import reseed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERVALS = ((-1.0, 1.0), (0.0, 3.0), (-3.0, 3.0), (0.2, 0.3))
"""[a, b] of the uniforms that are held against N(0, 1)."""

NESTED = (((0.0, 1.0), (0.0, 2.0)), ((-0.1, 0.1), (-1.0, 1.0)))
"""Intervals, the first of each pair inside the second."""

N_SEEDS = 8
"""Weights and orders differ more between seeds than models may: each is trained so often."""


@entry(
    "uniform-posterior",
    source="a document's question, why the posterior should not be uniform",
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
        q, p = interval(low, high), gaussian(0.0, 1.0)
        rows.append(_held(f"KL(U[{low:g}, {high:g}]‖N(0, 1))", q, p))
    for (low, high), (below, above) in NESTED:
        name = f"KL(U[{low:g}, {high:g}]‖U[{below:g}, {above:g}])"
        rows.append(_held(name, interval(low, high), interval(below, above)))
    infinite = (
        ("KL(U[0, 2]‖U[0, 1])", interval(0.0, 2.0), interval(0.0, 1.0)),
        ("KL(U[0, 1]‖U[2, 3])", interval(0.0, 1.0), interval(2.0, 3.0)),
        ("KL(N(0, 1)‖U[-5, 5])", gaussian(0.0, 1.0), interval(-5.0, 5.0)),
    )
    refusals = {name: refusal(q, p) for name, q, p in infinite}
    rows += [
        Row(f"{name}: refused in words", float(said is not None), unit="", target=1.0)
        for name, said in refusals.items()
    ]
    data = data_sets.load("digits", data_dir=protocol.options.data_dir, validation=0)
    kinds = {"Gaussian": Gaussian, "uniform": UniformFamily}
    found: dict[str, list[Scores]] = {name: [] for name in kinds}
    for seed in _seeds(protocol):
        for name, family in kinds.items():
            reseed(torch.device("cpu"), seed)
            run = _fitted(protocol, f"uniform-posterior-{name}-{seed}", data, family(8), seed)
            found[name].append(_measured(protocol, run, data))
    rows += _compared("Gaussian", found["Gaussian"], "uniform", found["uniform"], rule="at most")
    refused = ", ".join(name for name, words in refusals.items() if words is not None)
    notes = (
        f"What is said of {refused}: {next(iter(refusals.values()))}.",
        "Importance sampling from a uniform posterior never looks outside its box, so its figure "
        "stays below log p(x) however many draws are made.",
        _OVER_SEEDS,
    )
    return Findings(tuple(rows), notes, {"figure": _uniform_figure()}, {"refusals": refusals})


@entry(
    "full-covariance",
    source="Kingma & Welling, FnT in ML 2019, section 2.5.1",
    protocol=(
        "scikit-learn's digits, 200 hidden units and 5 latent dimensions, posterior with a "
        "diagonal and with a full covariance, eight seeds each; 500 draws of z for each test image"
    ),
    data="digits",
    epochs=30,
    n_samples=500,
    minutes=1,
)
def full_covariance(protocol: Protocol) -> Findings:
    """A posterior with full covariance comes nearer to log p(x) than a diagonal one."""
    data = data_sets.load("digits", data_dir=protocol.options.data_dir, validation=0)
    kinds = {"diagonal": "vae", "full covariance": "full-covariance-vae"}
    found: dict[str, list[Scores]] = {name: [] for name in kinds}
    for seed in _seeds(protocol):
        for name, variant in kinds.items():
            run = trained(
                protocol,
                f"full-covariance-{variant}-{seed}",
                variant,
                data,
                seed=seed,
                latent_dim=5,
                hidden=(200,),
                training={"batch_size": 64},
            )
            found[name].append(_measured(protocol, run, data))
    rows = _compared(
        "diagonal", found["diagonal"], "full covariance", found["full covariance"], rule=None
    )
    gaps = {
        name: torch.stack([one.log_likelihood - one.elbo for one in many])
        for name, many in found.items()
    }
    rows += [
        Row(f"{name}: log-likelihood less ELBO", *mean_of(gap.mean(0)), note="how far q is from p")
        for name, gap in gaps.items()
    ]
    closer = (gaps["full covariance"] - gaps["diagonal"]).mean(1)
    name = "full covariance less diagonal: log-likelihood less ELBO"
    rows.append(Row(name, *mean_of(closer), target=0.0, rule="at most"))
    return Findings(tuple(rows), (_OVER_SEEDS,))


_OVER_SEEDS = (
    "ELBO and log-likelihood are means over the test images and eight seeds, their standard errors "
    "over test images. The standard error of a difference is over seeds, since training has more "
    "luck than the choice of test images; the JSON has the difference of each seed."
)


def interval(low: float, high: float) -> Distribution:
    """Return the uniform distribution U[a, b] over events of shape (1,), in float64."""
    ends = torch.tensor([low, high], dtype=torch.float64)
    return Independent(Uniform(ends[:1], ends[1:]), 1)


def refusal(q: Distribution, p: Distribution) -> str | None:
    """Return what ``kl`` says where it refuses, or None where it does not.

    >>> refusal(interval(0.0, 2.0), interval(0.0, 1.0))
    'KL(Uniform‖Uniform) is infinite: q has mass where p has none; ...'
    """
    try:
        kl(q, p)
    except SupportError as error:
        return str(error)
    return None


def _held(name: str, q: Distribution, p: Distribution) -> Row:
    """Return the row of a closed form that is held to the grid."""
    exact = float(kl(q, p, method=CLOSED_FORM).value)
    return Row(name, exact, target=numeric(q, p), rule="within", tolerance=1e-6)


def _seeds(protocol: Protocol) -> range:
    return range(protocol.seed, protocol.seed + N_SEEDS)


def small_vae(spec: DataSpec, posterior: Gaussian | UniformFamily, hidden: int) -> LatentModel:
    """Return a VAE of two small networks, with any posterior that is a family.

    Arguments:
        spec: The shape and support of the data.
        posterior: The family of q(z | x).
        hidden: The units of the one hidden layer of each network.
    """
    latent_dim = posterior.event_shape.numel()
    return LatentModel(
        encoder=Conditional(MLP(spec.shape, hidden), posterior),
        decoder=Conditional(MLP(latent_dim, hidden), likelihood_of(spec)),
        prior=StandardNormal(latent_dim),
    )


def _fitted(
    protocol: Protocol, name: str, data: Dataset, posterior: Gaussian | UniformFamily, seed: int
) -> Run:
    protocol.say(f"training {name}, {protocol.epochs} epochs")
    runs = protocol.options.runs
    return fit(
        small_vae(data.spec, posterior, 200),
        data,
        out=None if runs is None else runs / name,
        resume=runs is not None,
        device=protocol.options.device,
        precision="float32",
        progress=protocol.options.progress,
        epochs=protocol.epochs,
        batch_size=64,
        seed=seed,
        pictures_every=0,
    )


def _measured(protocol: Protocol, run: Run, data: Dataset) -> Scores:
    return per_example(run, data.examples("test").x, protocol.n_samples, protocol.seed)


def _compared(
    first: str,
    firsts: list[Scores],
    second: str,
    seconds: list[Scores],
    *,
    rule: Rule | None,
) -> list[Row]:
    """Return rows on two models: their figures, and the difference; with a rule it is a claim."""
    rows = []
    for name, unit in (("elbo", "ELBO"), ("log_likelihood", "log-likelihood")):
        values = [torch.stack([getattr(s, name) for s in many]) for many in (firsts, seconds)]
        rows += [
            Row(f"{label}: test {unit}", *mean_of(value.mean(0)))
            for label, value in zip((first, second), values, strict=True)
        ]
        difference = values[1] - values[0]
        each = ", ".join(f"{float(d):+.2f}" for d in difference.mean(1))
        rows.append(
            Row(
                f"{second} less {first}: {unit}",
                *mean_of(difference.mean(1)),
                target=None if rule is None else 0.0,
                rule=rule or "at least",
                note=f"seed by seed {each}",
            )
        )
    return rows


def _uniform_figure() -> "Figure":
    figure = new_figure(7.2, 4.6)
    axes = new_axes(figure)
    widths = torch.logspace(-1.5, 1.0, 60, base=10).tolist()
    p = gaussian(0.0, 1.0)
    for middle, color in zip((0.0, 1.0, 2.0), COLORS, strict=False):
        values = [float(kl(interval(middle - w / 2, middle + w / 2), p).value) for w in widths]
        axes.plot(widths, values, color=color, linewidth=1.8, label=f"uniform around {middle:g}")
        # The Gaussian of the same mean and variance, w² / 12.
        equal = [float(kl(gaussian(middle, w / 12**0.5), p).value) for w in widths]
        label = "Gaussian, same mean and variance"
        axes.plot(widths, equal, "--", color=color, linewidth=1.3, label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 8)
    axes.set_xlabel("width w of the uniform U[m - w/2, m + w/2]")
    axes.set_ylabel("KL from N(0, 1), nats")
    axes.set_title("Finite, but above that of the Gaussian of the same variance")
    axes.legend(loc="upper right", fontsize=8)
    return figure
