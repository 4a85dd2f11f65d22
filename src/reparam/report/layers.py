"""Networks of decoders as steps, which the script of a report computes: see ``steps``.

A network gets z and the condition c side by side, as one vector.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reparam.nn import (
    MLP,
    BatchNorm,
    ChannelsFirst,
    ConvDecoder,
    Dropout,
    IgnoreContext,
    ImageHead,
    Pyramid,
    Residual,
    TakeLast,
)
from reparam.report.steps import (
    Step,
    convolution,
    joined,
    linear,
    pick,
    scaled,
    sequence,
    transposed,
)

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky-relu",
    nn.Tanh: "tanh",
    nn.Softplus: "softplus",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
    nn.ELU: "elu",
    nn.GLU: "gate",
}
"""The nonlinearities, by the names that the script knows."""

_IGNORED = (nn.Dropout, Dropout, nn.Unflatten, nn.Identity)
"""Layers that do not change the numbers of a flat vector after training."""

Size = tuple[int, int]
"""The height and width of maps."""


def network_steps(network: nn.Module, n_latents: int, n_context: int) -> Step | None:
    """Return a network as steps; None for one that the script cannot compute.

    Arguments:
        network: The network.
        n_latents: The number of dimensions of z.
        n_context: The size of the condition; 0 without one.

    Example:
        >>> network_steps(MLP(2, 16), 2, 0).n_weights
        48
    """
    match network:
        case MLP():
            return _perceptron(network)
        case ConvDecoder():
            return _convolutions(network, n_context)
        case Pyramid():
            return _pyramid(network)
        case TakeLast():
            first = range(n_latents - network.n, n_latents + n_context)
            return _after(pick(first), network_steps(network.network, network.n, n_context))
        case IgnoreContext():
            return _after(pick(range(n_latents)), network_steps(network.network, n_latents, 0))
    return None


def _after(first: Step, rest: Step | None) -> Step | None:
    return None if rest is None else sequence(first, rest)


def _perceptron(network: MLP) -> Step | None:
    steps = _steps(network.layers, (1, 1))
    if steps is None:
        return None
    return joined(sequence(*steps), sequence()) if network.skip else sequence(*steps)


def _convolutions(network: ConvDecoder, n_context: int) -> Step | None:
    size: Size = (network.out_shape[-2], network.out_shape[-1])
    for layer in network.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            size = -(-size[0] // 2), -(-size[1] // 2)
    first: list[Step] = []
    if network.n_places > 1:
        n_channels = network.in_features // network.n_places
        first = [_channels_first(network.n_places, n_channels, n_context)]
    # The order of a vector at several places is that of the first step.
    dense = _steps((one for one in network.dense if not isinstance(one, ChannelsFirst)), size)
    rest = _steps(network.layers, size)
    return None if dense is None or rest is None else sequence(*first, *dense, *rest)


def _channels_first(n_places: int, n_channels: int, n_context: int = 0) -> Step:
    """Return the step from a vector stored place by place to one stored channel by channel.

    A condition behind the vector becomes further channels, which are constant.
    """
    order = torch.arange(n_places * n_channels).reshape(n_places, n_channels).T
    constant = torch.arange(n_context)[:, None] + order.numel()
    return pick(torch.cat([order, constant.expand(-1, n_places)]).flatten().tolist())


def _pyramid(network: Pyramid) -> Step | None:
    parts: list[Step] = []
    sizes, n_context = [*network.sizes], network.context
    n_latents, n_first = sum(sizes), sizes[0]
    sizes[0] += n_context
    # The condition, which is last, goes with the top part.
    order = [*range(n_first), *range(n_latents, n_latents + n_context), *range(n_first, n_latents)]
    for i, (channels, *side) in enumerate(network.shapes):
        small: Size = (side[0], side[1])
        join = _steps([network.join[i]], small)
        rest = _steps([*_inside(network.refine[i]), *_inside(network.grow[i])], small)
        if join is None or rest is None:
            return None
        cut = {"size": [2 * n for n in small], "outSize": list(network.sides[i + 1])}
        first = _channels_first(small[0] * small[1], channels, 0 if i else n_context)
        parts += [sequence(first, *join), sequence(*rest, Step("crop", cut))]
    return sequence(pick(order), Step("pyramid", {"sizes": sizes}, inner=tuple(parts)))


def _inside(module: nn.Module) -> Iterable[nn.Module]:
    return module if isinstance(module, nn.Sequential) else [module]


def _steps(layers: Iterable[nn.Module], size: Size) -> list[Step] | None:
    """Return layers as steps, with normalization folded into the layer before it.

    Arguments:
        layers: The layers.
        size: The height and width of the maps that the first one gets.
    """
    steps: list[Step] = []
    for layer in layers:
        if isinstance(layer, _IGNORED):
            continue
        if isinstance(layer, BatchNorm):
            steps[-1] = scaled(steps[-1], *_scale_and_shift(layer.norm))
            continue
        if isinstance(layer, nn.ConvTranspose2d):
            step, size = _transposed(layer, size)
        else:
            found = _step(layer, size)
            if found is None:
                return None
            step = found
        steps.append(step)
    return steps


def _step(layer: nn.Module, size: Size) -> Step | None:
    """Return a layer that keeps the size of maps as a step; None for one that is not known."""
    match layer:
        case nn.Linear():
            return linear(layer.weight, layer.bias)
        case nn.Conv2d() if layer.stride == (1, 1):
            return convolution(layer.weight, layer.bias, size)
        case Residual():
            steps = _steps([layer.activation, layer.conv], size)
            return None if steps is None else Step("residual", inner=tuple(steps))
    name = _ACTIVATIONS.get(type(layer))
    return None if name is None else Step(name)


def _transposed(layer: nn.ConvTranspose2d, size: Size) -> tuple[Step, Size]:
    """Return a transposed convolution as a step, and the size of its output."""
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    padding, extra = int(layer.padding[0]), layer.output_padding
    height, width = (
        (n - 1) * stride - 2 * padding + kernel + more for n, more in zip(size, extra, strict=True)
    )
    weight = layer.weight.transpose(0, 1)  # torch has the input channels first
    step = transposed(weight, layer.bias, size, (height, width), stride, padding)
    return step, (height, width)


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale and the shift of each channel after training."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    factor = norm.weight / (variance + norm.eps).sqrt()
    return factor, norm.bias - mean * factor


def head_step(head: nn.Module | None) -> Step | None:
    """Return the last layer of a likelihood, from features to raw parameters, as a step.

    Arguments:
        head: The head, as ``nn.head`` makes it.
    """
    if isinstance(head, nn.Sequential):
        steps = _steps(head, (1, 1))
        return None if steps is None else sequence(*steps)
    if not isinstance(head, ImageHead):
        return None
    conv, size = head.conv, (head.raw_shape[-2], head.raw_shape[-1])
    shift = Step("shift", values={"by": head.bias.flatten()})
    return sequence(convolution(conv.weight, conv.bias, size), shift)
