r"""Hamiltonian Monte Carlo: moves that leave a tempered density unchanged.

.. math:: f_\beta(z) = p_0(z)^{1 - \beta}\, p(x, z)^\beta, \qquad
          H(z, v) = -\log f_\beta(z) + \tfrac12 \|v\|^2

A move draws a velocity v, follows the Hamiltonian dynamics by leapfrog steps, and is accepted with
the probability :math:`\min(1, e^{H - H'})`.

References:
    Neal, MCMC using Hamiltonian dynamics, 2011, section 3.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Point(NamedTuple):
    """Places z with shape (K, B, D), and log p_0(z) and log p(x, z) there, with gradients."""

    z: Tensor
    log_start: Tensor
    log_joint: Tensor
    start_gradient: Tensor
    joint_gradient: Tensor

    def log_density(self, beta: float) -> Tensor:
        """Return log f_β, with shape (K, B)."""
        return torch.lerp(self.log_start, self.log_joint, beta)

    def gradient(self, beta: float) -> Tensor:
        """Return ∇ log f_β, with shape (K, B, D)."""
        return torch.lerp(self.start_gradient, self.joint_gradient, beta)

    @property
    def log_ratio(self) -> Tensor:
        """log p(x, z) - log p_0(z), float64 on the CPU with shape (K, B)."""
        return (self.log_joint - self.log_start).cpu().double()

    def where(self, accepted: Tensor, other: "Point") -> "Point":
        """Return this point where accepted, with shape (K, B), and the other elsewhere."""
        wide = accepted[..., None]
        return Point(
            *(
                torch.where(wide if new.dim() == 3 else accepted, new, old)
                for new, old in zip(self, other, strict=True)
            )
        )


def moved(
    density: Callable[[Tensor], Point], point: Point, beta: float, step: Tensor, n_leapfrog: int
) -> tuple[Point, Tensor]:
    """Return the places after one move that leaves f_β unchanged.

    Arguments:
        density: Both densities and their gradients at z, with shape (K, B, D).
        point: The places before.
        beta: β, from 0 to 1.
        step: The length of the leapfrog steps of each example, with shape (B,).
        n_leapfrog: Their number.

    Returns:
        The places, and the share of accepted moves of each example, with shape (B,).
    """
    momentum = torch.randn_like(point.z)
    # Trajectories of one length can return to their start, so the length is drawn.
    spread = torch.empty_like(point.log_joint).uniform_(0.8, 1.2)
    length = (step * spread)[..., None]
    new, velocity = point, momentum + 0.5 * length * point.gradient(beta)
    for number in range(n_leapfrog):
        new = density(new.z + length * velocity)
        last = number == n_leapfrog - 1
        velocity = velocity + (0.5 if last else 1.0) * length * new.gradient(beta)
    kinetic = 0.5 * (velocity.square().sum(-1) - momentum.square().sum(-1))
    log_ratio = new.log_density(beta) - point.log_density(beta) - kinetic
    # A trajectory that diverges is rejected.
    chance = log_ratio.clamp(max=0).exp().nan_to_num(0.0)
    return new.where(torch.rand_like(chance) < chance, point), chance.mean(0)


def with_gradient(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Return a function of z, with shape (K, B), and its gradient, with shape (K, B, D).

    >>> with_gradient(lambda z: z.square().sum(-1), torch.ones(1, 1, 2))
    (tensor([[2.]]), tensor([[[2., 2.]]]))
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = function(z)
        (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient
