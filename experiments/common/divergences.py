"""The KL of distributions over one real number: closed form, grid, and Monte Carlo."""

import torch
from torch.distributions import Distribution, Independent, Normal, Uniform

import reparam as rp
from experiments.common.measures import mean_of
from reparam.distributions import base_distribution
from reparam.errors import OptionError, SupportError


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
    inner = base_distribution(q)
    if isinstance(inner, Normal):
        low, high = inner.mean - 12 * inner.stddev, inner.mean + 12 * inner.stddev
    elif isinstance(inner, Uniform):
        # Just inside, since the density at the ends of an interval is not defined.
        width = inner.high - inner.low
        low, high = inner.low + 1e-12 * width, inner.high - 1e-12 * width
    else:
        raise OptionError(f"q={type(inner).__name__}: must be Normal or Uniform")
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
    # One draw from each of many equal distributions gives separate estimates.
    return mean_of(rp.kl(many, p, many.sample(torch.Size([1])), method="Monte Carlo").value)


def closed_form(q: Distribution, p: Distribution) -> float:
    """Return KL(q‖p) by its closed form, in nats."""
    return float(rp.kl(q, p, method="closed form").value)


def interval(low: float, high: float) -> Distribution:
    """Return the uniform distribution U[a, b] over events of shape (1,), in float64."""
    ends = torch.tensor([low, high], dtype=torch.float64)
    return Independent(Uniform(ends[:1], ends[1:]), 1)


def refusal(q: Distribution, p: Distribution) -> str | None:
    """Return the message with which ``rp.kl`` refuses an infinite KL; None for a finite one.

    >>> refusal(interval(0.0, 2.0), interval(0.0, 1.0))
    'KL(Uniform‖Uniform) is infinite: ...'
    """
    try:
        rp.kl(q, p)
    except SupportError as error:
        return str(error)
    return None
