"""Activation functions by name."""

from collections.abc import Callable

from torch import nn

from reparam.errors import named

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
}


def activation(name: str) -> nn.Module:
    """Return a new activation module.

    Arguments:
        name: A key of ``ACTIVATIONS``.

    Raises:
        OptionError: An unknown name.

    Example:
        >>> activation("tanh")
        Tanh()
    """
    return named("activation", name, ACTIVATIONS)()
