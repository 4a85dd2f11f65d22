r"""A function of vectors as plain numbers, which the script of a report computes.

A ``Step`` is a node of a tree: a layer with its weights, or a composition of other steps. Each maps
a vector to a vector; maps of features are flattened channel by channel, row by row.
``static/decoder.js`` and ``likelihoods.js`` have one function for each kind.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

LARGEST_HALF = 6e4
"""Larger weights do not fit half precision."""


@dataclass(frozen=True)
class Step:
    """One step of a computation.

    Arguments:
        kind: The function, by the name that the script knows.
        numbers: Its sizes and other single numbers.
        weights: Its weights, which travel in half precision.
        values: Numbers for each entry of the output, in the units of the data, in single precision.
        inner: The steps that it is composed of.
        n_products: The number of multiplications of this step alone.

    Example:
        >>> import torch
        >>> Step("linear", weights={"weight": torch.ones(2, 3), "bias": torch.zeros(2)}).n_weights
        8
    """

    kind: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Tensor] = field(default_factory=dict)
    inner: tuple["Step", ...] = ()
    n_products: int = 0

    @property
    def n_weights(self) -> int:
        """The number of weights of this step and of those in it."""
        own = sum(w.numel() for w in self.weights.values())
        return own + sum(step.n_weights for step in self.inner)

    @property
    def cost(self) -> int:
        """The number of multiplications of this step and of those in it."""
        return self.n_products + sum(step.cost for step in self.inner)

    @property
    def is_in_range(self) -> bool:
        """Whether every weight is a number that half precision holds."""
        own = all(bool((w.abs() < LARGEST_HALF).all()) for w in self.weights.values())
        return own and all(step.is_in_range for step in self.inner)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, in which tensors are numbers in base 64."""
        found: dict[str, Any] = {"kind": self.kind, **self.numbers}
        found |= {name: {"half": half(w)} for name, w in self.weights.items()}
        found |= {name: {"single": _single(v)} for name, v in self.values.items()}
        return found | ({"inner": [step.to_dict() for step in self.inner]} if self.inner else {})


def sequence(*steps: Step) -> Step:
    """Return steps one after the other as one step."""
    return Step("sequence", inner=steps)


def joined(*steps: Step) -> Step:
    """Return the outputs of steps of the same input, side by side."""
    return Step("join", inner=steps)


def pick(places: Sequence[int]) -> Step:
    """Return the step whose output has the entries of its input at these places."""
    return Step("pick", {"places": list(places)})


def linear(weight: Tensor, bias: Tensor | None) -> Step:
    """Return a linear layer, with weights of shape (out, in)."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return Step("linear", weights={"weight": weight, "bias": bias}, n_products=weight.numel())


def convolution(weight: Tensor, bias: Tensor | None, size: Sequence[int]) -> Step:
    """Return a convolution of stride 1 that keeps the size of the maps.

    Arguments:
        weight: The filters, with shape (out, in, k, k) and an odd k.
        bias: The biases, with shape (out,); None for zeros.
        size: The height and width of the maps.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    numbers = {"size": list(size), "kernel": weight.shape[-1]}
    n = weight.numel() * size[0] * size[1]
    return Step("convolution", numbers, {"weight": weight, "bias": bias}, n_products=n)


def transposed(
    weight: Tensor,
    bias: Tensor | None,
    size: Sequence[int],
    out_size: Sequence[int],
    stride: int,
    padding: int,
) -> Step:
    """Return a transposed convolution.

    Arguments:
        weight: The filters, with shape (out, in, k, k).
        bias: The biases, with shape (out,); None for zeros.
        size: The height and width of the input maps.
        out_size: Those of the output maps.
        stride: The distance of the places of two neighbors of the input.
        padding: The rows and columns that are cut off the output on each side.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    numbers = {
        "size": list(size),
        "outSize": list(out_size),
        "kernel": weight.shape[-1],
        "stride": stride,
        "padding": padding,
    }
    n = weight.numel() * size[0] * size[1]
    return Step("transposed", numbers, {"weight": weight, "bias": bias}, n_products=n)


def scaled(step: Step, factor: Tensor, shift: Tensor) -> Step:
    """Return a layer followed by a scale and a shift of each channel, as one layer.

    Arguments:
        step: A linear layer or a convolution, whose outputs are the channels one after the other.
        factor: The scale of each channel.
        shift: The shift of each channel.

    Example:
        >>> import torch
        >>> layer = linear(torch.ones(4, 1), torch.zeros(4))
        >>> scaled(layer, torch.tensor([2.0, 3.0]), torch.zeros(2)).weights["weight"].flatten()
        tensor([2., 2., 3., 3.])
    """
    weight, bias = step.weights["weight"], step.weights["bias"]
    n = len(weight) // len(factor)
    by, to = factor.repeat_interleave(n), shift.repeat_interleave(n)
    weights = {"weight": weight * by.reshape(-1, *[1] * (weight.dim() - 1)), "bias": bias * by + to}
    return Step(step.kind, step.numbers, weights, n_products=step.n_products)


def half(values: Tensor) -> str:
    """Return numbers in half precision, in base 64."""
    return _text(values.detach().cpu().half())


def _single(values: Tensor) -> str:
    return _text(values.detach().cpu().float())


def _text(values: Tensor) -> str:
    return base64.b64encode(values.contiguous().numpy().tobytes()).decode()
