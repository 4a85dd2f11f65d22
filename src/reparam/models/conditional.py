r"""Conditional distributions, the parts that every model is composed of.

.. math:: p(y \mid x, c) = \mathrm{family}(\mathrm{network}(x, c))

A model part is any ``torch.nn.Module`` whose forward pass returns a
``torch.distributions.Distribution``.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.families import Family
from reparam.nn.context import with_condition
from reparam.nn.features import features_shape


class Conditional(nn.Module):
    r"""A conditional distribution p(y | x, c): a network followed by a family.

    Encoders, decoders and classifiers are of this class. Any other module that returns a
    ``Distribution`` can take its place.

    Arguments:
        network: A module from x (and c) to features. It declares the shape of its features as
            ``out_shape`` or, like ``torch.nn.Linear``, their number as ``out_features``.
        family: The family of p(y | x, c). It creates its own last layer for these features.

    Raises:
        OptionError: The network does not declare the shape of its features.

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
        return self.family(with_condition(self.network, x, c))


class Unconditional(nn.Module):
    """A distribution p(y) with learned parameters and no input.

    Arguments:
        family: The family of p(y), whose raw parameters are learned directly.

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


def part_of(module: nn.Module, name: str) -> object:
    """Return an attribute of a module; None where it has none of this name.

    >>> part_of(nn.Linear(1, 1), "encoder") is None
    True
    """
    # A model, an encoder or a decoder may be any module of a user, which declares nothing.
    return getattr(module, name, None)


def family_of(module: nn.Module) -> Family | None:
    """Return the family of a module's distributions; None where it is not known.

    >>> family_of(nn.Linear(1, 1)) is None
    True
    """
    family = part_of(module, "family")
    return family if isinstance(family, Family) else None
