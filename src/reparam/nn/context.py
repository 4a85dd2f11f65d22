"""How a condition c joins what a network is given."""

import torch
from torch import Tensor

from reparam.errors import ShapeError


def concatenate(features: Tensor, c: Tensor | None, context: int) -> Tensor:
    r"""Return :math:`[f, c]`, with c repeated over the leading dimensions that f has more.

    Arguments:
        features: Features f, with shape (\*, B, F).
        c: The condition, with shape (B, C); None for a network without one.
        context: The size C that the network was built for, 0 for none.

    Raises:
        ShapeError: c is missing, of another size, for another number of examples, or given to a
            network built without it.

    Example:
        >>> concatenate(torch.ones(5, 2, 3), torch.zeros(2, 4), context=4).shape
        torch.Size([5, 2, 7])
    """
    given = 0 if c is None else c.shape[-1]
    if given != context:
        raise ShapeError(
            f"condition c has size {given}, but the network was built with context={context}: "
            f"give a condition of size {context}, or build the network with context={given}"
        )
    if c is None:
        return features
    try:
        repeated = c.to(features).expand(*features.shape[:-1], -1)
    except RuntimeError:
        raise ShapeError(
            f"condition c has leading sizes {tuple(c.shape[:-1])}, but what it joins has "
            f"{tuple(features.shape[:-1])}: give one condition for each example"
        ) from None
    return torch.cat([features, repeated], dim=-1)
