r"""A normalizing flow: a distribution pushed through an invertible transform.

.. math:: z = f(\varepsilon), \qquad
          \log q(z) = \log q_0(\varepsilon) - \log |\det \partial f / \partial \varepsilon|
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform, constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution
from reparam.distributions.last_draw import LastDraw


class Flow(DeclaredDistribution):
    r"""The distribution of z = f(ε), ε from a base distribution.

    .. math:: \log q(z) = \log q_0(f^{-1}(z)) - \log \bigl|\det \partial f / \partial
              \varepsilon\bigr|

    The log-density of the last draws needs no inverse of f. For an inverse autoregressive flow that
    saves D passes.

    Arguments:
        base: The distribution of ε, over vectors with shape (\*, D).
        transform: f, with ``call_and_ladj`` as zuko's transforms have.
        inverted: Whether f is the inverse of the transform.

    References:
        Rezende & Mohamed, ICML 2015, eq. 5; Kingma et al., NeurIPS 2016, eq. 3.
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, transform: Transform, inverted: bool = False) -> None:
        self.base, self.inverted = base, inverted
        # torch's inverse of a transform loses that transform when it is pickled or copied.
        self._given = transform
        self._last: LastDraw[Tensor] = LastDraw()
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: object = None) -> "Flow":
        """Return the distribution over a larger batch."""
        return Flow(self.base.expand(batch_shape), self._given, self.inverted)

    @property
    def transform(self) -> Transform:
        """The transform f."""
        return self._given.inv if self.inverted else self._given

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z, with shape (*sample_shape, *, D)."""
        noise = self.base.rsample(torch.Size(sample_shape))
        z, log_det = self.transform.call_and_ladj(noise)  # type: ignore[attr-defined]
        self._last.keep(z, self.base.log_prob(noise) - log_det)
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(z), in nats with shape (*,)."""
        last = self._last.result_of(value)
        if last is not None:
            return last
        noise, log_det = self.transform.inv.call_and_ladj(value)  # type: ignore[attr-defined]
        return self.base.log_prob(noise) + log_det

    @property
    def mean(self) -> Tensor:
        r"""The base's mean under f, with shape (\*, D); the mean of z only where f is affine."""
        return self.transform(self.base.mean)
