"""A point mass, the code of an autoencoder."""

from torch import Tensor
from torch.distributions import Distribution

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
