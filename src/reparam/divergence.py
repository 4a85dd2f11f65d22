"""The Kullback–Leibler divergence: closed forms where they exist, Monte Carlo elsewhere."""

from collections.abc import Callable, Mapping
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

from reparam.distributions import (
    Chain,
    CodeSequence,
    CodeVectors,
    HypersphericalUniform,
    OneHotCodes,
    QuantizedCodes,
    VonMisesFisher,
    base,
    sphere,
)
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.utils.equality import by_value

CLOSED_FORM = "closed form"
MONTE_CARLO = "Monte Carlo"
REALS = "a space of real vectors"
SPHERE = "the unit sphere"


@by_value
class Divergence(NamedTuple):
    """A divergence and how it was computed.

    Arguments:
        value: KL(q‖p) in nats, with shape (B,).
        method: ``closed form`` or ``Monte Carlo``.
        per_dimension: Its parts where both distributions factorize, with shape (B, D); else None.
        groups: Its parts by group of latents, each with shape (B,), for a hierarchy of them.
    """

    value: Tensor
    method: str
    per_dimension: Tensor | None = None
    groups: Mapping[str, Tensor] = {}

    @property
    def by_group(self) -> Mapping[str, Tensor]:
        """Its parts by group; the whole as ``z`` where there is one group only."""
        return self.groups or {"z": self.value}


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
    if z is None:
        z = (q.rsample if q.has_rsample else q.sample)(torch.Size([1]))
    if isinstance(q, Chain) and isinstance(p, Chain):
        return _layers(q, p, z)
    _refuse_relaxed(q)
    log_ratio = q.log_prob(z) - p.log_prob(z)
    return Divergence(log_ratio.flatten(0, -1 - len(q.batch_shape)).mean(0), MONTE_CARLO)


def inverse_multiquadrics(a: Tensor, b: Tensor) -> Tensor:
    r"""Return the sum of seven inverse multiquadrics of all pairs, with shape (N, M).

    .. math:: k(a, b) = \sum_s \frac{s C}{s C + \|a - b\|^2}, \qquad C = 2 D, \quad
              s = 0.1, 0.2, 0.5, 1, 2, 5, 10

    Arguments:
        a: Points with shape (N, D).
        b: Points with shape (M, D).

    References:
        Tolstikhin et al., ICLR 2018, section 4.

    Example:
        >>> inverse_multiquadrics(torch.zeros(1, 2), torch.zeros(3, 2))
        tensor([[7., 7., 7.]])
    """
    distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    widths = [2 * a.shape[-1] * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return torch.stack([width / (width + distance) for width in widths]).sum(0)


Kernel = Callable[[Tensor, Tensor], Tensor]
"""From points with shapes (N, D) and (M, D) to the kernel of all pairs, with shape (N, M)."""


def mmd(first: Tensor, second: Tensor, kernel: Kernel = inverse_multiquadrics) -> Tensor:
    r"""Return the squared maximum mean discrepancy of two samples, without bias.

    .. math:: \mathrm{MMD}^2 = \mathbb E[k(a, a')] + \mathbb E[k(b, b')] - 2\, \mathbb E[k(a, b)]

    The estimate has no bias, so that it may be below zero.

    Arguments:
        first: Draws a, with shape (N, D).
        second: Draws b, with shape (M, D).
        kernel: k, of all pairs.

    Raises:
        ShapeError: Fewer than two draws on a side, or of different sizes.

    References:
        Gretton et al., A kernel two-sample test, JMLR 2012, eq. 3.

    Example:
        >>> mmd(torch.zeros(5, 2), torch.zeros(6, 2)), mmd(torch.zeros(5, 2), torch.ones(6, 2)) > 1
        (tensor(0.), tensor(True))
    """
    sizes = (len(first), len(second))
    if min(sizes) < 2 or first.shape[1:] != second.shape[1:]:
        raise ShapeError(
            f"draws of shape {tuple(first.shape)} and {tuple(second.shape)}: the discrepancy needs "
            "two or more on each side, of the same dimensions"
        )

    def within(a: Tensor) -> Tensor:
        # Every draw is as near to itself as can be, which says nothing.
        pairs = kernel(a, a)
        return (pairs.sum() - pairs.diagonal().sum()) / (len(a) * (len(a) - 1))

    return within(first) + within(second) - 2 * kernel(first, second).mean()


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


def _layers(q: Chain, p: Chain, z: Tensor) -> Divergence:
    """Return Σ_l E_q[KL(q(z_l | z_<l)‖p(z_l | z_<l))]: closed in each layer, sampled above it."""
    at_p = p.given(z)
    groups = {name: kl(q_l, at_p[name]).value.mean(0) for name, q_l in q.given(z).items()}
    return Divergence(torch.stack(list(groups.values())).sum(0), MONTE_CARLO, groups=groups)


def check_comparable(q: Distribution, p: Distribution) -> None:
    """Refuse a posterior and a prior whose densities no importance weight can compare.

    Raises:
        ShapeError: q and p are over events of different shapes.
        SupportError: One has mass where the other has none.
    """
    check_same_event(q, p)
    _refuse_infinite(q, p)
    _refuse_relaxed(q)


def _refuse_relaxed(q: Distribution) -> None:
    """Raise where draws lie between classes, which a prior over classes gives no mass."""
    if isinstance(q, OneHotCodes) and q.has_rsample:
        raise SupportError(
            "a relaxed draw lies between the classes, where a prior over classes has no mass, so "
            "that importance weights do not exist while training: use --objective elbo with "
            "--prior uniform-codes, whose KL has a closed form"
        )


@register_kl(VonMisesFisher, HypersphericalUniform)
def _von_mises_fisher_to_uniform(q: VonMisesFisher, p: HypersphericalUniform) -> Tensor:
    """The logarithm of the sphere's area less the entropy of q."""
    return q.kl_from_uniform()


@register_kl(OneHotCodes, OneHotCodes)
def _codes_to_codes(q: OneHotCodes, p: OneHotCodes) -> Tensor:
    """Σ_n Σ_k q_nk (log q_nk - log p_nk): of the classes, whether draws are relaxed or not."""
    return (q.probs * (q.logits - p.logits)).sum((-2, -1))


@register_kl(QuantizedCodes, CodeSequence)
def _quantized_to_sequence(q: QuantizedCodes, p: CodeSequence) -> Tensor:
    """-log p(k): q is a mass of one on a sequence of codes, and so has no entropy."""
    if q.codes is not p.codes:
        raise NotImplementedError
    return -p.sequence.log_prob(q.indices)


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
    spaces = _space(inside), _space(around)
    if spaces[0] != spaces[1]:
        raise SupportError(
            f"KL({_name(q)}‖{_name(p)}) is infinite: q lives on {spaces[0]} and p on {spaces[1]}, "
            "so that each has mass where the other has none; give both the same space "
            "(a von Mises-Fisher posterior goes with the prior sphere, gumbel with uniform-codes)"
        )
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
    # Below it, that of the factors of a product and of the components of a mixture.
    while (below := getattr(support, "base_constraint", None)) is not None:
        support = below
    return support


def is_real(distribution: Distribution) -> bool:
    """Return whether z is a vector of any real numbers, no direction and no code.

    >>> is_real(Independent(Normal(torch.zeros(2), 1.0), 1)), is_real(HypersphericalUniform(3))
    (True, False)
    """
    return _space(_support(distribution)) == REALS


def is_direction(distribution: Distribution) -> bool:
    """Return whether z is a direction, a vector of length one.

    >>> is_direction(HypersphericalUniform(3)), is_direction(Normal(0.0, 1.0))
    (True, False)
    """
    return _space(_support(distribution)) == SPHERE


def _space(support: constraints.Constraint | None) -> str:
    """Return in words the kind of set that z lies in."""
    if isinstance(support, type(sphere)):
        return SPHERE
    if isinstance(support, CodeVectors):
        return "the codes of a codebook"
    if support is not None and support.is_discrete:
        return "a set of codes"
    return REALS


def _is_bounded(support: constraints.Constraint | None) -> bool:
    return hasattr(support, "lower_bound") or hasattr(support, "upper_bound")


def _name(distribution: Distribution) -> str:
    return type(base(distribution)).__name__
