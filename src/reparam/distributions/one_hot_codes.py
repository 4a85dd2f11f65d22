"""Several categorical variables as one flat vector of zeros and ones, or relaxed between them."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, RelaxedOneHotCategorical, constraints
from torch.nn.functional import one_hot

from reparam.errors import SupportError


class OneHotCodes(Distribution):
    r"""N independent classes out of K, each as a one-hot vector; event (N·K,).

    .. math:: p(z) = \prod_{n=1}^N \prod_{k=1}^K \pi_{nk}^{z_{nk}}

    With a temperature τ the draws are relaxed, so that gradients pass through them:

    .. math:: z_n = \mathrm{softmax}((\log \pi_n + g) / \tau), \quad g_k \sim \mathrm{Gumbel}

    ``log_prob`` is always that of the classes; a relaxed draw has another density, which is not the
    one that a discrete prior is compared with.

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

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, logits: Tensor, temperature: Tensor | None = None) -> None:
        self.logits = logits.log_softmax(-1)
        self.temperature = temperature
        event = logits.shape[-2:].numel()
        super().__init__(logits.shape[:-2], torch.Size([event]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws are relaxed, so that gradients pass through them."""
        return self.temperature is not None

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw relaxed classes, with shape (*sample_shape, *, N·K).

        Raises:
            SupportError: There is no temperature: exact classes pass no gradient.
        """
        if self.temperature is None:
            raise SupportError(
                "exact classes pass no gradient: draw with sample, or give a temperature"
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
            classes = torch.distributions.Categorical(logits=self.logits, validate_args=False)
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
