r"""The field of velocities of a diffusion in latent space, with its exact divergence.

.. math:: v(z, t, c) = \frac{2 t - 1}{t^2 + (1 - t)^2}\, z
          + W_3\, \phi(W_2\, \phi(W_1 z + e_1) + e_2) + b, \qquad e = e_t(t) + e_c(c)
"""

import torch
from torch import Tensor, nn

from reparam.errors import ShapeError
from reparam.utils.arguments import numbers
from reparam.utils.autocast import without_autocast

_N_WAVES = 4


@numbers(dim=1, hidden=1, context=0)
class Velocity(nn.Module):
    r"""A network of two hidden layers from z, time and condition to a velocity.

    .. math:: v(z, t, c) = a(t)\, z + W_3\, \phi(W_2\, \phi(W_1 z + e_1) + e_2) + b, \qquad
              a(t) = \frac{2 t - 1}{t^2 + (1 - t)^2}, \quad e = e_t(t) + e_c(c)

    The first term is the velocity that carries standard normal noise at t = 0 to standard normal
    codes at t = 1. The network begins with zeros in its last layer, so that it learns the
    difference only.

    .. math:: \nabla \cdot v = D\, a(t)
              + \phi'_2{}^\top \bigl(W_2 \odot (W_1 W_3)^\top\bigr) \phi'_1

    The divergence of a network with two hidden layers is a bilinear form of the derivatives of its
    units. It is exact and costs one product with a matrix, where automatic differentiation takes D
    passes.

    Arguments:
        dim: The number of dimensions D of z.
        hidden: The number of units of each layer.
        context: The size of a condition c; 0 without one.

    Raises:
        OptionError: A size below one.

    Example:
        >>> v, divergence = Velocity(3)(torch.ones(5, 3), torch.tensor(1.0))
        >>> v[0], divergence[0]
        (tensor([1., 1., 1.], grad_fn=<SelectBackward0>), tensor(3., grad_fn=<SelectBackward0>))
    """

    def __init__(self, dim: int, hidden: int = 256, context: int = 0) -> None:
        super().__init__()
        self.dim, self.context = dim, context
        self.first = nn.Linear(dim, hidden, bias=False)
        self.second = nn.Linear(hidden, hidden, bias=False)
        self.last = nn.Linear(hidden, dim)
        self.of_time = _embedding(1 + 2 * _N_WAVES, hidden)
        self.of_condition = _embedding(context, hidden) if context else None
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def shift(self, c: Tensor | None) -> Tensor | None:
        """Return e_c(c), with shape (B, 2 H), for c with shape (B, C); None without a condition.

        It is the same at all times.

        Raises:
            ShapeError: No condition, or one of another size, where there is a context.
        """
        if self.of_condition is None:
            return None
        if c is None or c.shape[-1] != self.context:
            raise ShapeError(
                f"condition c of size {0 if c is None else c.shape[-1]}: the network was built "
                f"with context={self.context}, so give a condition of this size"
            )
        shift: Tensor = self.of_condition(c)
        return shift

    def forward(self, z: Tensor, t: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return the velocity and its divergence.

        Arguments:
            z: The points, with shape (\*, B, D).
            t: Their times in [0, 1], with shape (), or (\*, B).
            shift: What ``shift`` returns of their conditions, with shape (B, 2 H).

        Returns:
            The velocity, with shape (\*, B, D), and the divergence, with shape (\*, B).
        """
        with without_autocast(z.device):
            angles = torch.pi * t[..., None] * torch.arange(1, _N_WAVES + 1, device=z.device)
            features = torch.cat([t[..., None], angles.sin(), angles.cos()], -1).to(z)
            e = self.of_time(features)
            e1, e2 = (e if shift is None else e + shift).chunk(2, -1)
            h1, d1 = _silu(self.first(z) + e1)
            h2, d2 = _silu(self.second(h1) + e2)
            linear = ((2 * t - 1) / (t.square() + (1 - t).square())).to(z)
            w1, w2, w3 = self.first.weight, self.second.weight, self.last.weight
            divergence = ((d2 @ (w2 * (w1 @ w3).T)) * d1).sum(-1)
            return linear[..., None] * z + self.last(h2), self.dim * linear + divergence


def _embedding(size: int, hidden: int) -> nn.Module:
    """Return a network from a vector to what it adds to both hidden layers."""
    return nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, 2 * hidden))


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return a σ(a), and its derivative."""
    s = a.sigmoid()
    return a * s, s * (1 + a * (1 - s))
