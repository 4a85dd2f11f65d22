"""Classes that a relaxation makes differentiable."""

from math import inf

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import OneHotCodes
from reparam.errors import OptionError
from reparam.families.family import Family
from reparam.utils.arguments import numbers


@numbers(n_variables=1)
class GumbelSoftmax(Family):
    r"""N classes out of K each: relaxed while training, so that gradients pass, exact afterwards.

    .. math:: z_n = \mathrm{softmax}((\log \pi_n + g) / \tau), \quad
              \tau(t) = \tau_0 (\tau_1 / \tau_0)^t

    t is the share of the training that is done.

    Arguments:
        n_variables: N.
        n_classes: K.
        temperature: τ₀ and τ₁.

    Raises:
        OptionError: Fewer than two classes, or a temperature that is not positive.

    References:
        Jang, Gu & Poole, Categorical reparameterization with Gumbel-softmax, ICLR 2017, eq. 2.

    Example:
        >>> GumbelSoftmax(32, 10).attach((400,))(torch.zeros(5, 400)).rsample().shape
        torch.Size([5, 320])
    """

    def __init__(
        self,
        n_variables: int,
        n_classes: int = 10,
        temperature: tuple[float, float] = (1.0, 0.3),
    ) -> None:
        super().__init__(n_variables * n_classes, 1)
        if n_classes < 2:
            raise OptionError(f"n_classes={n_classes}: a code needs at least two classes")
        if not 0 < min(temperature) <= max(temperature) < inf:
            raise OptionError(f"temperature={temperature}: both must be positive and finite")
        self.n_classes = n_classes
        self.temperature = temperature
        self.tau: Tensor
        self.register_buffer("tau", torch.tensor(temperature[0]))

    def anneal(self, progress: float) -> None:
        """Set the temperature for a share of the training, from 0 to 1."""
        first, last = self.temperature
        self.tau.fill_(first * (last / first) ** progress)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the classes with these logits."""
        logits = raw.squeeze(-2).unflatten(-1, (-1, self.n_classes))
        return OneHotCodes(logits, self.tau if self.training else None)
