"""A mixture of diagonal Gaussians, computed by matrix products."""

from collections.abc import Sequence
from math import log, pi

import torch
from torch import Tensor
from torch.distributions import Categorical, constraints

from reparam.distributions.declared import DeclaredDistribution


class GaussianMixture(DeclaredDistribution):
    r"""A mixture of K Gaussians with diagonal covariances.

    .. math:: p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}(\sigma_k^2))

    Arguments:
        logits: The weights, :math:`\pi = \mathrm{softmax}(\text{logits})`, with shape (K,).
        loc: The means, with shape (K, D).
        scale: The standard deviations, with shape (K, D).

    Example:
        >>> p = GaussianMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
        >>> p.log_prob(torch.zeros(1)), p.mean
        (tensor(-1.4189), tensor([0.]))
    """

    support = constraints.real_vector

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.logits, self.loc, self.scale = logits, loc, scale
        super().__init__(torch.Size(), loc.shape[-1:], validate_args=False)

    def log_joint(self, value: Tensor) -> Tensor:
        r"""Return log p(z, k) of z with shape (\*, D), in nats with shape (\*, K).

        The squared distances are two matrix products in place of (\*, K, D) differences. They are
        computed in float64, because their terms cancel.
        """
        with torch.autocast(value.device.type, enabled=False):
            z, loc, scale = value.double(), self.loc.double(), self.scale.double()
            precision = scale.square().reciprocal()
            distance = (
                z.square() @ precision.T
                - 2 * z @ (precision * loc).T
                + (precision * loc.square()).sum(-1)
            )
            log_volume = scale.log().sum(-1) + 0.5 * loc.shape[-1] * log(2 * pi)
            joint = self.logits.double().log_softmax(-1) - log_volume - 0.5 * distance
        return joint.to(torch.promote_types(value.dtype, torch.float32))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(z), in nats with shape (*,)."""
        return self.log_joint(value).logsumexp(-1)

    def responsibilities(self, value: Tensor) -> Tensor:
        """Return p(k | z), with shape (*, K)."""
        return self.log_joint(value).softmax(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z, with shape (*sample_shape, D)."""
        with torch.no_grad():
            k = Categorical(logits=self.logits, validate_args=False).sample(
                torch.Size(sample_shape)
            )
            return torch.normal(self.loc[k], self.scale[k])

    @property
    def mean(self) -> Tensor:
        """The mean, with shape (D,)."""
        return self.logits.softmax(-1) @ self.loc
