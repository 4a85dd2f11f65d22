r"""A diffusion prior: noise that a learned field of velocities carries to codes.

.. math:: \frac{dz}{dt} = v(z, t, c), \qquad z_0 \sim \mathcal N(0, I)
"""

from functools import partial

from torch import Tensor

from reparam.distributions import ContinuousFlow
from reparam.nn.velocity import Velocity
from reparam.priors.prior import Prior, as_prior
from reparam.utils.arguments import numbers


@as_prior("diffusion")
@numbers(latent_dim=1, context=0, width=1, n_steps=1)
class Diffusion(Prior):
    r"""A diffusion in latent space, whose density is that of its probability-flow equation.

    .. math:: \frac{dz}{dt} = v(z, t, c), \quad z_0 \sim \mathcal N(0, I), \qquad
              \log p(z_1 \mid c) = \log \mathcal N(z_0; 0, I)
              - \int_0^1 \nabla \cdot v(z_t, t, c)\, dt

    Fitted to codes, the velocity is trained by ``objectives.FlowMatching``, without the integral.
    As a part of a model that is trained from the start, its density is differentiated through the
    integral. A density or a draw takes four passes of the network for each step.

    Arguments:
        latent_dim: The number of dimensions of z.
        context: The size of a condition c; 0 without one.
        width: The number of units of each hidden layer of the network.
        n_steps: The number of steps of the integral.

    Raises:
        OptionError: A size below one.

    References:
        Song et al., ICLR 2021, section 4.3 (the probability-flow equation); Vahdat, Kreis & Kautz,
        NeurIPS 2021 (as a prior).

    Example:
        >>> Diffusion(20)().sample((5,)).shape
        torch.Size([5, 20])
    """

    is_learned = True

    def __init__(
        self, latent_dim: int, context: int = 0, width: int = 256, n_steps: int = 10
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.n_steps = n_steps
        self.velocity = Velocity(latent_dim, width, context)

    def forward(self, c: Tensor | None = None) -> ContinuousFlow:
        """Return p(z | c) for c with shape (B, C)."""
        shape = (self.latent_dim,) if c is None else (c.shape[0], self.latent_dim)
        field = partial(self.velocity, shift=self.velocity.shift(c))
        like = self.velocity.first.weight.new_zeros(())
        return ContinuousFlow(field, like.expand(shape), self.n_steps)
