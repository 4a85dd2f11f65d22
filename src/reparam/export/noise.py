r"""Draws as functions of noise, so that a graph holds no random numbers.

.. math:: z = f(\varepsilon, u), \qquad \varepsilon \sim \mathcal N(0, I), \quad u \sim U[0, 1)

A distribution takes as many numbers of the noise as it needs: standard normal ones for vectors, and
uniform ones for the choice of a class or of a component.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    TransformedDistribution,
    Uniform,
)
from torch.nn.functional import normalize, one_hot

from reparam.distributions import (
    Chain,
    CodeSequence,
    ContinuousFlow,
    Delta,
    Flow,
    GaussianMixture,
    HypersphericalUniform,
    OneHotCodes,
    base_distribution,
)
from reparam.distributions.chain import Reordered
from reparam.errors import SupportError


class Noise(Protocol):
    """Independent random numbers for each of B examples, each handed out once."""

    def empty(self) -> Tensor:
        """Return no numbers, with shape (B, 0)."""

    def normal(self, n: int) -> Tensor:
        """Return n standard normal numbers for each example, with shape (B, n)."""

    def uniform(self, n: int) -> Tensor:
        """Return n numbers, uniform in [0, 1), for each example, with shape (B, n)."""


class Fresh:
    """New noise, which is kept: after a draw it is known how much the draw takes.

    Arguments:
        n_examples: The number of examples B.
        dtype: The type of the numbers.

    Example:
        >>> noise = Fresh(3)
        >>> z = drawn(Normal(torch.zeros(2), torch.ones(2)), noise)
        >>> {name: values.shape for name, values in noise.inputs().items()}
        {'normal': torch.Size([3, 2])}
    """

    def __init__(self, n_examples: int, dtype: torch.dtype = torch.float32) -> None:
        self.n_examples, self.dtype = n_examples, dtype
        self._kept: dict[str, list[Tensor]] = {"normal": [], "uniform": []}

    def empty(self) -> Tensor:
        """Return no numbers, with shape (B, 0)."""
        return torch.empty(self.n_examples, 0, dtype=self.dtype)

    def normal(self, n: int) -> Tensor:
        """Return n standard normal numbers for each example, with shape (B, n)."""
        self._kept["normal"].append(torch.randn(self.n_examples, n, dtype=self.dtype))
        return self._kept["normal"][-1]

    def uniform(self, n: int) -> Tensor:
        """Return n numbers, uniform in [0, 1), for each example, with shape (B, n)."""
        self._kept["uniform"].append(torch.rand(self.n_examples, n, dtype=self.dtype))
        return self._kept["uniform"][-1]

    def inputs(self) -> dict[str, Tensor]:
        """Return all noise that was taken, by kind, each with shape (B, n)."""
        return {name: torch.cat(parts, -1) for name, parts in self._kept.items() if parts}


class Given:
    """Noise that is given, from the first column on.

    Arguments:
        normal: Standard normal numbers, with shape (B, n); None for none.
        uniform: Numbers that are uniform in [0, 1), with shape (B, m); None for none.
    """

    def __init__(self, normal: Tensor | None = None, uniform: Tensor | None = None) -> None:
        self._left = {"normal": normal, "uniform": uniform}

    def empty(self) -> Tensor:
        """Return no numbers, with shape (B, 0).

        Raises:
            SupportError: There is no noise.
        """
        some = next((values for values in self._left.values() if values is not None), None)
        if some is None:
            raise SupportError(
                "a draw takes noise, and none is given: give all inputs of the graph"
            )
        return some[..., :0]

    def normal(self, n: int) -> Tensor:
        """Return the next n normal numbers of each example, with shape (B, n)."""
        return self._next("normal", n)

    def uniform(self, n: int) -> Tensor:
        """Return the next n uniform numbers of each example, with shape (B, n)."""
        return self._next("uniform", n)

    def _next(self, kind: str, n: int) -> Tensor:
        left = self._left[kind]
        if left is None or left.shape[-1] < n:
            raise SupportError(
                f"a draw takes {n} more {kind} numbers for each example than are given: give all "
                "inputs of the graph"
            )
        self._left[kind] = left[..., n:]
        return left[..., :n]


class _ForEachComponent:
    """The same noise for all components of a mixture, with shape (B, 1, n)."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise

    def empty(self) -> Tensor:
        return self._noise.empty().unsqueeze(-2)

    def normal(self, n: int) -> Tensor:
        return self._noise.normal(n).unsqueeze(-2)

    def uniform(self, n: int) -> Tensor:
        return self._noise.uniform(n).unsqueeze(-2)


def drawn(p: Distribution, noise: Noise) -> Tensor:
    """Return a draw of vectors as a function of noise, with shape (B, D).

    Arguments:
        p: The distribution of vectors with shape (D,), with batch shape (B,) or ().
        noise: The noise.

    Raises:
        SupportError: A distribution whose draws are no function of a fixed number of random
            numbers, or that is not known.

    Example:
        >>> box = Uniform(torch.tensor([1.0]), torch.tensor([5.0]))
        >>> drawn(box, Given(uniform=torch.tensor([[0.0], [0.5]])))
        tensor([[1.],
                [3.]])
    """
    single, (n,) = base_distribution(p), _event_shape(p)
    match single:
        case Chain() | Reordered():
            return drawn_in_turn(single, noise)[0]
        case Normal():
            return single.loc + single.scale * noise.normal(n)
        case MultivariateNormal():
            return single.loc + (single.scale_tril @ noise.normal(n).unsqueeze(-1)).squeeze(-1)
        case Uniform():
            return single.low + (single.high - single.low) * noise.uniform(n)
        case Delta():
            return single.value
        case HypersphericalUniform():
            return normalize(noise.normal(n), dim=-1)
        case GaussianMixture():
            k = chosen(single.logits, noise.uniform(1).squeeze(-1))
            return single.loc[k] + single.scale[k] * noise.normal(n)
        case MixtureSameFamily():
            k = chosen(single.mixture_distribution.logits, noise.uniform(1).squeeze(-1))
            each = drawn(single.component_distribution, _ForEachComponent(noise))
            return each.take_along_dim(k[:, None, None], 1).squeeze(1)
        case OneHotCategorical():
            return _one_hot(single.logits, noise.uniform(1).squeeze(-1))
        case OneHotCodes():
            return _one_hot(single.logits, noise.uniform(single.logits.shape[-2])).flatten(-2)
        case CodeSequence():
            return _drawn_codes(single, noise)
        case Flow():
            return single.transform(drawn(single.base, noise))
        case ContinuousFlow():
            return single.of_noise(noise.normal(n))
        case TransformedDistribution():
            z = drawn(single.base_dist, noise)
            for transform in single.transforms:
                z = transform(z)
            return z
    raise SupportError(
        f"a draw of {type(single).__name__} is not known as a function of noise, so that it is in "
        "no graph: use another prior or posterior"
    )


def drawn_in_turn(p: Distribution, noise: Noise) -> tuple[Tensor, dict[str, Distribution]]:
    """Return a draw of a chain, and the distribution of every group given the values before it.

    Arguments:
        p: The chain, with batch shape (B,) or (); any other distribution is a group without a name.
        noise: The noise.

    Returns:
        The draw, with shape (B, D), and the distributions by the names of the groups. The groups of
        a chain inside another are named after both.
    """
    if isinstance(p, Reordered):
        z, given = drawn_in_turn(p.base, noise)
        return z[..., p.index], given
    if not isinstance(p, Chain):
        return drawn(p, noise), {"": p}
    z, given = noise.empty(), {}
    for name, factor in p.factors.items():
        value, inner = drawn_in_turn(factor(z), noise)
        given |= {joined(name, own): single for own, single in inner.items()}
        z = torch.cat([z, value], -1)
    return z, given


def joined(group: str, name: str) -> str:
    """Return the name of an output of a group.

    >>> joined("z1", "loc"), joined("", "loc"), joined("z1", "")
    ('z1_loc', 'loc', 'z1')
    """
    return "_".join(part for part in (group, name) if part)


def chosen(logits: Tensor, uniform: Tensor) -> Tensor:
    r"""Return the class whose part of [0, 1) a uniform number lies in, by the cumulated shares.

    Arguments:
        logits: The logits of K classes, with shape (\*, K).
        uniform: The numbers, with a shape that broadcasts with (\*).

    Example:
        >>> chosen(torch.tensor([0.25, 0.75]).log(), torch.tensor([0.1, 0.3, 0.99]))
        tensor([0, 1, 1])
    """
    upper_ends = logits.softmax(-1).cumsum(-1)[..., :-1]  # the last one is 1 up to rounding
    return (upper_ends <= uniform.unsqueeze(-1)).sum(-1)


def _one_hot(logits: Tensor, uniform: Tensor) -> Tensor:
    return one_hot(chosen(logits, uniform), logits.shape[-1]).to(logits)


def _drawn_codes(p: CodeSequence, noise: Noise) -> Tensor:
    """Return codes that are drawn one after the other, each by one uniform number."""
    sequence = p.sequence
    (length,) = sequence.event_shape
    uniform = noise.uniform(length)
    places = torch.arange(length, device=uniform.device)
    k, state = torch.zeros_like(uniform, dtype=torch.long), None
    for t in range(length):
        if sequence.step is None:
            logits = sequence.logits(k)[..., t, :]
        else:
            logits, state = sequence.step(k, t, state)
        k = torch.where(places == t, chosen(logits, uniform[..., t]).unsqueeze(-1), k)
    return p.codes[k].flatten(-2)


def _event_shape(p: Distribution) -> torch.Size:
    # The event of a single distribution of entries, as ``Normal``, is its last axis.
    return p.event_shape or p.batch_shape[-1:]
