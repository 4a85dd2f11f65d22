r"""Gaussians: a mixture, one with the scale of its batch, and one with a full covariance.

.. math:: p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}(\sigma_k^2)), \qquad
          \sigma^2 = \frac{1}{N} \sum_{i=1}^N (x_i - \mu_i)^2, \qquad
          z = \mu + L \varepsilon
"""

from collections.abc import Sequence
from math import log, pi

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MultivariateNormal, Normal, constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution, Parametric
from reparam.distributions.last_draw import LastDraw
from reparam.distributions.precision import upcast
from reparam.utils.autocast import without_autocast


class GaussianMixture(DeclaredDistribution):
    r"""A mixture of K Gaussians with diagonal covariances.

    .. math:: p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}(\sigma_k^2))

    Arguments:
        logits: The weights, :math:`\pi = \mathrm{softmax}(\text{logits})`, with shape (\*, K) for
            a batch (\*,) of mixtures of the same components.
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
        super().__init__(logits.shape[:-1], loc.shape[-1:], validate_args=False)

    def expand(self, batch_shape: _size, _instance: object = None) -> "GaussianMixture":
        """Return the distribution over a larger batch."""
        logits = self.logits.expand(*batch_shape, self.logits.shape[-1])
        return GaussianMixture(logits, self.loc, self.scale)

    def log_joint(self, value: Tensor) -> Tensor:
        r"""Return log p(z, k) of z with shape (\*, D), in nats with shape (\*, K).

        The squared distances are two matrix products in place of (\*, K, D) differences. They are
        computed in float64, because their terms cancel.
        """
        with without_autocast(value.device):
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
        """Draw z, with shape (*sample_shape, *, D)."""
        with torch.no_grad():
            k = Categorical(logits=self.logits, validate_args=False).sample(
                torch.Size(sample_shape)
            )
            return torch.normal(self.loc[k], self.scale[k])

    @property
    def mean(self) -> Tensor:
        """The mean, with shape (*, D)."""
        return self.logits.softmax(-1) @ self.loc


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


class TriangularNormal(MultivariateNormal):
    r"""The Gaussian of z = μ + L ε with a lower-triangular L.

    .. math:: \log q(z) = -\tfrac12 \|\varepsilon\|^2 - \sum_j \log L_{jj} - \tfrac D2 \log 2\pi,
              \qquad \varepsilon = L^{-1} (z - \mu)

    Solving for ε multiplies the rounding error of z by up to the condition number of L. The density
    of the last draws is therefore computed from the ε that they were made of, and that of any
    other z by a solve in float64, where the device has it.

    Arguments:
        loc: μ, with shape (\*, D).
        scale_tril: L, with shape (\*, D, D) and a positive diagonal.

    Example:
        >>> q = TriangularNormal(torch.zeros(2), torch.tensor([[1.0, 0.0], [1e4, 1e-4]]))
        >>> z = q.sample((1000,))
        >>> bool(q.log_prob(z).max() < -log(2 * pi) - log(1e-4) + 1e-4)
        True
    """

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        self._last: LastDraw[Tensor] = LastDraw()
        super().__init__(loc, scale_tril=scale_tril, validate_args=False)

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> "TriangularNormal":
        """Return the distribution over a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        scale_tril = self.scale_tril.expand(*shape, shape[-1])
        return TriangularNormal(self.loc.expand(shape), scale_tril)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw z, with shape (*sample_shape, *, D)."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        z: Tensor = self.loc + (self.scale_tril @ noise[..., None])[..., 0]
        self._last.keep(z, self._density(noise))
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(z), in nats with shape (*,)."""
        last = self._last.result_of(value)
        if last is not None:
            return last
        loc, scale_tril = upcast(self.loc), upcast(self.scale_tril)
        wide = MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)
        with without_autocast(value.device):
            return wide.log_prob(upcast(value)).to(value.dtype)

    def _density(self, noise: Tensor) -> Tensor:
        log_volume = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = 0.5 * noise.shape[-1] * log(2 * pi)
        return -0.5 * noise.square().sum(-1) - log_volume - constant
