"""The idea: a module that returns a distribution, p(y | x, c)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.errors import OptionError
from reparam.families import Family


class Conditional(nn.Module):
    r"""A conditional distribution: a network followed by a family.

    .. math:: p(y \mid x, c) = \mathrm{family}(\mathrm{network}(x, c))

    Encoders, decoders and classifiers are all this. Any other module that returns a
    ``Distribution`` can stand in its place.

    Arguments:
        network: A module from x (and c) to features. It tells the shape of its features as
            ``out_shape`` or, like ``torch.nn.Linear``, their number as ``out_features``.
        family: What turns features into a distribution; it makes its own head for these features.

    Raises:
        OptionError: A network that does not tell the shape of its features.

    Example:
        >>> from reparam.families import Gaussian
        >>> from reparam.nn import MLP
        >>> encoder = Conditional(MLP(784, 400), Gaussian(20))
        >>> encoder(torch.zeros(5, 784)).rsample().shape
        torch.Size([5, 20])
    """

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.network = network
        self.family = family.attach(features_shape(network))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        r"""Return p(y | x, c) for x with shape (\*, *in_shape) and c with shape (B, C)."""
        features = self.network(x) if c is None else self.network(x, c)
        return self.family(features)


class Unconditional(nn.Module):
    """A distribution with learned parameters and no input, p(y).

    Arguments:
        family: The family, whose raw parameters are learned directly.

    Example:
        >>> from reparam.families import Categorical
        >>> Unconditional(Categorical(10))().probs.sum()
        tensor(1.0000, grad_fn=<SumBackward0>)
    """

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family
        self.raw = nn.Parameter(torch.zeros(family.raw_shape))

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(y); a condition is ignored."""
        return self.family.distribution(self.raw)


def features_shape(network: nn.Module) -> Sequence[int]:
    """Return the shape of the features that a network makes of one example.

    Raises:
        OptionError: The network tells it neither as ``out_shape`` nor as ``out_features``.

    Example:
        >>> features_shape(nn.Sequential(nn.Linear(3, 8), nn.ReLU()))
        (8,)
    """
    out_shape: Sequence[int] | None = getattr(network, "out_shape", None)
    if out_shape is not None:
        return tuple(out_shape)
    layers = [network, *reversed(list(network.modules()))]
    for layer in layers if isinstance(network, nn.Sequential) else layers[:1]:
        out_features = getattr(layer, "out_features", None)
        if isinstance(out_features, int):
            return (out_features,)
    raise OptionError(
        f"network {type(network).__name__} does not tell the shape of its features: "
        "give it an attribute out_shape, such as (400,)"
    )
