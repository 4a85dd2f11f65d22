"""How a condition c enters a network: concatenated with the features, once for each example."""

from typing import Any

import torch
from torch import Tensor, nn

from reparam.errors import ShapeError


def with_condition(module: nn.Module, x: Tensor, c: Tensor | None) -> Any:
    """Return a module's output for x, and for the condition c where there is one.

    >>> with_condition(nn.Linear(3, 8), torch.zeros(5, 3), None).shape
    torch.Size([5, 8])
    """
    return module(x) if c is None else module(x, c)


def concatenate(features: Tensor, c: Tensor | None, context: int, n_axes: int = 0) -> Tensor:
    r"""Return :math:`[f, c]`, with c repeated over the axes that only f has.

    Arguments:
        features: The features f, with shape (\*, B, *axes, F).
        c: The condition, with shape (B, C); None for a network without one.
        context: The size C that the network was built for; 0 for none.
        n_axes: The number of axes between B and F, such as 1 for a sequence of features.

    Raises:
        ShapeError: c is missing, has another size or another number of examples, or is given to a
            network without a condition.

    Example:
        >>> concatenate(torch.ones(5, 2, 3), torch.zeros(2, 4), context=4).shape
        torch.Size([5, 2, 7])
        >>> concatenate(torch.ones(2, 6, 3), torch.zeros(2, 4), context=4, n_axes=1).shape
        torch.Size([2, 6, 7])
    """
    given = 0 if c is None else c.shape[-1]
    if given != context:
        raise ShapeError(
            f"condition c has size {given}, but the network was built with context={context}: "
            f"give a condition of size {context}, or build the network with context={given}"
        )
    if c is None:
        return features
    each = c.to(features)[(..., *[None] * n_axes, slice(None))]
    try:
        repeated = each.expand(*features.shape[:-1], -1)
    except RuntimeError:
        raise ShapeError(
            f"condition c has leading sizes {tuple(c.shape[:-1])}, but the features have "
            f"{tuple(features.shape[: -1 - n_axes])}: give one condition for each example"
        ) from None
    return torch.cat([features, repeated], dim=-1)
