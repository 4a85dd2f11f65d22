r"""Distributions on the unit sphere: the uniform one, and the von Mises-Fisher distribution.

.. math:: p(z) = \frac{1}{|S^{D-1}|}, \qquad
          q(z) \propto \exp(\kappa\, \mu^\top z), \qquad \|z\| = 1

The normalizer, moments and gradients of the second are integrals over the angle between z and μ,
computed by Gauss-Legendre quadrature in float64.
"""

from functools import cache, cached_property
from math import lgamma, log, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import Beta, Distribution, constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution, Parametric
from reparam.distributions.precision import upcast
from reparam.errors import ShapeError
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


_WIDTH = 18.0
"""The half-width of the interval of integration in standard deviations; the mass outside is below
the rounding of float64."""

_N_NODES = 64
"""The nodes on both sides of the mode, with which integrals are exact to 12 digits."""

_N_NODES_ONE_SIDE = 32


class VonMisesFisher(Parametric):
    r"""The analogue of a Gaussian on the unit sphere, concentrated around a direction.

    .. math:: q(z) = \frac{\exp(\kappa\, \mu^\top z)}{Z(\kappa)}, \qquad
              Z(\kappa) = |S^{D-2}| \int_0^\pi e^{\kappa \cos t} \sin^{D-2} t \, dt

    The integral over the angle t between z and μ is computed by quadrature on the interval that
    holds its mass. It is as exact as Bessel functions, for any D and κ, and its derivatives come
    from the same nodes, so that no ratio of Bessel functions has to be approximated.

    Draws are exact (rejection) and differentiable, in μ by a reflection, and in κ implicitly,

    .. math:: \frac{dt}{d\kappa} = -\frac{\partial F(t; \kappa) / \partial\kappa}{q(t)}

    so that the gradient needs no correction for rejected proposals.

    Arguments:
        loc: The mean direction μ, unit vectors with shape (\*, D).
        concentration: κ > 0, with shape (\*,).

    Raises:
        ShapeError: Vectors with fewer than two coordinates.

    References:
        Davidson et al., Hyperspherical variational auto-encoders, UAI 2018, section 3.
        Wood, Simulation of the von Mises Fisher distribution, 1994 (algorithm VM*).
        Figurnov et al., Implicit reparameterization gradients, NeurIPS 2018.

    Example:
        >>> q = VonMisesFisher(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(10.0))
        >>> q.mean, q.entropy(), q.sample((5,)).shape
        (tensor([0.0000, 0.0000, 0.9000]), tensor(0.5353), torch.Size([5, 3]))
    """

    arg_constraints = {"loc": sphere, "concentration": constraints.positive}  # noqa: RUF012
    support = sphere
    has_rsample = True
    mean_is_value = False

    def __init__(
        self, loc: Tensor, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        if loc.dim() < 1 or loc.shape[-1] < 2:
            raise ShapeError(
                f"loc with shape {tuple(loc.shape)}: a direction needs at least two coordinates, "
                "in the last axis"
            )
        batch_shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        self.loc = loc.expand(*batch_shape, -1)
        self.concentration = concentration.expand(batch_shape)
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    @property
    def _dim(self) -> int:
        return self.event_shape[0]

    @cached_property
    def _nodes(self) -> tuple[Tensor, Tensor]:
        # 1 - cos t at the nodes, and the logarithms of their weights under the uniform angle.
        kappa = upcast(self.concentration.detach())[..., None]
        _, low, high = _interval(kappa, self._dim)
        t, weights = _gauss_legendre(low, high, _N_NODES)
        return _versine(t), weights.log() + (self._dim - 2) * t.sin().log()

    @property
    def _integrals(self) -> tuple[Tensor, Tensor]:
        # log Z(κ) - κ and 1 - E[cos t]; automatic differentiation gives d(log Z)/dκ = E[cos t].
        versine, log_weights = self._nodes
        log_terms = log_weights - upcast(self.concentration)[..., None] * versine
        log_normalizer = log_sphere_area(self._dim - 1) + log_terms.logsumexp(-1)
        return log_normalizer, (log_terms.softmax(-1) * versine).sum(-1)

    @property
    def mean_resultant_length(self) -> Tensor:
        r"""Return the length of E[z], :math:`I_{D/2}(\kappa) / I_{D/2-1}(\kappa)`."""
        return (1 - self._integrals[1]).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """Return E[z], inside the ball, with shape (*, D)."""
        return self.mean_resultant_length[..., None] * self.loc

    @property
    def mode(self) -> Tensor:
        """Return μ, with shape (*, D)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Return Var[z] of each coordinate, with shape (*, D)."""
        length = 1 - self._integrals[1]
        across = length / upcast(self.concentration)
        along = 1 - (self._dim - 1) * across - length.square()
        along, across = along[..., None], across[..., None]
        return (across + (along - across) * upcast(self.loc).square()).to(self.loc.dtype)

    def _log_prob(self, value: Tensor) -> Tensor:
        r"""Return log q(z), in nats, of unit vectors with shape (\*, D)."""
        log_normalizer, _ = self._integrals
        # 1 - μᵀz for unit vectors, without the cancellation that a large κ would multiply.
        versine = 0.5 * (value - self.loc).square().sum(-1)
        log_prob = -upcast(self.concentration) * versine - log_normalizer
        return log_prob.to(self.loc.dtype)

    def kl_from_uniform(self) -> Tensor:
        r"""Return KL(q‖p) to the uniform distribution on the sphere, in nats.

        .. math:: \mathrm{KL} = \kappa\, \mathbb E[\cos t] - \log Z(\kappa) + \log |S^{D-1}|

        This is the log-area minus the entropy. It is computed in float64, because for a small κ
        the difference in single precision would be rounding error only.

        References:
            Davidson et al., UAI 2018, section 3.
        """
        log_normalizer, gap = self._integrals
        kl = log_sphere_area(self._dim) - log_normalizer - upcast(self.concentration) * gap
        return kl.to(self.loc.dtype)

    def entropy(self) -> Tensor:
        """Return the entropy with respect to the sphere's area, in nats."""
        return log_sphere_area(self._dim) - self.kl_from_uniform()

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return differentiable draws, exact for any κ."""
        shape = self._extended_shape(sample_shape)
        kappa = upcast(self.concentration)
        gap = self._integrals[1].detach()
        angle: Tensor = _Angle.apply(  # type: ignore[no-untyped-call]
            kappa.expand(shape[:-1]), gap.expand(shape[:-1]), self._dim
        )
        normal = torch.randn(*shape[:-1], self._dim - 1, dtype=angle.dtype, device=angle.device)
        across = torch.nn.functional.normalize(normal, dim=-1)
        # A draw around a pole ±e₁, then the reflection that maps this pole to μ. The pole farther
        # from μ is used, so that the normal of the mirror is never zero.
        pole = torch.where(self.loc.detach()[..., :1] > 0, -1.0, 1.0).to(self.loc.dtype)
        z = torch.cat([pole * angle.cos()[..., None], angle.sin()[..., None] * across], -1)
        z = z.to(self.loc.dtype)
        normal = torch.cat([pole - self.loc[..., :1], -self.loc[..., 1:]], -1)
        height = (z * normal).sum(-1, keepdim=True) / normal.square().sum(-1, keepdim=True)
        return z - 2 * height * normal


class _Angle(torch.autograd.Function):
    """Draw the angle between z and μ, with the derivative in κ of the inverse CDF at fixed u."""

    @staticmethod
    def forward(ctx: Any, kappa: Tensor, gap: Tensor, dim: int) -> Tensor:
        angle = _sample_angle(kappa, dim)
        ctx.save_for_backward(angle, kappa, gap)
        ctx.dim = dim
        return angle

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        angle, kappa, gap = ctx.saved_tensors
        return gradient * _angle_slope(angle, kappa, gap, ctx.dim), None, None


def _sample_angle(kappa: Tensor, dim: int) -> Tensor:
    """Draw one angle for each κ by rejection (Wood's VM*, with w = cos t)."""
    flat = kappa.detach().flatten()
    angle = torch.empty_like(flat)
    half = (dim - 1) / 2
    proposal = Beta(flat.new_full((), half), flat.new_full((), half), validate_args=False)
    waiting = torch.arange(len(flat), device=flat.device)
    while len(waiting) > 0:
        k = flat[waiting]
        b = (dim - 1) / (2 * k + torch.hypot(2 * k, k.new_full((), dim - 1)))
        w0 = (1 - b) / (1 + b)
        beta = proposal.sample(k.shape)
        t = 2 * torch.atan2((b * beta).sqrt(), (1 - beta).sqrt())
        w = t.cos()
        log_ratio = k * (w - w0) + (dim - 1) * ((1 - w0 * w) / (1 - w0.square())).log()
        # With this comparison a κ of NaN is accepted and returned, instead of an endless loop.
        refused = log_ratio < torch.rand_like(k).log()
        angle[waiting] = t
        waiting = waiting[refused]
    return angle.view_as(kappa)


def _angle_slope(angle: Tensor, kappa: Tensor, gap: Tensor, dim: int) -> Tensor:
    r"""Return dt/dκ = -∫ (cos s - E[cos]) q(s)/q(t) ds, from the nearer end of the interval to t.

    The ratio q(s)/q(t) needs no normalizer, and is at most about one on this path.
    """
    mode, low, high = _interval(kappa, dim)
    nodes, weights = _gauss_legendre(
        torch.where(angle < mode, low, high)[..., None], angle[..., None], _N_NODES_ONE_SIDE
    )
    versine = _versine(nodes)
    log_ratio = kappa[..., None] * (_versine(angle)[..., None] - versine)
    if dim > 2:
        log_ratio = log_ratio + (dim - 2) * (nodes.sin() / angle.sin()[..., None]).log()
    # cos s - E[cos] is (1 - E[cos]) - (1 - cos s).
    return -(weights * (gap[..., None] - versine) * log_ratio.exp()).sum(-1)


def _interval(kappa: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mode of the angle, and the ends of the interval that holds its mass.

    The density exp(κ cos t) sin^(D-2) t has its mode at cos t = κ/r, where the second derivative of
    its logarithm is about -(κ²/r + r), with r = ((D-2) + √((D-2)² + 4κ²)) / 2.
    """
    r = (dim - 2 + torch.hypot(2 * kappa, kappa.new_full((), dim - 2))) / 2
    # On the circle r is κ itself, which may underflow to zero.
    r = r.clamp(min=torch.finfo(r.dtype).tiny)
    mode = (kappa / r).clamp(max=1).acos()
    reach = _WIDTH * (kappa.square() / r + r).rsqrt()
    return mode, (mode - reach).clamp(min=0), (mode + reach).clamp(max=pi)


def _gauss_legendre(low: Tensor, high: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights for integrals from low to high, both with a last axis of size 1."""
    x, weights = (low.new_tensor(values) for values in _legendre(n))
    half = (high - low) / 2
    return low + half * (1 + x), half * weights


@cache
def _legendre(n: int) -> tuple[list[float], list[float]]:
    x, weights = np.polynomial.legendre.leggauss(n)
    return x.tolist(), weights.tolist()


def _versine(t: Tensor) -> Tensor:
    """Return 1 - cos t without cancellation."""
    return 2 * (t / 2).sin().square()
