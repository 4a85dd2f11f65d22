r"""Discrete latent vectors: one-hot or relaxed classes, and sequences of codes from a codebook.

.. math:: p(z) = \prod_{n=1}^N \prod_{k=1}^K \pi_{nk}^{z_{nk}}, \qquad
          z = (e_{k_1}, \dots, e_{k_P}), \quad k_i = \arg\min_k \|v_i - e_k\|
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, RelaxedOneHotCategorical, constraints
from torch.nn.functional import one_hot

from reparam.distributions.autoregressive import Autoregressive
from reparam.distributions.declared import DeclaredDistribution
from reparam.errors import OptionError, SupportError

_FEW = 25
"""The number of codes up to which distances are computed one by one, and not by a product."""


class OneHotCodes(DeclaredDistribution):
    r"""N independent classes out of K, each a one-hot vector; the event has shape (N·K,).

    .. math:: p(z) = \prod_{n=1}^N \prod_{k=1}^K \pi_{nk}^{z_{nk}}

    With a temperature τ the draws are relaxed, so that gradients pass through them:

    .. math:: z_n = \mathrm{softmax}((\log \pi_n + g) / \tau), \quad g_k \sim \mathrm{Gumbel}

    ``log_prob`` is always that of the classes. The density of relaxed draws is another one, and
    cannot be compared with a discrete prior.

    Arguments:
        logits: log π up to a constant, with shape (\*, N, K).
        temperature: τ; None for draws of exact classes.

    References:
        Jang, Gu & Poole, ICLR 2017, eq. 2; Maddison, Mnih & Teh, ICLR 2017.

    Example:
        >>> coins = OneHotCodes(torch.zeros(3, 2))
        >>> coins.log_prob(torch.tensor([1.0, 0, 0, 1, 1, 0])).exp()
        tensor(0.1250)
    """

    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, logits: Tensor, temperature: Tensor | None = None) -> None:
        self.logits = logits.log_softmax(-1)
        self.temperature = temperature
        # Relaxed draws lie between the classes, as their mean does.
        self.mean_is_value = temperature is not None
        event = logits.shape[-2:].numel()
        super().__init__(logits.shape[:-2], torch.Size([event]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws are relaxed, so that gradients pass through them."""
        return self.temperature is not None

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        r"""Draw relaxed classes, with shape (\*sample_shape, \*, N·K).

        Raises:
            SupportError: The distribution has no temperature, so its draws have no gradient.
        """
        if self.temperature is None:
            raise SupportError(
                "draws of exact classes have no gradient: use sample, or give a temperature"
            )
        relaxed = RelaxedOneHotCategorical(
            self.temperature, logits=self.logits, validate_args=False
        )
        return relaxed.rsample(torch.Size(sample_shape)).flatten(-2)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw classes, relaxed if there is a temperature, with shape (*sample_shape, *, N·K)."""
        with torch.no_grad():
            if self.temperature is not None:
                return self.rsample(sample_shape)
            classes = Categorical(logits=self.logits, validate_args=False)
            return self._codes(classes.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of classes with shape (*, N·K), in nats with shape (*,)."""
        return (value.unflatten(-1, self.logits.shape[-2:]) * self.logits).sum((-2, -1))

    @property
    def probs(self) -> Tensor:
        """The probabilities π, with shape (*, N, K)."""
        return self.logits.exp()

    @property
    def mean(self) -> Tensor:
        """The probabilities, with shape (*, N·K)."""
        return self.probs.flatten(-2)

    @property
    def mode(self) -> Tensor:
        """The likeliest classes, with shape (*, N·K)."""
        return self._codes(self.logits.argmax(-1))

    def _codes(self, classes: Tensor) -> Tensor:
        return one_hot(classes, self.logits.shape[-1]).to(self.logits.dtype).flatten(-2)


def code_shape(latent_dim: int, n_classes: int | None = None) -> tuple[int, int]:
    """Return the numbers of variables and of classes of codes with so many dimensions in all.

    Arguments:
        latent_dim: The number of dimensions.
        n_classes: The number of classes of each variable; 10, or else 2, by default.

    Raises:
        OptionError: An odd number of dimensions.

    Example:
        >>> code_shape(320), code_shape(6)
        ((32, 10), (3, 2))
    """
    for n in (10, 2) if n_classes is None else (n_classes,):
        if latent_dim % n == 0:
            return latent_dim // n, n
    raise OptionError(
        f"latent_dim={latent_dim}: codes of 10 or of 2 classes fill a multiple of 10 or of 2 "
        "dimensions; choose such a number"
    )


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
    # By the number of codes alone: torch chooses by that of vectors too, so that a nearest code
    # could depend on the batch.
    mode = f"{'use' if len(codes) > _FEW else 'donot_use'}_mm_for_euclid_dist"
    return (
        torch.cdist(flat, codes.to(flat), compute_mode=mode).argmin(-1).reshape(vectors.shape[:-1])
    )


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
