r"""A normal distribution whose scale is the maximum-likelihood one of each batch.

.. math:: \sigma^2 = \frac{1}{N} \sum_{i=1}^N (x_i - \mu_i)^2
"""

import torch
from torch import Tensor
from torch.distributions import Normal, constraints
from torch.types import _size

from reparam.distributions.declared import Parametric


class OptimalNormal(Parametric):
    r"""Normal with one common scale, set to its maximum-likelihood value on each batch.

    .. math:: \sigma^2 = \frac{1}{N} \sum_{i=1}^N (x_i - \mu_i)^2 , \qquad
              \log p(x_i) = -\tfrac12 \log 2 \pi \sigma^2 - \frac{(x_i - \mu_i)^2}{2 \sigma^2}

    A moving average of the variance is kept in ``scale`` for evaluation, which uses an ordinary
    ``Normal``. The gradient has no term for σ, because it is zero at the optimum.

    Arguments:
        loc: μ, with shape (\*, *event).
        scale: A tensor of one number, which ``log_prob`` updates with the scale of its batch.
        n_seen: A tensor of one number, which ``log_prob`` increases by one.
        momentum: The smallest weight of a new σ² in the moving average. The first batches weigh
            more, so that the initial value has no weight.

    References:
        Rybkin, Daniilidis & Levine, Simple and effective VAE training with calibrated decoders,
        ICML 2021, eq. 6.

    Example:
        >>> kept, n_seen = torch.ones(()), torch.zeros(())
        >>> _ = OptimalNormal(torch.zeros(4), kept, n_seen).log_prob(torch.full((4,), 3.0))
        >>> kept, n_seen
        (tensor(3.), tensor(1.))
    """

    arg_constraints = {"loc": constraints.real}  # noqa: RUF012
    support = constraints.real
    shared = ("scale", "n_seen", "momentum")
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        n_seen: Tensor,
        momentum: float = 0.05,
        validate_args: bool | None = None,
    ) -> None:
        self.loc = loc
        self.scale = scale
        self.n_seen = n_seen
        self.momentum = momentum
        super().__init__(loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return μ."""
        return self.loc

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x) of each entry at the maximum-likelihood scale of all entries, in nats."""
        with torch.no_grad():
            # σ is at least 0.001: the density of a perfect fit would be infinite.
            variance = (value - self.loc).square().mean().clamp(min=1e-6)
            self.n_seen += 1
            share = self.n_seen.reciprocal().clamp(min=self.momentum)
            self.scale.square_().lerp_(variance.to(self.scale), share).sqrt_()
        return Normal(self.loc, variance.sqrt(), validate_args=False).log_prob(value)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws at the kept scale."""
        return Normal(self.loc, self.scale, validate_args=False).rsample(sample_shape)
