"""The Kullback–Leibler divergence: closed forms where they exist, Monte Carlo elsewhere."""

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    constraints,
    kl_divergence,
    register_kl,
)

from reparam.distributions import base
from reparam.errors import OptionError, ShapeError, SupportError

CLOSED_FORM = "closed form"
MONTE_CARLO = "Monte Carlo"


class Divergence(NamedTuple):
    """A divergence and how it was computed.

    Arguments:
        value: KL(q‖p) in nats, with shape (B,).
        method: ``closed form`` or ``Monte Carlo``.
        per_dimension: Its parts where both distributions factorize, with shape (B, D); else None.
    """

    value: Tensor
    method: str
    per_dimension: Tensor | None = None


def kl(
    q: Distribution, p: Distribution, z: Tensor | None = None, *, method: str | None = None
) -> Divergence:
    r"""Return KL(q‖p), exactly where a closed form is registered.

    .. math:: \mathrm{KL}(q \| p) = \mathbb E_q[\log q(z) - \log p(z)]
              \approx \frac1K \sum_k \log q(z_k) - \log p(z_k), \quad z_k \sim q

    Arguments:
        q: The posterior, with batch shape (B,).
        p: The prior, with batch shape (B,) or ().
        z: Draws from q with shape (K, B, D), for the Monte-Carlo estimate; drawn once if missing.
        method: ``closed form`` or ``Monte Carlo`` to insist on one of them; None for the best.

    Raises:
        SupportError: The divergence is infinite, because q lies partly outside the support of p; or
            a closed form was insisted on and none is known.
        OptionError: A method that does not exist.
        ShapeError: q and p are over events of different shapes.

    References:
        Kingma & Welling, ICLR 2014, appendix B (closed form), eq. 6 (Monte Carlo).

    Example:
        >>> unit = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> kl(Independent(Normal(torch.ones(3, 2), 1.0), 1), unit).value
        tensor([1., 1., 1.])
    """
    if method not in (None, CLOSED_FORM, MONTE_CARLO):
        raise OptionError(f"method={method!r}: use {CLOSED_FORM!r}, {MONTE_CARLO!r} or None")
    check_same_event(q, p)
    _refuse_infinite(q, p)
    if method != MONTE_CARLO:
        parts = _per_dimension(q, p)
        if parts is not None:
            return Divergence(parts.sum(-1), CLOSED_FORM, parts)
        try:
            return Divergence(kl_divergence(q, p), CLOSED_FORM)
        except NotImplementedError:
            if method == CLOSED_FORM:
                raise SupportError(
                    f"no closed form of KL({_name(q)}‖{_name(p)}) is registered: "
                    f"use method={MONTE_CARLO!r}, or register one with register_kl"
                ) from None
    z = q.rsample(torch.Size([1])) if z is None else z
    log_ratio = q.log_prob(z) - p.log_prob(z)
    return Divergence(log_ratio.flatten(0, -1 - len(q.batch_shape)).mean(0), MONTE_CARLO)


def check_same_event(q: Distribution, p: Distribution) -> None:
    """Refuse a posterior and a prior over different spaces, before anything broadcasts.

    Raises:
        ShapeError: q and p are over events of different shapes.
    """
    if q.event_shape != p.event_shape:
        raise ShapeError(
            f"a posterior over events of shape {tuple(q.event_shape)} and a prior over "
            f"{tuple(p.event_shape)}: both must have the same latent dimensions"
        )


@register_kl(MultivariateNormal, Independent)
def _full_gaussian_to_independent(q: MultivariateNormal, p: Independent[Normal]) -> Tensor:
    """½ Σ_j [(Σ_jj + (m_j - μ_j)²) / σ_j² + log σ_j²] - Σ_j log L_jj - D/2."""
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    scale_tril, p_scale = q.scale_tril, p.base_dist.scale
    distance = (q.loc - p.base_dist.loc).square() + scale_tril.square().sum(-1)
    log_ratio = p_scale.log() - scale_tril.diagonal(dim1=-2, dim2=-1).log()
    return (0.5 * (distance / p_scale.square() - 1) + log_ratio).sum(-1)


def _per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    """Return the divergences of the dimensions, with shape (B, D), where q and p factorize."""
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    if q.reinterpreted_batch_ndims != 1 or p.reinterpreted_batch_ndims != 1:
        return None
    try:
        return kl_divergence(q.base_dist, p.base_dist)
    except NotImplementedError:
        return None


def _refuse_infinite(q: Distribution, p: Distribution) -> None:
    """Raise where q has mass outside an interval that is all the support of p."""
    inside, around = _support(q), _support(p)
    if not _is_bounded(around):
        return
    if not _is_bounded(inside) and not isinstance(inside, type(constraints.real)):
        return
    below = getattr(inside, "lower_bound", -inf) < getattr(around, "lower_bound", -inf)
    above = getattr(inside, "upper_bound", inf) > getattr(around, "upper_bound", inf)
    if bool(torch.as_tensor(below).any()) or bool(torch.as_tensor(above).any()):
        raise SupportError(
            f"KL({_name(q)}‖{_name(p)}) is infinite: q has mass where p has none; q must lie "
            "inside the support of p, or p must be positive everywhere, as a Gaussian is"
        )


def _support(distribution: Distribution) -> constraints.Constraint | None:
    """Return the support of single entries, or None where the distribution does not tell it."""
    try:
        support = base(distribution).support
    except NotImplementedError:
        return None
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def _is_bounded(support: constraints.Constraint | None) -> bool:
    return hasattr(support, "lower_bound") or hasattr(support, "upper_bound")


def _name(distribution: Distribution) -> str:
    return type(base(distribution)).__name__
