"""A distribution pushed through an invertible transform, which knows the density of its draws."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform, constraints


class Flow(Distribution):
    r"""The distribution of z = f(ε), ε from a base distribution.

    .. math:: \log q(z) = \log q_0(f^{-1}(z)) - \log \bigl|\det \partial f / \partial
              \varepsilon\bigr|

    The log-density of its own last draws costs nothing, as f need not be inverted for them: for an
    inverse autoregressive flow that saves D passes.

    Arguments:
        base: The distribution of ε, over vectors with shape (\*, D).
        transform: f, with ``call_and_ladj`` as zuko's transforms have.
        inverted: Whether f is the inverse of the transform.

    References:
        Rezende & Mohamed, ICML 2015, eq. 5; Kingma et al., NeurIPS 2016, eq. 3.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, transform: Transform, inverted: bool = False) -> None:
        self.base, self.inverted = base, inverted
        # An inverse of torch's forgets, when it is pickled or copied, what it is the inverse of.
        self._given = transform
        self._drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def transform(self) -> Transform:
        """The transform f."""
        return self._given.inv if self.inverted else self._given

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z, with shape (*sample_shape, *, D)."""
        noise = self.base.rsample(torch.Size(sample_shape))
        z, log_det = self.transform.call_and_ladj(noise)  # type: ignore[attr-defined]
        self._drawn = z, self.base.log_prob(noise) - log_det
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(z), in nats with shape (*,)."""
        drawn, log_prob = self._drawn or (None, value)
        # What was drawn without gradients knows a density without them.
        if value is drawn and (log_prob.requires_grad or not torch.is_grad_enabled()):
            return log_prob
        noise, log_det = self.transform.inv.call_and_ladj(value)  # type: ignore[attr-defined]
        return self.base.log_prob(noise) + log_det

    @property
    def mean(self) -> Tensor:
        """Where the base's mean goes: the middle, and the mean only where f is affine."""
        return self.transform(self.base.mean)
