"""The categorical distribution, for labels, tokens and discrete pixels."""

from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution

from reparam.families.family import Family, Shape
from reparam.utils.arguments import numbers


@numbers(n_classes=2)
class Categorical(Family):
    r"""One of K classes for each entry: labels, tokens, discrete pixels.

    Arguments:
        n_classes: The number of classes K.
        event_shape: The shape of the event; () for a single label.

    Raises:
        OptionError: Fewer than two classes.

    Example:
        >>> import torch
        >>> Categorical(10).attach((400,))(torch.zeros(5, 400)).log_prob(torch.arange(5)).shape
        torch.Size([5])
    """

    supports = ("categorical", "tokens")

    def __init__(self, n_classes: int, event_shape: Shape = ()) -> None:
        super().__init__(event_shape, n_classes)
        self.n_classes = n_classes

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the categorical with these logits."""
        logits = raw.movedim(-1 - len(self.event_shape), -1)
        return self.independent(TorchCategorical(logits=logits, validate_args=False))
