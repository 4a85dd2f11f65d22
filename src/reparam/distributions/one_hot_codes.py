r"""Several categorical variables as one flat vector, one-hot or relaxed (Gumbel-softmax).

.. math:: p(z) = \prod_{n=1}^N \prod_{k=1}^K \pi_{nk}^{z_{nk}}
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, RelaxedOneHotCategorical, constraints
from torch.nn.functional import one_hot

from reparam.distributions.declared import DeclaredDistribution
from reparam.errors import OptionError, SupportError


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
