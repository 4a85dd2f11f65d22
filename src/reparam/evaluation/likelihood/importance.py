"""Importance sampling: what draws from the posterior say of one block of examples."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.distributions import (
    Autoregressive,
    Delta,
    QuantizedCategorical,
    QuantizedCodes,
    base,
    is_normalized,
)
from reparam.divergence import MONTE_CARLO, Divergence, kl
from reparam.equality import by_value
from reparam.evaluation.likelihood.proposal import POSTERIOR, check_proposal, proposed
from reparam.isolation import Workers
from reparam.model import LatentModel

N_SAMPLES = 500
"""How many draws an importance-sampled likelihood is made of, unless told otherwise."""

NO_DENSITY = "no density"
"""The ``kl_method`` of a deterministic code, which has no KL."""

# Draws are made so many floats at a time, whatever the memory: they depend on the seed alone.
_SLAB_FLOATS = 2**21
# On a CPU, larger pieces of work fall out of the cache and take longer.
_CACHE_FLOATS = 2**21


class Decoder(NamedTuple):
    """What one pass through a decoder costs, and what kind of distribution comes out.

    Arguments:
        floats: About how many floats one z holds in memory, its log-density included.
        normalized: Whether log p(x | z) is the logarithm of a density or mass.
        discrete: Whether it is that of a mass.
    """

    floats: int
    normalized: bool
    discrete: bool

    def rows(self, max_floats: int, device: torch.device) -> int:
        """Return how many z to decode at once.

        >>> Decoder(1000, True, True).rows(5000, torch.device("cpu"))
        5
        """
        most = min(max_floats, _CACHE_FLOATS) if device.type == "cpu" else max_floats
        return max(1, most // self.floats)


@by_value
class Figures(NamedTuple):
    """Figures of B examples, float64 on the CPU.

    Arguments:
        log_likelihood: log p(x) by importance sampling, in nats with shape (B,).
        reconstruction: E_q[log p(x | z)], in nats with shape (B,).
        kl: KL(q(z | x)‖p(z)), in nats with shape (B,).
        kl_per_dimension: Its parts, with shape (B, D), where they exist.
        kl_method: ``closed form`` or ``Monte Carlo``.
        effective_sample_size: (Σ w)² / Σ w² of the importance weights w, as a share of the draws,
            with shape (B,).
        decoder: What was found out about the decoder.
        indices: The numbers of the codes of a quantized latent, with shape (B, P); else None.
        kl_groups: The parts of the KL by layer of a hierarchy, each with shape (B,).
        n_samples: How many draws were made for each example; None where the code has no density.
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
) -> Figures:
    r"""Draw z ~ q(z | x, c) and return all figures that follow from the draws.

    .. math:: \log p(x) \approx \log \frac1L \sum_l w_l, \quad w_l = \frac{p(x, z_l)}{q(z_l \mid x)}

    With another proposal than the posterior, the likelihood and the effective sample size are those
    of L further draws from it, and all else is as it was.

    Arguments:
        model: The model, where x is.
        x: The examples, with shape (B, *event).
        c: Their condition, with shape (B, C).
        n_samples: L; exactly so many draws are made for each example, or one where the posterior
            is a single sequence of codes.
        max_floats: About how many floats the decoder may use at once; it changes no figure.
        decoder: What an earlier call found out about the decoder; None to find out.
        workers: The threads that decode.
        proposal: Where the draws for the likelihood come from: ``posterior``, ``defensive`` or
            ``tuned`` (see ``evaluation.likelihood.proposal``).

    Raises:
        OptionError: A proposal that does not exist.
        SupportError: The KL of posterior and prior is infinite, or the posterior has another form
            than the proposal needs.

    References:
        Burda et al., ICLR 2016, eq. 8; Kong, Liu & Wong, JASA 1994 (effective sample size).
    """
    q = model.posterior(x, c)
    check_proposal(proposal, q)
    if isinstance(q, Delta):
        return _reconstructed(model, x, q.value, c, decoder)
    prior = model.prior_distribution(c)
    indices = q.indices.cpu() if isinstance(q, QuantizedCodes) else None
    if indices is not None:
        # All draws from a point mass are the same, so that one says what any number would.
        n_samples = 1
    slab = max(1, min(n_samples, _SLAB_FLOATS // (len(x) * q.event_shape.numel())))
    zero = torch.zeros(len(x), dtype=torch.float64)
    reconstruction, mean_log_ratio = zero, zero
    layers: dict[str, Tensor] = {}
    weights = LogSums(len(x))
    draws = _draws(q, n_samples, slab)
    first = next(draws)
    divergence = kl(q, prior, first)
    if decoder is None:
        decoder = inspect_decoder(model, first[:1, :1], None if c is None else c[:1])
    rows = decoder.rows(max_floats // workers.n, x.device)

    def scored(z: Tensor, r: Distribution) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log r(z) / p(z), with shape (K, B)."""
        log_ratio = _float64(r.log_prob(z) - prior.log_prob(z))
        return _float64(_log_likelihood(model, x, z, c, rows, workers)), log_ratio

    for z in chain([first], draws):
        # The KL of a layer below another is a mean over draws.
        if layers:
            divergence = kl(q, prior, z)
        for name, part in divergence.groups.items():
            layers[name] = layers.get(name, zero) + _float64(part) * (len(z) / n_samples)
        log_likelihood, log_ratio = scored(z, q)
        reconstruction = reconstruction + log_likelihood.sum(0)
        mean_log_ratio = mean_log_ratio + log_ratio.sum(0)
        weights.add(log_likelihood - log_ratio)
    if proposal != POSTERIOR:
        # Gradients keep what every layer puts out.
        r = proposed(proposal, model, x, c, max_rows=max(1, rows // 4))
        weights = LogSums(len(x))
        for z in _draws(r, n_samples, slab):
            log_likelihood, log_ratio = scored(z, r)
            weights.add(log_likelihood - log_ratio)
    parts = divergence.per_dimension
    return Figures(
        log_likelihood=weights.log_mean(n_samples),
        reconstruction=reconstruction / n_samples,
        kl=_kl(divergence, layers, mean_log_ratio / n_samples),
        kl_per_dimension=None if parts is None else _float64(parts),
        kl_groups=layers,
        kl_method=divergence.method,
        effective_sample_size=weights.effective_sample_size(n_samples),
        decoder=decoder,
        indices=indices,
        n_samples=n_samples,
    )


class LogSums:
    """log Σ w and log Σ w² of weights w that come in parts, float64 on the CPU with shape (B,).

    Arguments:
        n_examples: B.

    Example:
        >>> weights = LogSums(1)
        >>> weights.add(torch.tensor([[1.0], [3.0]], dtype=torch.float64).log())
        >>> weights.log_mean(2).exp(), weights.effective_sample_size(2)
        (tensor([2.], dtype=torch.float64), tensor([0.8000], dtype=torch.float64))
    """

    def __init__(self, n_examples: int) -> None:
        self.first = self.second = torch.full((n_examples,), -torch.inf, dtype=torch.float64)

    def add(self, log_weight: Tensor) -> None:
        """Add the weights of K draws, given as logarithms with shape (K, B)."""
        self.first = self.first.logaddexp(log_weight.logsumexp(0))
        self.second = self.second.logaddexp((2 * log_weight).logsumexp(0))

    def log_mean(self, n_samples: int) -> Tensor:
        """Return the logarithm of the mean weight of so many draws."""
        return self.first - log(n_samples)

    def effective_sample_size(self, n_samples: int) -> Tensor:
        """Return (Σ w)² / Σ w², as a share of so many draws."""
        return (2 * self.first - self.second).exp() / n_samples


def _draws(r: Distribution, n_samples: int, slab: int) -> Iterator[Tensor]:
    """Yield draws of z, with shape (K, B, D), in parts of at most ``slab``."""
    for start in range(0, n_samples, slab):
        yield r.sample(torch.Size([min(slab, n_samples - start)]))


def _reconstructed(
    model: LatentModel, x: Tensor, z: Tensor, c: Tensor | None, decoder: Decoder | None
) -> Figures:
    """Return what there is to say of a code without noise: how well it describes x."""
    reconstruction = _float64(model.likelihood(z, c).log_prob(x))
    nothing = torch.full_like(reconstruction, torch.nan)
    if decoder is None:
        decoder = inspect_decoder(model, z[None, :1], None if c is None else c[:1])
    return Figures(nothing, reconstruction, nothing, None, NO_DENSITY, nothing, decoder)


def inspect_decoder(model: LatentModel, z: Tensor, c: Tensor | None = None) -> Decoder:
    """Decode one z, with shape (1, 1, D), and see what it costs and what comes out.

    >>> from reparam import variants
    >>> from reparam.spec import DataSpec
    >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
    >>> inspect_decoder(model, torch.zeros(1, 1, 2))
    Decoder(floats=1456, normalized=True, discrete=True)
    """
    with _widest_output(model) as widest:
        p = model.likelihood(z, c)
        if isinstance(p, Autoregressive):
            # Its network runs only where a sequence is scored.
            p.log_prob(torch.zeros(p.event_shape, device=z.device))
    # A layer holds its input and its output, a log-density about four temporaries.
    entries = max(1, p.event_shape.numel())
    floats = 3 * max(widest[0], entries) + 4 * entries
    return Decoder(floats, is_normalized(p), is_discrete(p))


def is_discrete(p: Distribution) -> bool:
    """Return whether a distribution gives masses, so that its log-density has no unit.

    >>> from torch.distributions import Bernoulli, Normal
    >>> is_discrete(Bernoulli(0.5)), is_discrete(Normal(0.0, 1.0))
    (True, False)
    """
    if isinstance(base(p), QuantizedCategorical):
        return True
    try:
        return bool(getattr(p.support, "is_discrete", False))
    except NotImplementedError:
        # A distribution of the user's own need not name its support; a density is the safe guess.
        return False


@contextmanager
def _widest_output(model: nn.Module) -> Iterator[list[int]]:
    """Note the size of the largest tensor that any part of a model puts out."""
    widest = [0]

    def note(part: nn.Module, inputs: object, output: object) -> None:
        # A recurrent layer puts out a pair: its features and its last state.
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor):
            widest[0] = max(widest[0], first.numel())

    handles = [part.register_forward_hook(note) for part in model.modules()]
    try:
        yield widest
    finally:
        for handle in handles:
            handle.remove()


def _log_likelihood(
    model: LatentModel, x: Tensor, z: Tensor, c: Tensor | None, rows: int, workers: Workers
) -> Tensor:
    """Return log p(x | z) with shape (K, B), decoding at most ``rows`` of the K × B at once."""
    n_examples = min(len(x), rows)
    n_draws = max(1, rows // n_examples)
    log_likelihood = z.new_empty(z.shape[:2])

    def decode(piece: tuple[slice, slice]) -> None:
        draws, examples = piece
        p = model.likelihood(z[draws, examples], None if c is None else c[examples])
        log_likelihood[piece] = p.log_prob(x[examples])

    pieces = [
        (slice(start, start + n_draws), slice(first, first + n_examples))
        for first in range(0, len(x), n_examples)
        for start in range(0, len(z), n_draws)
    ]
    workers.each(decode, pieces)
    return log_likelihood


def _kl(divergence: Divergence, layers: Mapping[str, Tensor], log_ratio: Tensor) -> Tensor:
    """Return the KL: closed as a whole or in each layer, or the mean log-ratio of the draws."""
    if divergence.method != MONTE_CARLO:
        return _float64(divergence.value)
    return torch.stack(list(layers.values())).sum(0) if layers else log_ratio


def _float64(values: Tensor) -> Tensor:
    return values.cpu().double()
