r"""Invertible networks of normalizing flows, from the library zuko.

.. math:: f(\varepsilon)_j = \varepsilon_j \exp s_j(\varepsilon_{<j}, h) + t_j(\varepsilon_{<j}, h)
"""

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
    """Return a stack of masked affine transforms, each with the dimensions in reverse order.

    Arguments:
        features: The number of dimensions D.
        context: The size of the context h.
        n_transforms: The number of transforms.
        hidden: The sizes of the hidden layers of each network.
        passes: The number of passes of the inverse: 2 for coupling layers; None for D, fully
            autoregressive.

    Returns:
        A lazy transform of zuko, which returns the transform when it is called with h.

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

    # Importing zuko switches the validation of torch's distributions off: it is put back.
    Distribution.set_default_validate_args(validates)
    orders = [torch.arange(features), torch.arange(features).flip(0)]
    options = {"passes": passes, "hidden_features": tuple(hidden), "activation": nn.ELU}
    return LazyComposedTransform(
        *(
            MaskedAutoregressiveTransform(features, context, order=orders[number % 2], **options)
            for number in range(n_transforms)
        )
    )
