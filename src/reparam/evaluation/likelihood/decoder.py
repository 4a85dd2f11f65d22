"""Decoders: the cost of a pass, the kind of their distributions, and log p(x | z) in pieces."""

from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.distributions import (
    Autoregressive,
    QuantizedCategorical,
    base_distribution,
    is_normalized,
    unnormalized_because,
)
from reparam.isolation import Workers
from reparam.models.latent import LatentModel

CACHE_FLOATS = 2**21
"""On a CPU, larger pieces of work fall out of the cache and take longer."""


class Decoder(NamedTuple):
    """The cost of a pass through a decoder, and the kind of its distribution.

    Arguments:
        floats: The approximate number of floats of one z, its log-density included.
        normalized: Whether log p(x | z) is the logarithm of a density or mass.
        discrete: Whether it is that of a mass.
        unnormalized_because: What log p(x | z) is where it is not normalized.
    """

    floats: int
    normalized: bool
    discrete: bool
    unnormalized_because: str = ""

    @property
    def is_mass(self) -> bool:
        """Whether log p(x | z) is the logarithm of a probability, and so at most 0."""
        return self.normalized and self.discrete

    def rows(self, max_floats: int, device: torch.device) -> int:
        """Return how many z to decode at once.

        >>> Decoder(1000, True, True).rows(5000, torch.device("cpu"))
        5
        """
        most = min(max_floats, CACHE_FLOATS) if device.type == "cpu" else max_floats
        return max(1, most // self.floats)


def inspect_decoder(model: LatentModel, z: Tensor, c: Tensor | None = None) -> Decoder:
    """Return the cost and the kind of a decoder, from one z with shape (1, 1, D).

    >>> from reparam import variants
    >>> from reparam.spec import DataSpec
    >>> model = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2).model
    >>> inspect_decoder(model, torch.zeros(1, 1, 2))
    Decoder(floats=1456, normalized=True, discrete=True, unnormalized_because='')
    """
    widest = [0]

    def note(part: nn.Module, inputs: object, output: object) -> None:
        # A recurrent layer puts out a pair: its features and its last state.
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor):
            widest[0] = max(widest[0], first.numel())

    with ExitStack() as hooks:
        for part in model.modules():
            hooks.enter_context(part.register_forward_hook(note))
        p = model.likelihood(z, c)
        if isinstance(p, Autoregressive):
            # Its network runs only where a sequence is scored.
            p.log_prob(torch.zeros(p.event_shape, device=z.device))
    # A layer holds its input and its output, a log-density about four temporaries.
    entries = max(1, p.event_shape.numel())
    floats = 3 * max(widest[0], entries) + 4 * entries
    return Decoder(floats, is_normalized(p), is_discrete(p), unnormalized_because(p))


def is_discrete(p: Distribution) -> bool:
    """Return whether a distribution gives masses, so that its log-density has no unit.

    >>> from torch.distributions import Bernoulli, Normal
    >>> is_discrete(Bernoulli(0.5)), is_discrete(Normal(0.0, 1.0))
    (True, False)
    """
    if isinstance(base_distribution(p), QuantizedCategorical):
        return True
    try:
        return p.support is not None and bool(p.support.is_discrete)
    except NotImplementedError:
        # A user's distribution may have no support; a density is the safe assumption.
        return False


def pieces(n_draws: int, n_examples: int, rows: int) -> list[tuple[slice, slice]]:
    """Return parts of a table of draws and examples, each with at most ``rows`` entries.

    >>> pieces(4, 3, rows=6)
    [(slice(0, 2, None), slice(0, 3, None)), (slice(2, 4, None), slice(0, 3, None))]
    """
    width = min(n_examples, rows)
    height = max(1, rows // width)
    return [
        (slice(start, start + height), slice(first, first + width))
        for first in range(0, n_examples, width)
        for start in range(0, n_draws, height)
    ]


def decoded_log_prob(
    model: LatentModel,
    x: Tensor,
    z: Tensor,
    c: Tensor | None,
    rows: int,
    workers: Workers = Workers(),  # noqa: B008
) -> Tensor:
    """Return log p(x | z) with shape (K, B), decoding at most ``rows`` of the K × B at once."""
    log_likelihood = z.new_empty(z.shape[:2])

    def decode(piece: tuple[slice, slice]) -> None:
        draws, examples = piece
        p = model.likelihood(z[draws, examples], None if c is None else c[examples])
        log_likelihood[piece] = p.log_prob(x[examples])

    workers.each(decode, pieces(len(z), len(x), rows))
    return log_likelihood
