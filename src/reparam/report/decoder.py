r"""A small decoder as plain numbers, which the script of a report computes in the page.

.. math:: z \mapsto \mathbb E[x \mid z] = f(\mathrm{raw}(z)), \qquad
          \mathrm{raw} = W_{L+1} [h_L, z] + b_{L+1}, \quad h_l = \phi(W_l h_{l-1} + b_l)

Weights travel in half precision: the pixels differ from those of torch by less than 0.01.
"""

import base64
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reparam.families.bernoulli import Bernoulli, ContinuousBernoulli, CrossEntropy
from reparam.families.discretized_logistic import DiscretizedLogistic
from reparam.families.family import Family
from reparam.families.gaussian import Gaussian
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP, Dropout

MOST_WEIGHTS = 1_200_000
"""The largest number of weights that a page holds: 3 MB of text."""

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
    nn.Sigmoid: "sigmoid",
}
"""The activations that the script knows."""

_IGNORED = (nn.Dropout, Dropout)
"""Layers that do nothing after training."""


@dataclass(frozen=True)
class PlainDecoder:
    """A multilayer perceptron from z to the means of pixels.

    Arguments:
        layers: The weights, with shape (out, in), and the biases.
        activation: The nonlinearity, by the name that the script knows.
        skip: Whether the last layer gets z too.
        link: The function from raw parameters to means: ``sigmoid``, ``continuous-bernoulli``,
            ``logistic`` or ``identity``.
        loc: The location of the data for each entry; 0 for a link that has none.
        scale: The scale of the data, in the same way.
        least_scale: The floor of the scale of ``logistic``.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    activation: str
    skip: bool
    link: str
    loc: Tensor
    scale: Tensor
    least_scale: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, in which tensors are half-precision numbers in base 64."""
        return {
            "layers": [
                {"shape": list(weight.shape), "weight": _coded(weight), "bias": _coded(bias)}
                for weight, bias in self.layers
            ],
            "activation": self.activation,
            "skip": self.skip,
            "link": self.link,
            "loc": _coded(self.loc),
            "scale": _coded(self.scale),
            "leastScale": self.least_scale,
        }


def plain_decoder(model: LatentModel) -> PlainDecoder | None:
    """Return the decoder of a model as plain numbers; None where the script cannot compute it.

    Arguments:
        model: A model whose decoder gets no condition.

    Example:
        >>> from reparam.spec import DataSpec
        >>> from reparam.variants import vae
        >>> recipe = vae(DataSpec((1, 8, 8), "binary"), latent_dim=2, hidden=[16])
        >>> plain_decoder(recipe.model).link
        'sigmoid'
    """
    decoder = model.decoder
    if not isinstance(decoder, Conditional) or not isinstance(decoder.network, MLP):
        return None
    network, family = decoder.network, decoder.family
    link, last = _link(family), _last_layer(family)
    dense = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    shapes = [layer for layer in network.layers if not isinstance(layer, (nn.Linear, *_IGNORED))]
    names = {_ACTIVATIONS.get(type(layer)) for layer in shapes}
    if link is None or last is None or network.context or len(names) > 1 or None in names:
        return None
    name, n_raw = link
    n = n_raw * family.event_shape.numel()
    parts = [(layer.weight, layer.bias) for layer in dense] + [(last.weight[:n], last.bias[:n])]
    if sum(weight.numel() for weight, _ in parts) > MOST_WEIGHTS:
        return None
    layer = family.standardize
    zero = torch.zeros(family.event_shape)
    loc, scale = (zero, zero + 1) if layer is None else (layer.loc + zero, layer.scale + zero)
    least = family.least_scale if isinstance(family, DiscretizedLogistic) else 0.0
    return PlainDecoder(
        tuple((w.detach().cpu(), b.detach().cpu()) for w, b in parts),
        next(iter(names)) or "relu" if names else "relu",
        network.skip,
        name,
        loc.detach().cpu().flatten(),
        scale.detach().cpu().flatten(),
        least,
    )


def _last_layer(family: Family) -> nn.Linear | None:
    """Return the layer from flat features to raw parameters; None for a head of feature maps."""
    found = family.head[0] if isinstance(family.head, nn.Sequential) else None
    return found if isinstance(found, nn.Linear) else None


def _link(family: Family) -> tuple[str, int] | None:
    """Return the function from raw parameters to a mean, and how many each entry needs."""
    match family:
        case Bernoulli() | CrossEntropy():
            return "sigmoid", 1
        case ContinuousBernoulli():
            return "continuous-bernoulli", 1
        case DiscretizedLogistic():
            return "logistic", 2
        case Gaussian() if not family.places and not family.transform:
            return "identity", 1
    return None


def _coded(values: Tensor) -> str:
    """Return numbers in half precision, in base 64."""
    return base64.b64encode(values.detach().half().contiguous().numpy().tobytes()).decode()
