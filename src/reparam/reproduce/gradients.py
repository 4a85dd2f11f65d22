"""The reparameterized gradient is that of the expectation; exchanging the two is not."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from reparam.batch import Batch
from reparam.divergence import MONTE_CARLO
from reparam.models.latent import LatentModel
from reparam.objectives import ELBO
from reparam.plots import COLORS, new_axes, new_figure
from reparam.priors import StandardNormal
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X, WEIGHT, NOISE, WIDTH = 1.0, 0.8, 0.5, 0.7
"""x, w and s of p(x | z) = N(wz, s²), and σ of q(z | x) = N(φ, σ²)."""

PLACES = torch.linspace(-2.0, 3.0, 21, dtype=torch.float64)
SHOWN = -1.0
"""The φ at which the table has its rows."""


class _Severed(Normal):
    """A Gaussian whose draws do not depend on its parameters: no path through z."""

    def rsample(
        self,
        sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size(),  # noqa: B008
    ) -> Tensor:
        return super().rsample(sample_shape).detach()


class _Encoder(nn.Module):
    """q(z | x) = N(φ, σ²) with a φ of its own for every draw, so that each has a gradient."""

    def __init__(self, phi: Tensor, family: type[Normal]) -> None:
        super().__init__()
        self.phi = nn.Parameter(phi)
        self.family = family

    def forward(self, x: Tensor) -> Distribution:
        width = torch.full_like(self.phi, WIDTH)
        return Independent(self.family(self.phi, width), 1)


class _Decoder(nn.Module):
    """p(x | z) = N(wz, s²)."""

    def forward(self, z: Tensor) -> Distribution:
        return Independent(Normal(WEIGHT * z, torch.full_like(z, NOISE)), 1)


class Estimate(NamedTuple):
    """Estimates of the gradient at several φ, each with shape (P,).

    Arguments:
        mean: Over the draws.
        stderr: Of the mean.
        spread: The standard deviation of a single draw's gradient.
    """

    mean: Tensor
    stderr: Tensor
    spread: Tensor

    def at(self, phi: float) -> tuple[float, float]:
        """Return the mean and its standard error at the place nearest to φ."""
        index = int((PLACES - phi).abs().argmin())
        return float(self.mean[index]), float(self.stderr[index])


@entry(
    "swapped-gradient",
    source="Kingma & Welling, FnT in ML 2019, section 2.4: ∇φ E_q[f] is not E_q[∇φ f]",
    protocol=(
        "p(z) = N(0, 1), p(x|z) = N(0.8 z, 0.5²), x = 1, q(z|x) = N(φ, 0.7²); the gradient in φ "
        "of the Monte-Carlo ELBO, draw by draw, at 21 places from -2 to 3, against finite "
        "differences of the exact ELBO"
    ),
    n_samples=20_000,
    minutes=0.1,
)
def swapped_gradient(protocol: Protocol) -> Findings:
    """The gradient through the draw is unbiased; with gradient and mean exchanged it is not."""
    through = gradients(Normal, protocol.n_samples)
    swapped = gradients(_Severed, protocol.n_samples)
    corrected = gradients(_Severed, protocol.n_samples, score=True)
    exact = finite_differences()
    here = float(exact[(PLACES - SHOWN).abs().argmin()])
    worst = [
        float(((found.mean - exact) / found.stderr).abs().max()) for found in (through, corrected)
    ]
    rows = (
        Row(f"exact gradient at φ = {SHOWN:g}", here),
        Row("reparameterized, mean of the draws", *through.at(SHOWN), target=here, rule="within"),
        Row("∇φ and E_q exchanged", *swapped.at(SHOWN), target=here, rule="apart"),
        Row(
            "∇φ and E_q exchanged: what it tends to",
            *swapped.at(SHOWN),
            target=0.0,
            rule="within",
            note="E_q[∇φ log q] = 0: nothing is learned",
        ),
        Row(
            "exchanged, with the term that was dropped",
            *corrected.at(SHOWN),
            target=here,
            rule="within",
            note="the score-function gradient",
        ),
        Row(
            "reparameterized: largest error over all φ",
            worst[0],
            unit="stderr",
            target=4.0,
            rule="at most",
        ),
        Row(
            "with the dropped term: largest error over all φ",
            worst[1],
            unit="stderr",
            target=4.0,
            rule="at most",
        ),
        Row(
            "variance of the score-function gradient over that of the reparameterized",
            float((corrected.spread / through.spread).square().median()),
            unit="times",
            target=1.0,
            note="median over all φ",
        ),
    )
    notes = (
        "∇φ E_q[f] = E_q[∇φ f] + E_q[f ∇φ log q]: exchanging the two drops the second term. "
        "Written as z = φ + σε the draw itself depends on φ, the mean is over ε, which does not, "
        "and then the exchange is right.",
    )
    details = {
        "phi": PLACES.tolist(),
        "exact": exact.tolist(),
        "reparameterized": through.mean.tolist(),
        "exchanged": swapped.mean.tolist(),
        "score_function": corrected.mean.tolist(),
    }
    figures = {"figure": _figure(exact, through, swapped, corrected)}
    return Findings(rows, notes, figures, details)


def gradients(family: type[Normal], n_draws: int, *, score: bool = False) -> Estimate:
    """Return the mean over draws of the gradient of the ELBO in φ, at all places.

    Arguments:
        family: The distribution of q, which decides whether a gradient goes through the draw.
        n_draws: The number of draws at each place.
        score: Add the score-function term, f ∇φ log q.
    """
    phi = PLACES.expand(n_draws, -1).reshape(-1, 1).clone()
    encoder = _Encoder(phi, family)
    model = LatentModel(encoder, _Decoder(), StandardNormal(1).double())
    x = torch.full_like(phi, X)
    if score:
        q = encoder(x)
        z = q.rsample(torch.Size([1]))
        prior = model.prior_distribution()
        value = model.likelihood(z).log_prob(x) + prior.log_prob(z) - q.log_prob(z)
        bound = value + value.detach() * q.log_prob(z)
    else:
        bound = ELBO(kl_method=MONTE_CARLO)(model, Batch(x)).bound
    (draws,) = torch.autograd.grad(bound.sum(), encoder.phi)
    draws = draws.reshape(n_draws, -1)
    spread = draws.std(0)
    return Estimate(draws.mean(0), spread / n_draws**0.5, spread)


def exact_elbo(phi: Tensor) -> Tensor:
    r"""Return the ELBO, which two moments of q decide, for φ with shape (P,).

    .. math:: -\frac{(x - w\varphi)^2 + w^2\sigma^2}{2 s^2} - \log s
              - \frac{\varphi^2 + \sigma^2}{2} + \log \sigma + \mathrm{const}
    """
    fit = ((X - WEIGHT * phi).square() + (WEIGHT * WIDTH) ** 2) / NOISE**2
    return -0.5 * (fit + phi.square() + WIDTH**2)


def finite_differences(step: float = 1e-4) -> Tensor:
    """Return the derivative of the exact ELBO at all places, by central differences."""
    return (exact_elbo(PLACES + step) - exact_elbo(PLACES - step)) / (2 * step)


def _figure(exact: Tensor, through: Estimate, swapped: Estimate, corrected: Estimate) -> "Figure":
    figure = new_figure(11.4, 4.4)
    axes = new_axes(figure, 1, 2, 1)
    phi = PLACES.tolist()
    axes.plot(
        phi, exact.tolist(), color="#000000", linewidth=1.5, label="exact (finite differences)"
    )
    drawn = (
        ("reparameterized", through, COLORS[0], "o"),
        ("gradient and mean exchanged", swapped, COLORS[1], "s"),
    )
    for label, found, color, marker in drawn:
        error = (4 * found.stderr).tolist()
        axes.errorbar(
            phi, found.mean.tolist(), error, fmt=marker, color=color, label=label, markersize=5
        )
    axes.set_xlabel("φ, the mean of q(z | x)")
    axes.set_ylabel("∂ELBO / ∂φ")
    axes.set_title("Mean gradient (bars: four standard errors)")
    axes.legend(loc="upper right")
    axes = new_axes(figure, 1, 2, 2)
    for label, found, color, marker in (
        drawn[0],
        ("score function: exchanged + dropped term", corrected, COLORS[2], "^"),
    ):
        spread = found.spread.tolist()
        axes.plot(phi, spread, f"{marker}-", color=color, label=label, markersize=5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("φ, the mean of q(z | x)")
    axes.set_ylabel("standard deviation of one draw")
    axes.set_title("Noise of two unbiased gradients")
    axes.legend(loc="upper center")
    return figure
