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

from reparam.evaluation.conditionals import N_ENTRIES, entries_of
from reparam.models.latent import LatentModel

ROWS_AT_ONCE = 10_000
"""The number of rows that are encoded at once."""


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
        q: The posteriors, with batch shape (B,).
        noise: The noise, with shape (K, L).
    """
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return q.base_dist.loc + q.base_dist.scale * noise[:, None].to(q.base_dist.loc)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return q.sample(torch.Size([len(noise)]))


def log_likelihood(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return importance-sampled log p(x) in nats, with shape (B,)."""
    return _log_weight(model, x, noise).logsumexp(0) - log(len(noise))


def elbo(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return the ELBO in nats, with shape (B,)."""
    return _log_weight(model, x, noise).mean(0)


def reconstruction(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return the mean log p(x | z) over the posterior in nats, with shape (B,)."""
    z = draws_of(model.posterior(x), noise)
    return model.likelihood(z).log_prob(model.as_event(x)).mean(0)


def latent(model: LatentModel, x: Tensor, noise: Tensor) -> Tensor:
    """Return the log-density of the prior at the posterior mean in nats, with shape (B,)."""
    return model.prior_distribution().log_prob(model.encode(x))


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
    q, p = model.posterior(x), model.prior_distribution()
    z = draws_of(q, noise)
    return model.likelihood(z).log_prob(model.as_event(x)) + p.log_prob(z) - q.log_prob(z)
