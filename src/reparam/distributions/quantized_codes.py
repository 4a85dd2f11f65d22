r"""Codes from a codebook: a posterior on one sequence of codes, and a prior over all sequences.

.. math:: k_i = \arg\min_k \|v_i - e_k\|, \qquad z = (e_{k_1}, \dots, e_{k_P})
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions.autoregressive import Autoregressive
from reparam.distributions.declared import DeclaredDistribution


@torch.no_grad()
def nearest_code(vectors: Tensor, codes: Tensor) -> Tensor:
    r"""Return the number of the code nearest to each vector, :math:`\arg\min_k \|v - e_k\|`.

    Arguments:
        vectors: v, with shape (\*, d).
        codes: e, with shape (K, d).

    Returns:
        Numbers from 0 to K - 1, int64 with shape (\*,).

    Example:
        >>> nearest_code(torch.tensor([[0.9], [0.2]]), torch.tensor([[0.0], [1.0]]))
        tensor([1, 0])
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    return torch.cdist(flat, codes.to(flat)).argmin(-1).reshape(vectors.shape[:-1])


class CodeVectors(constraints.Constraint):
    """The set of sequences of codes, each flattened to one vector.

    Arguments:
        codes: The codes, with shape (K, d).

    Example:
        >>> CodeVectors(torch.tensor([[0.0], [1.0]])).check(torch.tensor([[1.0, 0.0], [1.0, 0.5]]))
        tensor([ True, False])
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes

    def check(self, value: Tensor) -> Tensor:
        """Return whether each vector, with shape (*, P d), is a sequence of codes."""
        vectors = value.unflatten(-1, (-1, self.codes.shape[-1]))
        return (vectors == self.codes[nearest_code(vectors, self.codes)]).all(-1).all(-1)


class QuantizedCodes(DeclaredDistribution):
    r"""The posterior with all its mass on the codes nearest to P vectors.

    .. math:: q(z \mid x) = 1 \text{ where } z = (e_{k_1}, \dots, e_{k_P}), \quad
              k_i = \arg\min_k \|v_i - e_k\|

    It is a mass on a discrete set, not a density: :math:`\log q = 0` at its point. Draws have the
    value of the codes and the gradient of the vectors (straight-through).

    Arguments:
        vectors: v, the output of the encoder before quantization, with shape (\*, P, d).
        codes: e, the codebook, with shape (K, d).

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, eq. 1 and 2.

    Example:
        >>> q = QuantizedCodes(torch.tensor([[[0.9], [0.2]]]), torch.tensor([[0.0], [1.0]]))
        >>> q.mean, q.log_prob(q.rsample())
        (tensor([[1., 0.]]), tensor([0.]))
    """

    has_rsample = True

    def __init__(self, vectors: Tensor, codes: Tensor) -> None:
        self.vectors = vectors
        self.codes = codes
        self.indices = nearest_code(vectors, codes)
        event_shape = torch.Size([vectors.shape[-2] * vectors.shape[-1]])
        super().__init__(vectors.shape[:-2], event_shape, validate_args=False)

    @property
    def support(self) -> CodeVectors:
        """The sequences of codes."""
        return CodeVectors(self.codes)

    @property
    def mean(self) -> Tensor:
        """The codes themselves, with shape (*, P d)."""
        return self.codes[self.indices].flatten(-2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        r"""Return the codes with the gradient of the vectors, as (\*sample_shape, \*, P d)."""
        vectors = self.vectors.flatten(-2)
        # The difference is exactly zero, so that a draw equals a code.
        z = self.mean + (vectors - vectors.detach())
        return z.expand(*sample_shape, *z.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return 0 where z is the codes and -∞ elsewhere, with shape (\*,)."""
        is_here = (value == self.mean).all(-1)
        return torch.zeros_like(value[..., 0].expand(is_here.shape)).masked_fill(
            ~is_here, -torch.inf
        )


class CodeSequence(DeclaredDistribution):
    r"""A distribution over sequences of P codes, given one over their numbers k.

    .. math:: p(z) = p(k_1, \dots, k_P), \qquad z = (e_{k_1}, \dots, e_{k_P})

    Arguments:
        sequence: p(k), over P numbers.
        codes: e, with shape (K, d).

    References:
        van den Oord et al., NeurIPS 2017, section 3.3.

    Example:
        >>> coins = Autoregressive(lambda k: torch.zeros(*k.shape, 2), length=3)
        >>> p = CodeSequence(coins, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        >>> round(p.log_prob(p.sample((5,))).exp().mean().item(), 4)
        0.125
    """

    def __init__(self, sequence: Autoregressive, codes: Tensor) -> None:
        self.sequence = sequence
        self.codes = codes
        event_shape = torch.Size([sequence.event_shape[0] * codes.shape[-1]])
        super().__init__(sequence.batch_shape, event_shape, validate_args=False)

    @property
    def support(self) -> CodeVectors:
        """The sequences of codes."""
        return CodeVectors(self.codes)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of the codes nearest to z, with shape (*, *batch, P d), in nats."""
        vectors = value.unflatten(-1, (-1, self.codes.shape[-1]))
        return self.sequence.log_prob(nearest_code(vectors, self.codes))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw codes one after the other, with shape (*sample_shape, *batch, P d)."""
        return self.codes[self.sequence.sample(sample_shape)].flatten(-2)
