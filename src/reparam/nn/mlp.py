r"""Multilayer perceptrons.

.. math:: h_l = \phi(W_l h_{l-1} + b_l), \qquad h_0 = [\mathrm{flatten}(x), c]
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.nn.activations import activation as make_activation
from reparam.nn.context import concatenate
from reparam.nn.dropout import Dropout
from reparam.nn.features import input_error
from reparam.utils.arguments import as_sizes, numbers

GATED = "gated"
"""An activation of dense layers only, because it has weights."""


@numbers(context=0, dropout=0)
class MLP(nn.Module):
    r"""A multilayer perceptron from x, and a condition c, to features.

    With the activation ``gated``, a layer is
    :math:`h_l = (W_l h_{l-1} + b_l) \odot \sigma(V_l h_{l-1} + c_l)`.

    With ``skip``, the features are :math:`[h_L, h_0]`: a linear layer after the network gets the
    input as it is. A model of a table is then at least linear (factor analysis), and extrapolates
    as a linear one does.

    Arguments:
        in_features: The size of the input, or the shape of one example, which is flattened.
        hidden: The sizes of the layers; the last one is the number of features. Without layers the
            features are the input.
        context: The size of the condition c; 0 without one.
        activation: The nonlinearity after every layer, by name.
        skip: Whether the features contain the input.
        dropout: The share of features of every layer that are set to 0 in training; None for one
            that falls with the number of training examples: see ``Dropout``.

    Raises:
        OptionError: A size below one; a share outside [0, 1).
        ShapeError: An input, or a condition, of another size.

    References:
        Dauphin et al., Language modeling with gated convolutional networks, ICML 2017, eq. 1.

    Example:
        >>> MLP((1, 28, 28), 400)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 400])
    """

    def __init__(
        self,
        in_features: int | Sequence[int],
        *hidden: int,
        context: int = 0,
        activation: str = "relu",
        skip: bool = False,
        dropout: float | None = 0.0,
    ) -> None:
        super().__init__()
        if dropout is not None and not 0 <= dropout < 1:
            raise OptionError(f"dropout={dropout}: must be at least 0 and below 1")
        self.in_shape = as_sizes("in_features", in_features)
        self.skip = skip and bool(hidden)
        sizes = [prod(self.in_shape) + context, *hidden]
        self.context = context
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            if activation == GATED:
                # Both linear maps in one layer, which is faster.
                layers += [nn.Linear(size_in, 2 * size_out), nn.GLU(dim=-1)]
            else:
                layers += [nn.Linear(size_in, size_out), make_activation(activation)]
            if dropout is None:
                layers.append(Dropout())
            elif dropout:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self.out_shape = torch.Size([sizes[-1] + (sizes[0] if self.skip else 0)])

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return features, with shape (\*, F), of x, with shape (\*, *in_shape)."""
        x = concatenate(flatten_example(x, self.in_shape), c, self.context)
        features = self.layers(x)
        return torch.cat([features, x], -1) if self.skip else features


def flatten_example(x: Tensor, shape: Sequence[int]) -> Tensor:
    r"""Return x, with shape (\*, *shape), as (\*, D).

    A network for vectors of D entries takes images of D entries too: ``MLP(784, 400)`` takes
    (B, 1, 28, 28).

    Raises:
        ShapeError: The trailing sizes of x are not those of an example.

    Example:
        >>> flatten_example(torch.zeros(5, 1, 28, 28), (784,)).shape
        torch.Size([5, 784])
    """
    shape = tuple(shape)
    if x.shape[-len(shape) :] == shape:
        return x if len(shape) == 1 else x.flatten(-len(shape))
    for n_batch in range(1, x.dim()):
        if prod(x.shape[n_batch:]) == prod(shape):
            return x.flatten(n_batch)
    raise input_error(x, shape)


@numbers(n_classes=1)
class LabelNetwork(nn.Module):
    r"""A multilayer perceptron of x and a label y, for many labels of each x.

    .. math:: h_1 = \phi(W x + V y + b), \qquad h_l = \phi(W_l h_{l-1} + b_l)

    It is an ``MLP`` with a context, except that W x is computed once for all labels.

    Arguments:
        in_features: The size of x, or its shape.
        n_classes: The number of labels K.
        hidden: The sizes of the layers, one at least.
        activation: The nonlinearity after every layer.

    Raises:
        OptionError: No layers, or a size below one.

    Example:
        >>> network = LabelNetwork((1, 8, 8), 3, 16)
        >>> network(torch.zeros(5, 1, 8, 8), torch.zeros(3, 5, 3)).shape
        torch.Size([3, 5, 16])
    """

    def __init__(
        self,
        in_features: int | Sequence[int],
        n_classes: int,
        *hidden: int,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if not hidden:
            raise OptionError("hidden=(): give one layer at least")
        self.in_shape = as_sizes("in_features", in_features)
        self.of_x = nn.Linear(prod(self.in_shape), hidden[0])
        self.of_label = nn.Linear(n_classes, hidden[0], bias=False)
        self.activation = make_activation(activation)
        self.rest = MLP(hidden[0], *hidden[1:], activation=activation)
        self.out_shape = self.rest.out_shape

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return features, with shape (\*, B, F), of x and of y with shape (\*, B, K)."""
        first = self.of_x(flatten_example(x, self.in_shape)) + self.of_label(y)
        return self.rest(self.activation(first))
