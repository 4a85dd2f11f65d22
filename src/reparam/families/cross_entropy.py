"""The cross-entropy loss on grey pixels, which is no normalized likelihood."""

from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import CrossEntropy as CrossEntropyDistribution
from reparam.families.bernoulli import clamped
from reparam.families.family import Family, Shape, as_likelihood


@as_likelihood("cross-entropy")
class CrossEntropy(Family):
    """The loss of many tutorials on grey pixels in [0, 1], which is no normalized likelihood.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> import torch
        >>> from reparam.distributions import is_normalized
        >>> is_normalized(CrossEntropy(3).attach((8,))(torch.zeros(5, 8)))
        False
    """

    supports = ("unit",)
    starts_at_mean = True

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the pseudo-distribution with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(CrossEntropyDistribution(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return clamped(mean).logit()
