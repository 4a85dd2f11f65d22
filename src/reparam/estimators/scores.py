r"""Scores of rows under a latent-variable model, in which a row does not depend on the others.

All rows share the noise of their draws, quasi-random points of a normal distribution, so that a
score is a deterministic function of the row:

.. math:: z_k = \mu(x) + \sigma(x) \odot \varepsilon_k
"""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.quasirandom import SobolEngine

from reparam.distributions import mean_or_mode
from reparam.evaluation.conditionals import N_ENTRIES, entries_of
from reparam.families import Mixed
from reparam.models.conditional import family_of
from reparam.models.latent import LatentModel, standardization_of

ROWS_AT_ONCE = 10_000
"""The number of rows that are encoded at once."""


FARTHEST, USUAL = 1000.0, 3.0
"""How far from its mean a quantity is that the encoder reads, in standard deviations, at most; and
in a row of which one value is perhaps wrong."""


def posterior_of(model: LatentModel, x: Tensor, farthest: float = FARTHEST) -> Distribution:
    """Return q(z | x) of rows, from quantities that are no farther from their means than usual.

    The estimates from its draws have the same expectation for any q. Of a number a million standard
    deviations away the encoder makes a scale that overflows.

    Arguments:
        model: The model.
        x: The rows, with shape (B, D).
        farthest: How far from its mean a quantity is at most, in standard deviations.
    """
    layer, family = standardization_of(model), family_of(model.decoder)
    if layer is None or not layer.per_entry:
        return model.posterior(x)
    all_entries = torch.arange(x.shape[-1], device=x.device)
    quantities = family.quantities if isinstance(family, Mixed) else None
    places = all_entries if quantities is None else quantities[1]
    seen = x[:, places]
    y = layer(seen)
    near = torch.where(y.abs() > farthest, layer.inverse(y.clamp(-farthest, farthest)), seen)
    return model.posterior(x.index_copy(1, places, near))


def shared_noise(n_draws: int, n_latents: int) -> Tensor:
    """Return quasi-random draws of a normal distribution, float64 with shape (K, L).

    >>> shared_noise(256, 2).mean(0).abs().max() < 0.02
    tensor(True)
    """
    points = SobolEngine(n_latents, scramble=True, seed=0).draw(n_draws, dtype=torch.float64)
    return torch.special.ndtri(points.clamp(1e-9, 1 - 1e-9))


def draws_of(q: Distribution, noise: Tensor) -> Tensor:
    """Return draws of posteriors with shared noise, with shape (K, B, L).

    A posterior that is no Gaussian is drawn under a fixed seed, and the draws of a row then depend
    on its place.

    Arguments:
        q: The posteriors, with batch shape (B,); or a prior, with batch shape ().
        noise: The noise, with shape (K, L).
    """
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return q.base_dist.loc + q.base_dist.scale * noise[:, None].to(q.base_dist.loc)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return q.sample(torch.Size([len(noise)]))


def robust_draws(model: LatentModel, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return draws of z for rows of which one value is perhaps wrong, and log p(z) - log r(z).

    .. math:: r(z) = \tfrac13 \bigl[q(z \mid x) + q(z \mid x') + p(z)\bigr]

    where x' has its quantities at most three standard deviations from their means. A value far off
    moves q(z | x) away from the codes that explain the rest of the row.

    Arguments:
        model: The model.
        x: The rows, with shape (B, D).
        noise: The noise, with shape (K, L).

    Returns:
        The draws, with shape (3 K, B, L), and the differences in nats, with shape (3 K, B).
    """
    p = model.prior_distribution()
    parts = [posterior_of(model, x), posterior_of(model, x, USUAL)]
    # The draws of the prior are the same for all rows.
    of_prior = draws_of(p, noise).view(len(noise), 1, -1).expand(-1, len(x), -1)
    z = torch.cat([*(draws_of(q, noise) for q in parts), of_prior])
    log_r = torch.stack([each.log_prob(z) for each in (*parts, p)]).logsumexp(0) - log(3)
    return z, p.log_prob(z) - log_r


def log_likelihood(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return importance-sampled log p(x) in nats, with shape (B,)."""
    return _log_weight(model, x, noise).logsumexp(0) - log(len(noise))


def elbo(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return the ELBO in nats, with shape (B,)."""
    return _log_weight(model, x, noise).mean(0)


def reconstruction(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return the mean log p(x | z) over the posterior in nats, with shape (B,)."""
    z = draws_of(posterior_of(model, x), noise)
    return model.likelihood(z).log_prob(model.as_event(x)).mean(0)


def latent(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return the log-density of the prior at the posterior mean in nats, with shape (B,)."""
    return model.prior_distribution().log_prob(mean_or_mode(posterior_of(model, x)))


Score = Callable[[LatentModel, Tensor, Tensor], Tensor]

SCORES: dict[str, Score] = {
    "log_likelihood": log_likelihood,
    "elbo": elbo,
    "reconstruction": reconstruction,
    "latent": latent,
}
"""The scores of a row, higher for a more usual one."""


@torch.no_grad()
def scored(score: Score, model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return a score of rows, computed in parts, with shape (N,)."""
    size = max(1, N_ENTRIES // (len(noise) * entries_of(model, x)))
    found = torch.cat([score(model, part, noise) for part in x.split(size)])
    # A row so far from all others that its likelihood overflows is as unusual as can be.
    return found.masked_fill(found.isnan(), -torch.inf)


@torch.no_grad()
def codes_of(model: LatentModel, x: Tensor) -> Tensor:
    """Return the posterior means of rows, computed in parts, with shape (N, L)."""
    return torch.cat([model.encode(part) for part in x.split(ROWS_AT_ONCE)])


def _log_weight(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    q, p = posterior_of(model, x), model.prior_distribution()
    z = draws_of(q, noise)
    return model.likelihood(z).log_prob(model.as_event(x)) + p.log_prob(z) - q.log_prob(z)
