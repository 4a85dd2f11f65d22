"""Invertible networks, out of zuko."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution


def masked_transforms(
    features: int,
    context: int = 0,
    n_transforms: int = 2,
    hidden: Sequence[int] = (128,),
    passes: int | None = None,
) -> Any:
    r"""Return a stack of masked affine transforms, whose order of dimensions turns each time.

    .. math:: f(\varepsilon)_j = \varepsilon_j \exp s_j(\varepsilon_{<j}, h)
              + t_j(\varepsilon_{<j}, h)

    Arguments:
        features: The number of dimensions D.
        context: The size of the context h.
        n_transforms: How many are stacked.
        hidden: The sizes of the layers of each network.
        passes: In how many passes it is inverted: 2 makes coupling layers; None for D, fully
            autoregressive.

    Returns:
        A lazy transform of zuko's: called with h it returns the transform.

    References:
        Kingma et al., NeurIPS 2016 (inverse autoregressive flow); Papamakarios et al., NeurIPS
        2017 (masked autoregressive flow); Germain et al., ICML 2015 (masks).

    Example:
        >>> transform = masked_transforms(3)()
        >>> transform.inv(transform(torch.ones(5, 3))).shape
        torch.Size([5, 3])
    """
    validates = Distribution._validate_args
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform
    from zuko.lazy import LazyComposedTransform

    # Importing zuko switches validation off for the whole process, which is not its to decide.
    Distribution.set_default_validate_args(validates)
    orders = [torch.arange(features), torch.arange(features).flip(0)]
    transforms: list[nn.Module] = [
        MaskedAutoregressiveTransform(
            features,
            context,
            passes=passes,
            order=orders[number % 2],
            hidden_features=tuple(hidden),
            activation=nn.ELU,
        )
        for number in range(n_transforms)
    ]
    return LazyComposedTransform(*transforms)
