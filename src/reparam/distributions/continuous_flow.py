r"""A continuous normalizing flow: noise that moves along a field of velocities.

.. math:: \frac{dz}{dt} = v(z, t), \qquad z_0 \sim \mathcal N(0, I), \qquad
          \log p(z_1) = \log \mathcal N(z_0; 0, I) - \int_0^1 \nabla \cdot v(z_t, t)\, dt
"""

from collections.abc import Callable, Sequence
from math import log, pi

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution

Field = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From z with shape (*, D) and a time to the velocity, (*, D), and its divergence, (*,)."""


class ContinuousFlow(DeclaredDistribution):
    r"""The distribution of z at time one, for noise at time zero that moves along a field.

    .. math:: \frac{dz}{dt} = v(z, t), \qquad
              \log p(z_1) = \log \mathcal N(z_0; 0, I) - \int_0^1 \nabla \cdot v(z_t, t)\, dt

    Both integrals are computed by the Runge–Kutta method of order four in steps of equal size.
    Adaptive steps would make the density of a point depend on the other points of its batch.

    Arguments:
        field: v and its divergence.
        like: A tensor with the shape (\*, D) of the batch and the event, its type and its device.
        n_steps: The number of steps.

    References:
        Chen et al., Neural ordinary differential equations, NeurIPS 2018, eq. 8.

    Example:
        >>> def shrink(z, t):
        ...     return -z, torch.full_like(z[..., 0], -1.0)
        >>> p = ContinuousFlow(shrink, torch.zeros(1))  # z₁ = z₀ / e
        >>> torch.allclose(p.log_prob(torch.zeros(1)), torch.tensor(1 - 0.5 * log(2 * pi)))
        True
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, field: Field, like: Tensor, n_steps: int = 10) -> None:
        self.field, self.like, self.n_steps = field, like, n_steps
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=False)

    def expand(self, batch_shape: _size, _instance: object = None) -> "ContinuousFlow":
        """Return the distribution over a larger batch."""
        like = self.like.expand(*batch_shape, self.like.shape[-1])
        return ContinuousFlow(self.field, like, self.n_steps)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        r"""Draw z, with shape (\*sample_shape, \*, D)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.of_noise(torch.randn(shape, dtype=self.like.dtype, device=self.like.device))

    def of_noise(self, noise: Tensor) -> Tensor:
        r"""Return the z that standard normal noise moves to, with shape (\*, D)."""
        return self._moved(noise, 0.0, 1.0)[0]

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return log p(z), in nats with shape (\*,)."""
        noise, divergence = self._moved(value, 1.0, 0.0)
        base = -0.5 * (noise.square() + log(2 * pi)).sum(-1)
        return base + divergence

    def _moved(self, z: Tensor, start: float, end: float) -> tuple[Tensor, Tensor]:
        """Return z at the end of its path, and the integral of the divergence along it."""
        times = torch.linspace(start, end, 2 * self.n_steps + 1, dtype=z.dtype, device=z.device)
        step = (end - start) / self.n_steps
        total = torch.zeros_like(z[..., 0])
        for number in range(self.n_steps):
            first, middle, last = times[2 * number : 2 * number + 3]
            v1, d1 = self.field(z, first)
            v2, d2 = self.field(z + 0.5 * step * v1, middle)
            v3, d3 = self.field(z + 0.5 * step * v2, middle)
            v4, d4 = self.field(z + step * v3, last)
            z = z + step / 6 * (v1 + 2 * (v2 + v3) + v4)
            total = total + step / 6 * (d1 + 2 * (d2 + d3) + d4)
        return z, total
