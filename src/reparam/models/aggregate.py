r"""How far the codes of all data together lie from a standard normal prior, by their moments.

.. math:: \mathrm{KL}\bigl(\mathcal N(m, C) \big\| \mathcal N(0, I)\bigr)
          = \sum_j \mathrm{KL}\bigl(\mathcal N(m_j, C_{jj}) \big\| \mathcal N(0, 1)\bigr)
          - \frac12 \log \det R, \qquad m = \mathbb E[z], \quad C = \mathrm{Cov}[z],
          \quad z \sim q(z)

with the correlations R. The first two moments show shifts, widths and correlations of the aggregate
posterior, not holes.
"""

import torch
from torch import Tensor

from reparam.batch import Batch, in_chunks, to_device
from reparam.divergence import kl
from reparam.errors import ReparamError
from reparam.isolation import isolated
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal

FAR_SHARE, FAR_NATS = 0.1, 1.0
"""The cost of the aggregate posterior's moments, as a share of the KL and in nats."""
N_FAR = 1000
"""The number of examples whose codes are compared with the prior."""
MORE_THAN = 2
"""The number of codes for each dimension from which correlations are seen."""
_CHUNK = 100


def cost_of_moments(z: Tensor) -> Tensor:
    """Return the KL that mean and variance of codes cost, in nats with shape (D,).

    The moments of N draws from the prior itself would cost about 1/N in each dimension.

    Arguments:
        z: Draws from the aggregate posterior, with shape (N, D).

    Example:
        >>> cost_of_moments(torch.tensor([[-1.0], [3.0]]).repeat(500, 1)).round(decimals=2)
        tensor([1.3100])
    """
    if len(z) < 2:
        return torch.zeros_like(z[0])  # one code has no variance
    mean, variance = z.mean(0), z.var(0)
    return 0.5 * (variance + mean.square() - 1 - variance.log()) - 1 / len(z)


def cost_of_correlations(z: Tensor) -> float:
    """Return the KL that the correlations of codes cost, in nats; 0 for too few codes to see them.

    What draws of independent normal variables would cost is subtracted: the mean of the logarithm
    of a Wishart determinant.

    Arguments:
        z: Draws from the aggregate posterior, with shape (N, D).

    References:
        Bishop, Pattern recognition and machine learning, 2006, appendix B (the Wishart
        distribution).

    Example:
        >>> z = torch.randn(100_000, 1, dtype=torch.float64, generator=torch.manual_seed(0))
        >>> z = torch.cat([z, z + torch.randn(100_000, 1, dtype=torch.float64)], 1)
        >>> round(cost_of_correlations(z), 2)  # half of log 2
        0.35
    """
    n, dim = len(z) - 1, z.shape[1]
    varies = z.std(0) > 0 if n > 0 else torch.zeros(dim, dtype=torch.bool)
    dim = int(varies.sum())
    if dim < 2 or n < MORE_THAN * dim:
        return 0.0
    _, log_det = torch.linalg.slogdet(torch.corrcoef(z[:, varies].T.double()))
    half = 0.5 * torch.arange(n - dim + 1, n + 1, dtype=torch.float64)
    by_chance = 0.5 * (torch.digamma(half[-1]) - torch.digamma(half)).sum()
    return float(-0.5 * log_det - by_chance)


def are_far(cost: float, kl: float) -> bool:
    """Return whether codes lie where the prior does not, by the cost of their moments and the KL.

    >>> are_far(cost=3.0, kl=10.0), are_far(cost=0.9, kl=2.0)
    (True, False)
    """
    return cost > max(FAR_NATS, FAR_SHARE * kl)


def far_codes(model: LatentModel, examples: Batch, seed: int = 0) -> tuple[float, float] | None:
    """Return the cost of the moments of the codes and the mean KL, where the codes are far.

    None where they are not, and for models to which the question does not apply: with another prior
    than a standard normal, under a condition, or with a posterior that has no density.

    Arguments:
        model: The model.
        examples: About a thousand examples, anywhere.
        seed: The seed of the draws.
    """
    prior = dict(model.named_children()).get("prior")
    if not isinstance(prior, StandardNormal) or examples.c is not None:
        return None
    z, nats = [], []
    with isolated(model, seed=seed) as device:
        for part in in_chunks(examples, _CHUNK):
            q = model.posterior(to_device(part, device).x)
            z.append(q.sample().cpu().double())
            try:
                nats.append(kl(q, prior()).value.cpu().double())
            except (ReparamError, NotImplementedError):  # a point, or a density that is not known
                return None
    codes, total = torch.cat(z), float(torch.cat(nats).mean())
    cost = float(cost_of_moments(codes).sum()) + cost_of_correlations(codes)
    return (cost, total) if are_far(cost, total) else None
