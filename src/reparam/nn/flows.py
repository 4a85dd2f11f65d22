r"""Invertible networks of normalizing flows, from the library zuko.

.. math:: f(\varepsilon)_j = \varepsilon_j \exp s_j(\varepsilon_{<j}, h) + t_j(\varepsilon_{<j}, h)

or, in place of the affine map, a monotone spline with parameters of the same network.
"""

from collections.abc import Iterator, Sequence
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
    bins: int = 0,
) -> Any:
    """Return a stack of masked transforms, each with the dimensions in reverse order.

    Arguments:
        features: The number of dimensions D.
        context: The size of the context h.
        n_transforms: The number of transforms.
        hidden: The sizes of the hidden layers of each network.
        passes: The number of passes of the inverse: 2 for coupling layers; None for D, fully
            autoregressive.
        bins: The number of bins of a rational-quadratic spline on [-5, 5], which starts at the
            identity; 0 for an affine transform.

    Returns:
        A lazy transform of zuko, which returns the transform when it is called with h.

    References:
        Kingma et al., NeurIPS 2016 (inverse autoregressive flow); Papamakarios et al., NeurIPS
        2017 (masked autoregressive flow); Germain et al., ICML 2015 (masks); Durkan et al., NeurIPS
        2019 (splines).

    Example:
        >>> transform = masked_transforms(3)()
        >>> transform.inv(transform(torch.ones(5, 3))).shape
        torch.Size([5, 3])
    """
    validates = Distribution._validate_args
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform
    from zuko.lazy import LazyComposedTransform
    from zuko.transforms import MonotonicRQSTransform

    # Importing zuko switches the validation of torch's distributions off: it is put back.
    Distribution.set_default_validate_args(validates)
    orders = [torch.arange(features), torch.arange(features).flip(0)]
    options: dict[str, Any] = {"passes": passes, "hidden_features": tuple(hidden)}
    options["activation"] = nn.ELU
    if bins:
        options |= {"univariate": MonotonicRQSTransform, "shapes": [(bins,), (bins,), (bins - 1,)]}
    transforms = [
        MaskedAutoregressiveTransform(features, context, order=orders[number % 2], **options)
        for number in range(n_transforms)
    ]
    if bins:
        for parameter in (p for t in transforms for p in _last_layer(t)):
            nn.init.zeros_(parameter)
    return LazyComposedTransform(*transforms)


def _last_layer(transform: nn.Module) -> Iterator[nn.Parameter]:
    """Return the parameters of the last layer of a transform's network."""
    layers = [module for module in transform.modules() if isinstance(module, nn.Linear)]
    return layers[-1].parameters() if layers else transform.parameters()
