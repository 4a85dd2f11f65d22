"""Posteriors with a bounded support: a point mass and the uniform distribution on a box."""

from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Uniform as TorchUniform

from reparam.distributions import Delta
from reparam.families.family import Family, Shape, as_posterior


@as_posterior("deterministic")
class Deterministic(Family):
    """A point mass: the code of an autoencoder, without noise.

    Arguments:
        event_shape: The number of dimensions.

    Example:
        >>> import torch
        >>> Deterministic(20).attach((400,))(torch.zeros(5, 400)).mean.shape
        torch.Size([5, 20])
    """

    has_density = False
    factorizes = False

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the point mass at the raw parameters."""
        (value,) = self.parameters_of(raw)
        return Delta(value)


@as_posterior("uniform")
class Uniform(Family):
    r"""The uniform distribution on a box, :math:`U[m - w/2, m + w/2]`.

    As a posterior it needs a prior that is positive on the whole box: elsewhere KL(q‖p) is
    infinite, and ``divergence.kl`` refuses it.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> import torch
        >>> q = Uniform(2).attach((8,))(torch.zeros(5, 8))
        >>> bool(q.support.check(q.rsample()).all())
        True
    """

    supports = ("real", "unit")
    is_bounded = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 2)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return U[m - w/2, m + w/2] with log w as the second raw parameter."""
        middle, log_width = self.parameters_of(raw)
        half = 0.5 * log_width.exp()
        return self.independent(TorchUniform(middle - half, middle + half, validate_args=False))
