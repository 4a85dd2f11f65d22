r"""The uniform distribution on the unit sphere, and the constraint of unit vectors.

.. math:: p(z) = \frac{\Gamma(D/2)}{2 \pi^{D/2}}
"""

from math import lgamma, log, pi

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution
from reparam.utils.arguments import as_int


class Sphere(constraints.Constraint):
    """The set of vectors of length one, up to the rounding of single precision."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Return whether each vector, with shape (*, D), has length one."""
        return (torch.linalg.vector_norm(value, dim=-1) - 1).abs() < 1e-4

    def __repr__(self) -> str:
        return "Sphere()"


sphere = Sphere()
"""The constraint that the last axis holds unit vectors."""


def log_sphere_area(dim: int) -> float:
    r"""Return the logarithm of the surface area of the unit sphere of R^dim.

    .. math:: \log |S^{D-1}| = \log 2 + \tfrac D2 \log \pi - \log \Gamma(\tfrac D2)

    Example:
        >>> round(log_sphere_area(2), 4), round(log(2 * pi), 4)
        (1.8379, 1.8379)
    """
    return log(2) + dim / 2 * log(pi) - lgamma(dim / 2)


class HypersphericalUniform(DeclaredDistribution):
    r"""The uniform distribution on the unit sphere of :math:`\mathbb R^D`.

    .. math:: p(z) = \frac{1}{|S^{D-1}|} = \frac{\Gamma(D/2)}{2 \pi^{D/2}}

    The density, like that of ``VonMisesFisher``, is with respect to the area of the sphere.

    Arguments:
        dim: D, the number of coordinates; the sphere itself has D - 1 dimensions.
        batch_shape: The shape of a batch of such distributions.
        dtype: The type of the draws; None for torch's default.
        device: The device of the draws; None for torch's default.

    Raises:
        OptionError: Fewer than two coordinates.

    References:
        Davidson et al., Hyperspherical variational auto-encoders, UAI 2018, section 3.

    Example:
        >>> p = HypersphericalUniform(3)
        >>> p.sample((5,)).shape, p.entropy()
        (torch.Size([5, 3]), tensor(2.5310))
    """

    support = sphere
    has_rsample = True

    def __init__(
        self,
        dim: int,
        batch_shape: _size = torch.Size(),  # noqa: B008
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        dim = as_int("dim", dim, minimum=2)
        # The mean, whose type and device draws have too.
        self._zero = torch.zeros(dim, dtype=dtype, device=device)
        super().__init__(torch.Size(batch_shape), torch.Size([dim]), validate_args=validate_args)

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> "HypersphericalUniform":
        """Return the distribution over a larger batch."""
        zero = self._zero
        return HypersphericalUniform(
            len(zero), batch_shape, zero.dtype, zero.device, validate_args=False
        )

    @property
    def mean(self) -> Tensor:
        """Return E[z] = 0, the center of the ball, with shape (*, D)."""
        return self._zero.expand(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        """Return Var[z] = 1 / D of each coordinate, with shape (*, D)."""
        return self.mean + 1 / len(self._zero)

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return log p(z), in nats, of unit vectors with shape (\*, D)."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return self._zero.new_full(shape, -log_sphere_area(len(self._zero)))

    def entropy(self) -> Tensor:
        """Return the logarithm of the area, in nats, with the shape of the batch."""
        return self._zero.new_full(self.batch_shape, log_sphere_area(len(self._zero)))

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws: standard normal vectors, normalized to length one."""
        shape = self._extended_shape(sample_shape)
        normal = torch.randn(shape, dtype=self._zero.dtype, device=self._zero.device)
        return torch.nn.functional.normalize(normal, dim=-1)
