r"""Closed forms of the Kullback–Leibler divergence, in the registry of ``torch.distributions``.

.. math:: \mathrm{KL}(q \| p) = \mathbb E_q[\log q(z) - \log p(z)]

Each is one function with the decorator ``register_kl``, for a class of q and a class of p;
``torch.distributions.kl_divergence`` and ``reparam.kl`` find it there.
"""

from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl

from reparam.distributions.codes import CodeSequence, OneHotCodes, QuantizedCodes
from reparam.distributions.hypersphere import HypersphericalUniform, VonMisesFisher


@register_kl(VonMisesFisher, HypersphericalUniform)
def _von_mises_fisher_to_uniform(q: VonMisesFisher, p: HypersphericalUniform) -> Tensor:
    """log |S| - H(q), with the area |S| of the sphere."""
    return q.kl_from_uniform()


@register_kl(OneHotCodes, OneHotCodes)
def _codes_to_codes(q: OneHotCodes, p: OneHotCodes) -> Tensor:
    """Σ_n Σ_k q_nk (log q_nk - log p_nk), the KL of the classes, also where draws are relaxed."""
    return (q.probs * (q.logits - p.logits)).sum((-2, -1))


@register_kl(QuantizedCodes, CodeSequence)
def _quantized_to_sequence(q: QuantizedCodes, p: CodeSequence) -> Tensor:
    """-log p(k), because q has all its mass on one sequence of codes k, and entropy zero."""
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
