r"""The Kullback–Leibler divergence of a posterior to a prior.

.. math:: \mathrm{KL}(q \| p) = \mathbb E_q[\log q(z) - \log p(z)]

``kl`` uses a closed form where torch's registry has one, and draws from q elsewhere. A new closed
form is one function in ``distributions/closed_forms.py``. Distributions on different spaces of
latents (real vectors, directions, codes) cannot be compared.
"""

from collections.abc import Mapping
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints, kl_divergence

from reparam.distributions import Chain, CodeVectors, OneHotCodes, Sphere, base_distribution
from reparam.distributions.declared import Space
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.utils.equality import by_value

CLOSED_FORM = "closed form"
MONTE_CARLO = "Monte Carlo"


@by_value
class Divergence(NamedTuple):
    """A divergence, and how it was computed.

    Arguments:
        value: KL(q‖p) in nats, with shape (B,).
        method: ``closed form`` or ``Monte Carlo``.
        per_dimension: The KL of each dimension, with shape (B, D); None where q or p does not
            factorize.
        groups: The KL of each group of latents, with shape (B,), by name; empty for one group.
    """

    value: Tensor
    method: str
    per_dimension: Tensor | None = None
    groups: Mapping[str, Tensor] = {}

    @property
    def by_group(self) -> Mapping[str, Tensor]:
        """The KL of each group; of one group only, the whole KL as ``z``."""
        return self.groups or {"z": self.value}


def kl(
    q: Distribution, p: Distribution, z: Tensor | None = None, *, method: str | None = None
) -> Divergence:
    r"""Return KL(q‖p), exactly where a closed form is registered.

    .. math:: \mathrm{KL}(q \| p) \approx \frac1K \sum_k \log q(z_k) - \log p(z_k),
              \quad z_k \sim q

    Arguments:
        q: The posterior, with batch shape (B,).
        p: The prior, with batch shape (B,) or ().
        z: Draws from q with shape (K, B, D), for the Monte Carlo estimate; one draw when None.
        method: ``closed form`` or ``Monte Carlo`` to require one of them; None for a closed form
            where there is one.

    Raises:
        SupportError: The divergence is infinite, because q has mass outside the support of p; or
            a closed form is required, and none is registered.
        OptionError: An unknown method.
        ShapeError: q and p are over events of different shapes.

    References:
        Kingma & Welling, ICLR 2014, appendix B (closed form), eq. 6 (Monte Carlo).

    Example:
        >>> from torch.distributions import Normal
        >>> unit = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> kl(Independent(Normal(torch.ones(3, 2), 1.0), 1), unit).value
        tensor([1., 1., 1.])
    """
    if method not in (None, CLOSED_FORM, MONTE_CARLO):
        raise OptionError(f"method={method!r}: use {CLOSED_FORM!r}, {MONTE_CARLO!r} or None")
    check_same_event(q, p)
    _refuse_infinite(q, p)
    exact = None if method == MONTE_CARLO else _closed_form(q, p)
    if exact is not None:
        return exact
    if method == CLOSED_FORM:
        raise SupportError(
            f"no closed form of KL({_name(q)}‖{_name(p)}) is registered: "
            f"use method={MONTE_CARLO!r}, or register one with register_kl"
        )
    if z is None:
        z = (q.rsample if q.has_rsample else q.sample)(torch.Size([1]))
    if isinstance(q, Chain) and isinstance(p, Chain):
        return _layers(q, p, z)
    _refuse_relaxed(q)
    log_ratio = q.log_prob(z) - p.log_prob(z)
    return Divergence(log_ratio.flatten(0, -1 - len(q.batch_shape)).mean(0), MONTE_CARLO)


def check_same_event(q: Distribution, p: Distribution) -> None:
    """Refuse a posterior and a prior over events of different shapes, which would broadcast.

    Raises:
        ShapeError: Their event shapes differ.
    """
    if q.event_shape != p.event_shape:
        raise ShapeError(
            f"a posterior over events of shape {tuple(q.event_shape)} and a prior over "
            f"{tuple(p.event_shape)}: both must have the same latent dimensions"
        )


def _layers(q: Chain, p: Chain, z: Tensor) -> Divergence:
    """Return Σ_l E_q[KL(q(z_l | z_<l)‖p(z_l | z_<l))], with the layers before l at draws z."""
    at_p = p.given(z)
    groups = {name: kl(q_l, at_p[name]).value.mean(0) for name, q_l in q.given(z).items()}
    return Divergence(torch.stack(list(groups.values())).sum(0), MONTE_CARLO, groups=groups)


def check_comparable(q: Distribution, p: Distribution) -> None:
    """Refuse a posterior and a prior that have no importance weight p(z) / q(z).

    Raises:
        ShapeError: q and p are over events of different shapes.
        SupportError: q has mass where p has none.
    """
    check_same_event(q, p)
    _refuse_infinite(q, p)
    _refuse_relaxed(q)


def _refuse_relaxed(q: Distribution) -> None:
    """Raise where draws lie between classes, where a prior over classes has no mass."""
    if isinstance(q, OneHotCodes) and q.has_rsample:
        raise SupportError(
            "a relaxed draw lies between the classes, where a prior over classes has no mass, so "
            "importance weights do not exist while training: use objective='elbo' with "
            "prior='uniform-codes', whose KL has a closed form"
        )


def _closed_form(q: Distribution, p: Distribution) -> Divergence | None:
    """Return the divergence by a registered closed form; None where there is none."""
    try:
        if all(isinstance(d, Independent) and d.reinterpreted_batch_ndims == 1 for d in (q, p)):
            parts = kl_divergence(q.base_dist, p.base_dist)  # type: ignore[attr-defined]
            return Divergence(parts.sum(-1), CLOSED_FORM, parts)
        return Divergence(kl_divergence(q, p), CLOSED_FORM)
    except NotImplementedError:
        return None


def _refuse_infinite(q: Distribution, p: Distribution) -> None:
    """Raise where q and p are on different spaces, or q has mass outside the interval of p."""
    inside, around = _support(q), _support(p)
    if _space(inside) != _space(around):
        raise SupportError(
            f"KL({_name(q)}‖{_name(p)}) is infinite: q is defined on {_space(inside)} and p on "
            f"{_space(around)}, so q has mass where p has none; give both the same space (a von "
            "Mises-Fisher posterior needs prior='sphere', posterior='gumbel' needs "
            "prior='uniform-codes')"
        )
    ends, limits = _ends(inside), _ends(around)
    if not limits or not (ends or isinstance(inside, type(constraints.real))):
        return
    below = ends.get("lower_bound", -inf) < limits.get("lower_bound", -inf)
    above = ends.get("upper_bound", inf) > limits.get("upper_bound", inf)
    if any(bool(torch.as_tensor(side).any()) for side in (below, above)):
        raise SupportError(
            f"KL({_name(q)}‖{_name(p)}) is infinite: q has mass where p has none; q must lie "
            "inside the support of p, or p must be positive everywhere, as a Gaussian is"
        )


def _support(distribution: Distribution) -> constraints.Constraint | None:
    """Return the support of single entries; None for a distribution that does not declare it."""
    try:
        support = base_distribution(distribution).support
    except NotImplementedError:
        return None
    # The support of a product is made of its factors', and that of a mixture of its components'.
    while isinstance(support, constraints.independent | constraints.MixtureSameFamilyConstraint):
        support = support.base_constraint
    return support


def is_real(distribution: Distribution) -> bool:
    """Return whether z is a vector of real numbers, and neither a direction nor a code.

    >>> from reparam.distributions import HypersphericalUniform
    >>> is_real(torch.distributions.Normal(0.0, 1.0)), is_real(HypersphericalUniform(3))
    (True, False)
    """
    return _space(_support(distribution)) == "real vectors"


def is_direction(distribution: Distribution) -> bool:
    """Return whether z is a direction, a vector of length one.

    >>> from reparam.distributions import HypersphericalUniform
    >>> is_direction(HypersphericalUniform(3))
    True
    """
    return _space(_support(distribution)) == "the unit sphere"


def _space(support: constraints.Constraint | None) -> Space:
    """Return the space of latents with this support."""
    if isinstance(support, Sphere):
        return "the unit sphere"
    if isinstance(support, CodeVectors):
        return "codes of a codebook"
    return "discrete codes" if support is not None and support.is_discrete else "real vectors"


def _ends(support: constraints.Constraint | None) -> dict[str, Any]:
    """Return the finite ends of an interval by name; {} for the real line and for other sets."""
    known = {} if support is None else vars(support)
    return {name: known[name] for name in ("lower_bound", "upper_bound") if name in known}


def _name(distribution: Distribution) -> str:
    return type(base_distribution(distribution)).__name__
