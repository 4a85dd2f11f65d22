"""The Gumbel-softmax relaxation of one-hot codes."""

from collections.abc import Mapping
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import OneHotCodes
from reparam.distributions.codes import code_shape
from reparam.errors import OptionError
from reparam.families.family import Family, as_posterior
from reparam.utils.arguments import numbers


@as_posterior("gumbel")
@numbers(n_variables=1, n_classes=2)
class GumbelSoftmax(Family):
    r"""N one-hot codes of K classes each: relaxed in training, so that gradients pass, else exact.

    .. math:: z_n = \mathrm{softmax}((\log \pi_n + g) / \tau), \quad
              \tau(t) = \tau_0 (\tau_1 / \tau_0)^t

    t is the progress of the training, from 0 to 1.

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

    space = "discrete codes"
    factorizes = False
    is_relaxed = True

    def __init__(
        self,
        n_variables: int,
        n_classes: int = 10,
        temperature: tuple[float, float] = (1.0, 0.3),
    ) -> None:
        super().__init__(n_variables * n_classes, 1)
        if not 0 < min(temperature) <= max(temperature) < inf:
            raise OptionError(f"temperature={temperature}: both must be positive and finite")
        self.n_classes = n_classes
        self.temperature = temperature
        self.tau: Tensor
        self.register_buffer("tau", torch.tensor(temperature[0]))

    @classmethod
    def for_latents(cls, latent_dim: int, options: Mapping[str, Any]) -> Family:
        """Create codes that fill ``latent_dim`` dimensions.

        Raises:
            OptionError: An odd number of dimensions, without a number of classes.
        """
        n_variables, n_classes = code_shape(latent_dim, options.get("n_classes"))
        return cls(**{**options, "n_variables": n_variables, "n_classes": n_classes})

    def anneal(self, progress: float) -> None:
        """Set the temperature for a share of the training, from 0 to 1."""
        first, last = self.temperature
        self.tau.fill_(first * (last / first) ** progress)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the classes with these logits."""
        logits = raw.squeeze(-2).unflatten(-1, (-1, self.n_classes))
        return OneHotCodes(logits, self.tau if self.training else None)
