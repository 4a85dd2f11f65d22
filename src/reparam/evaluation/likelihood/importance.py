r"""Importance sampling: the figures that follow from draws of z for one block of examples.

.. math:: \log p(x) \approx \log \frac1L \sum_l \frac{p(x, z_l)}{q(z_l \mid x)}

A figure that rounding errors dominate is NaN. The rules and their tolerances:

- The rules of ``precision``: log p(x | z) and log p(x) of discrete data are at most 0, a KL in
  closed form is at least 0.
- The logarithm of a mean weight differs in float32 from float64 by no more than the largest
  difference of the logarithms of its weights. The largest weight, in which an error that inflates
  the estimate shows, and the smallest one are therefore computed again in float64, at z and at z
  moved by its last bit. They may differ by ``_CLOSE``.
- log p(x) may lie above the ELBO by any amount: the gap is KL(q(z | x)‖p(z | x)). A gap above log K
  for K draws means that a few draws make up the estimate, which the effective sample size shows.

Examples that break a rule are sampled again in float64. A figure that still breaks one is NaN.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import log
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import Delta, Flow, QuantizedCodes, TriangularNormal
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, Divergence, kl
from reparam.evaluation.likelihood.decoder import (
    CACHE_FLOATS,
    Decoder,
    decoded_log_prob,
    inspect_decoder,
)
from reparam.evaluation.likelihood.precision import CHANCE, ROUNDING, computed_in_float64, held
from reparam.evaluation.likelihood.proposal import POSTERIOR, TUNED, check_proposal, proposed
from reparam.isolation import Workers
from reparam.models.latent import LatentModel
from reparam.utils.equality import by_value
from reparam.utils.seeding import branches

N_SAMPLES = 500
"""The default number of draws of an importance-sampled likelihood."""

NO_DENSITY = "no density"
"""The ``kl_method`` of a deterministic code, which has no KL."""

# The number of floats of a part of the draws, so that draws do not depend on the memory.
_SLAB_FLOATS = 2**21

# Nats, and a share of log w, by which a weight in float32 may differ from the same in float64.
_CLOSE, _CLOSE_SHARE = 0.05, 1e-5


@by_value
class ImportanceSample(NamedTuple):
    """The figures of B examples, float64 on the CPU.

    Arguments:
        log_likelihood: log p(x) by importance sampling, in nats with shape (B,).
        reconstruction: E_q[log p(x | z)], in nats with shape (B,).
        kl: KL(q(z | x)‖p(z)), in nats with shape (B,).
        kl_per_dimension: Its parts, with shape (B, D), where they exist.
        kl_method: ``closed form``, ``Monte Carlo`` or ``no density``.
        effective_sample_size: (Σ w)² / Σ w² of the importance weights w, as a share of the draws,
            with shape (B,).
        decoder: The cost and the kind of the decoder.
        indices: The numbers of the codes of a quantized latent, with shape (B, P); else None.
        kl_groups: The parts of the KL by layer of a hierarchy, each with shape (B,).
        n_samples: The number of draws for each example; None where the code has no density.
        impossible: Which examples have no log p(x) because the result cannot be one, bool with
            shape (B,).
    """

    log_likelihood: Tensor
    reconstruction: Tensor
    kl: Tensor
    kl_per_dimension: Tensor | None
    kl_method: str
    effective_sample_size: Tensor
    decoder: Decoder
    indices: Tensor | None = None
    kl_groups: Mapping[str, Tensor] = {}
    n_samples: int | None = None
    impossible: Tensor = torch.zeros(0, dtype=torch.bool)

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, reconstruction - kl, in nats with shape (B,)."""
        return self.reconstruction - self.kl

    @property
    def has_density(self) -> bool:
        """Whether the posterior has a density, and so a KL."""
        return self.kl_method != NO_DENSITY


def combined(
    samples: Sequence[ImportanceSample],
    combine: Callable[[tuple[Tensor, ...]], Tensor] = torch.cat,
) -> ImportanceSample:
    """Return several samples as one: their tensors combined, all else as in the first.

    Arguments:
        samples: Samples of the same model.
        combine: A function of the same tensor of every sample; by default they are concatenated.
    """

    def one_of(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Mapping):
            return {name: combine(tuple(value[name] for value in values)) for name in values[0]}
        return combine(tuple(values)) if isinstance(values[0], Tensor) else values[0]

    return ImportanceSample(*map(one_of, zip(*samples, strict=True)))


def importance_sample(
    model: LatentModel,
    x: Tensor,
    c: Tensor | None,
    n_samples: int,
    *,
    max_floats: int = 2**27,
    decoder: Decoder | None = None,
    workers: Workers = Workers(),  # noqa: B008
    proposal: str = POSTERIOR,
) -> ImportanceSample:
    r"""Draw z ~ q(z | x, c) and return all figures that follow from the draws.

    .. math:: \log p(x) \approx \log \frac1L \sum_l w_l, \quad w_l = \frac{p(x, z_l)}{q(z_l \mid x)}

    With another proposal than the posterior, the likelihood and the effective sample size are those
    of L further draws from it; all other figures stay those of draws from the posterior.

    Examples whose float32 is not enough are sampled in float64, and figures that no precision makes
    possible are NaN: see the top of this module.

    Arguments:
        model: The model, where x is.
        x: The examples, with shape (B, *event).
        c: Their condition, with shape (B, C).
        n_samples: L, the number of draws for each example; one where the posterior is a single
            sequence of codes.
        max_floats: The approximate number of floats of the decoder; it changes no figure.
        decoder: The decoder of an earlier result; None to inspect it.
        workers: The threads that decode.
        proposal: The distribution of the draws for the likelihood: ``posterior``, ``defensive`` or
            ``tuned`` (see ``evaluation.likelihood.proposal``).

    Raises:
        OptionError: A proposal that does not exist.
        SupportError: The KL of posterior and prior is infinite, or the posterior has another form
            than the proposal needs.

    References:
        Burda et al., ICLR 2016, eq. 8; Kong, Liu & Wong, JASA 1994 (effective sample size).

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
        >>> importance_sample(model, torch.zeros(5, 1, 8, 8), None, 10).log_likelihood.shape
        torch.Size([5])
    """
    sampler = _Sampler(model, n_samples, max_floats, workers, proposal)
    found, weights = sampler.sampled(x, c, decoder)
    if not found.has_density:
        return found
    wide_c = None if c is None else c.double()
    wide = computed_in_float64(model, lambda: sampler.widened(x.double(), wide_c, found, weights))
    if wide is None:  # only the exact rules remain
        return _possible(found, ROUNDING[torch.float32], ROUNDING[torch.float32])
    return _possible(wide, ROUNDING[torch.float64], CHANCE)


class _Weights:
    """The importance weights w of B examples: sums, and the draws with the extreme weights.

    All are float64 on the CPU, but z.

    Arguments:
        proposal: The name of the proposal.
        r: The proposal.
        n_examples: B.

    Example:
        >>> z, log_w = torch.zeros(2, 1, 1), torch.tensor([[1.0], [3.0]], dtype=torch.float64).log()
        >>> weights = _Weights("posterior", Delta(z[0]), n_examples=1)
        >>> weights.add(z, log_w, torch.zeros_like(log_w))
        >>> weights.log_mean(2).exp(), weights.effective_sample_size(2)
        (tensor([2.], dtype=torch.float64), tensor([0.8000], dtype=torch.float64))
    """

    def __init__(self, proposal: str, r: Distribution, n_examples: int) -> None:
        self.proposal, self.r = proposal, r
        # log Σ w and log Σ w²
        self.first = self.second = torch.full((n_examples,), -torch.inf, dtype=torch.float64)
        # of the draws with the largest and the smallest weight
        self.z = self.log_weight = self.log_r = torch.empty(0)

    def add(self, z: Tensor, log_weight: Tensor, log_r: Tensor) -> None:
        """Add draws z (K, B, D) and, on the CPU, their log-weights and log r(z), both (K, B)."""
        self.first = self.first.logaddexp(log_weight.logsumexp(0))
        self.second = self.second.logaddexp((2 * log_weight).logsumexp(0))
        if len(self.z):
            z = torch.cat([self.z, z])
            log_weight = torch.cat([self.log_weight, log_weight])
            log_r = torch.cat([self.log_r, log_r])
        which = torch.stack([log_weight.argmax(0), log_weight.argmin(0)])
        self.log_weight, self.log_r = log_weight.gather(0, which), log_r.gather(0, which)
        self.z = z.gather(0, which.to(z.device)[..., None].expand(-1, -1, z.shape[-1]))

    def log_mean(self, n_samples: int) -> Tensor:
        """Return the logarithm of the mean weight of ``n_samples`` draws."""
        return self.first - log(n_samples)

    def effective_sample_size(self, n_samples: int) -> Tensor:
        """Return (Σ w)² / Σ w², as a share of ``n_samples`` draws."""
        return ((2 * self.first - self.second).exp() / n_samples).clamp(max=1)


@dataclass(frozen=True)
class _Sampler:
    """Importance sampling with some options.

    Arguments:
        model: The model.
        n_samples: The number of draws for each example.
        max_floats: The approximate number of floats of the decoder; it changes no figure.
        workers: The threads that decode.
        proposal: The distribution of the draws for the likelihood.
    """

    model: LatentModel
    n_samples: int
    max_floats: int = 2**27
    workers: Workers = Workers()  # noqa: RUF009
    proposal: str = POSTERIOR

    def sampled(
        self, x: Tensor, c: Tensor | None, decoder: Decoder | None
    ) -> tuple[ImportanceSample, list[_Weights]]:
        """Return unchecked figures, and the weights of the draws from each distribution."""
        model, n_samples, proposal = self.model, self.n_samples, self.proposal
        q = model.posterior(x, c)
        check_proposal(proposal, q)
        is_delta = isinstance(q, Delta)
        if is_delta or isinstance(q, QuantizedCodes):
            # All draws from a point mass are the same, so that one is enough.
            n_samples = 1
        slab = max(1, min(n_samples, _SLAB_FLOATS // (len(x) * q.event_shape.numel())))
        draws = _draws(q, n_samples, slab)
        first = next(draws)
        if decoder is None:
            decoder = inspect_decoder(model, first[:1, :1], None if c is None else c[:1])
        if is_delta:
            reconstruction = _float64(model.likelihood(first[0], c).log_prob(x))
            none = torch.full_like(reconstruction, torch.nan)
            return ImportanceSample(none, reconstruction, none, None, NO_DENSITY, none, decoder), []
        prior = model.prior_distribution(c)
        zero = torch.zeros(len(x), dtype=torch.float64)
        reconstruction, mean_log_ratio = zero, zero
        layers: dict[str, Tensor] = {}
        divergence = kl(q, prior, first)
        rows = decoder.rows(self.max_floats // self.workers.n, x.device)

        def scored(z: Tensor, weights: _Weights) -> tuple[Tensor, Tensor]:
            """Return log p(x | z) and log r(z) / p(z), with shape (K, B), and add their weights."""
            log_r = weights.r.log_prob(z)
            log_ratio = _float64(log_r - prior.log_prob(z))
            log_likelihood = _float64(decoded_log_prob(model, x, z, c, rows, self.workers))
            weights.add(z, log_likelihood - log_ratio, _float64(log_r))
            return log_likelihood, log_ratio

        weights = [_Weights(POSTERIOR, q, len(x))]
        for z in chain([first], draws):
            # The KL of a layer below another is a mean over draws.
            if layers:
                divergence = kl(q, prior, z)
            for name, part in divergence.groups.items():
                layers[name] = layers.get(name, zero) + _float64(part) * (len(z) / n_samples)
            log_likelihood, log_ratio = scored(z, weights[0])
            reconstruction = reconstruction + log_likelihood.sum(0)
            mean_log_ratio = mean_log_ratio + log_ratio.sum(0)
        if proposal != POSTERIOR:
            # Gradients need the outputs of all layers.
            r = proposed(proposal, model, x, c, max_rows=max(1, rows // 4))
            weights.append(_Weights(proposal, r, len(x)))
            for z in _draws(r, n_samples, slab):
                scored(z, weights[1])
        parts = divergence.per_dimension
        found = ImportanceSample(
            log_likelihood=weights[-1].log_mean(n_samples),
            reconstruction=reconstruction / n_samples,
            kl=_kl(divergence, layers, mean_log_ratio / n_samples),
            kl_per_dimension=None if parts is None else _float64(parts),
            kl_groups=layers,
            kl_method=divergence.method,
            effective_sample_size=weights[-1].effective_sample_size(n_samples),
            decoder=decoder,
            indices=q.indices.cpu() if isinstance(q, QuantizedCodes) else None,
            n_samples=n_samples,
            impossible=torch.zeros(len(x), dtype=torch.bool),
        )
        return found, weights

    def widened(
        self, x: Tensor, c: Tensor | None, found: ImportanceSample, weights: Sequence[_Weights]
    ) -> ImportanceSample:
        """Return figures in which doubtful ones are replaced by those of float64.

        A KL in closed form costs one pass of the encoder, and is always computed in float64.
        """
        model = self.model
        if found.kl_method != MONTE_CARLO:
            exact = kl(model.posterior(x, c), model.prior_distribution(c), method=CLOSED_FORM)
            parts = exact.per_dimension
            found = found._replace(
                kl=_float64(exact.value),
                kl_per_dimension=None if parts is None else _float64(parts),
            )
        doubtful = ~(found.log_likelihood + found.reconstruction + found.kl).isfinite()
        rows = found.decoder.rows(CACHE_FLOATS // 2, x.device)
        for drawn in weights:
            doubtful |= ~self.is_sound(x, c, drawn, rows)
        for part in found.kl_groups.values():
            doubtful |= part < -ROUNDING[torch.float32]
        if found.decoder.is_mass:
            doubtful |= (found.log_likelihood > CHANCE) | (found.reconstruction > 0)
        if not bool(doubtful.any()):
            return found
        some = doubtful.to(x.device)
        x, c = x[some], c if c is None else c[some]
        # In a separate random state, so that the draws of later examples do not change.
        with branches()(0):
            again, weights = self.sampled(x, c, found.decoder)
        # Float64 may not be enough either. An estimate within log K of the ELBO is kept even then.
        unsound = again.log_likelihood - again.elbo > log(again.n_samples or 1)
        for drawn in weights:
            unsound &= ~self.is_sound(x, c, drawn, rows)

        def replaced(tensors: Sequence[Tensor]) -> Tensor:
            old, new = tensors
            which = doubtful.reshape(-1, *[1] * (old.dim() - 1))
            return old.clone().masked_scatter(which, new.to(old))

        return combined((found, again._replace(impossible=unsound)), replaced)

    def is_sound(self, x: Tensor, c: Tensor | None, weights: _Weights, rows: int) -> Tensor:
        """Return which examples have extreme weights that are the same in float64, bool, (B,).

        They must also stay the same if z changes by its last bit.
        """
        z, log_weight = weights.z, weights.log_weight
        places = [z.double()]
        if not isinstance(weights.r, QuantizedCodes):
            places.append(z.nextafter(torch.full_like(z, torch.inf)).double())
        prior, r = self.model.prior_distribution(c), None
        # A tuned proposal is the same distribution in any precision. A flow computes the density of
        # its draws from the noise, before z is rounded, and this density is the right one.
        if weights.proposal != TUNED and not isinstance(weights.r, Flow | TriangularNormal):
            r = proposed(weights.proposal, self.model, x, c)
        sound = torch.ones(len(x), dtype=torch.bool)
        for place in places:
            log_r = weights.log_r if r is None else r.log_prob(place).cpu()
            log_ratio = prior.log_prob(place).cpu() - log_r
            other = decoded_log_prob(self.model, x, place, c, rows).cpu() + log_ratio
            near = (log_weight - other).abs() <= _CLOSE + _CLOSE_SHARE * log_weight.abs()
            sound &= (near | (log_weight == other)).all(0)
        return sound


def _possible(found: ImportanceSample, rounding: float, chance: float) -> ImportanceSample:
    """Return figures in which what neither rounding nor chance explains is not a number."""
    most = 0.0 if found.decoder.is_mass else torch.inf
    least = 0.0 if found.kl_method != MONTE_CARLO else -torch.inf
    log_likelihood = found.log_likelihood.masked_fill(found.impossible, torch.inf)
    possible = held(log_likelihood, most=most, rounding=chance)
    return found._replace(
        log_likelihood=possible,
        reconstruction=held(found.reconstruction, most=most, rounding=rounding),
        kl=held(found.kl, least, rounding=rounding),
        impossible=found.impossible | (possible.isnan() & log_likelihood.isfinite()),
    )


def _draws(r: Distribution, n_samples: int, slab: int) -> Iterator[Tensor]:
    """Yield draws of z, with shape (K, B, D), in parts of at most ``slab``."""
    for start in range(0, n_samples, slab):
        yield r.sample(torch.Size([min(slab, n_samples - start)]))


def _kl(divergence: Divergence, layers: Mapping[str, Tensor], log_ratio: Tensor) -> Tensor:
    """Return the KL: closed as a whole or in each layer, or the mean log-ratio of the draws."""
    if divergence.method != MONTE_CARLO:
        return _float64(divergence.value)
    return torch.stack(list(layers.values())).sum(0) if layers else log_ratio


def _float64(values: Tensor) -> Tensor:
    return values.cpu().double()
