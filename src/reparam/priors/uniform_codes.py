"""The uniform prior over one-hot codes."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from reparam.distributions import OneHotCodes
from reparam.distributions.codes import code_shape
from reparam.priors.prior import Prior, Setting, as_prior
from reparam.utils.arguments import numbers


@as_prior("uniform-codes")
@numbers(n_variables=1, n_classes=1)
class UniformCodes(Prior):
    r"""N one-hot codes of K classes each, all equally likely.

    .. math:: \log p(z) = -N \log K

    Arguments:
        n_variables: N.
        n_classes: K.

    Raises:
        OptionError: A size below one.

    Example:
        >>> round(UniformCodes(32, 10)().log_prob(torch.eye(10)[0].repeat(32)).item(), 2)
        -73.68
    """

    space = "one-hot codes"

    def __init__(self, n_variables: int, n_classes: int) -> None:
        super().__init__()
        self.latent_dim = n_variables * n_classes
        self.logits: Tensor
        self.register_buffer("logits", torch.zeros(n_variables, n_classes), persistent=False)

    @classmethod
    def for_model(cls, setting: Setting, options: Mapping[str, Any]) -> Self:
        """Create the prior over codes that fill the latent dimensions of a model."""
        return cls(*code_shape(setting.latent_dim, options.get("n_classes")))

    def forward(self, c: Tensor | None = None) -> OneHotCodes:
        """Return p(z); a condition is ignored."""
        return OneHotCodes(self.logits)
