"""A mixture of discretized logistics over grey levels."""

from collections.abc import Mapping
from math import ceil, log
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.distributions import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixtureDistribution,
)
from reparam.errors import ShapeError
from reparam.families.family import Family, Shape, as_likelihood
from reparam.families.likelihoods import levels_of
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers


@as_likelihood("logistic-mixture")
@numbers(levels=2, n_components=1)
class DiscretizedLogisticMixture(Family):
    r"""A mixture of logistics over grey levels k / (L - 1), for images of any number of channels.

    The channels of a pixel share the component, and the mean of each is linear in the channels
    before it. With raw parameters of zero every component is a logistic of scale ½ at mid-grey.

    Arguments:
        event_shape: The shape of the event, (channels, height, width).
        levels: L, the number of levels.
        n_components: K. A pixel of C channels takes K (1 + 2C + C (C - 1) / 2) numbers.

    Raises:
        OptionError: Fewer than two levels, or no component.
        ShapeError: An event that is not an image.

    References:
        Salimans et al., PixelCNN++, ICLR 2017, section 2.1 and 2.2.

    Example:
        >>> p = DiscretizedLogisticMixture((3, 8, 8), 256).attach((400,))(torch.zeros(5, 400))
        >>> p.mean.shape
        torch.Size([5, 3, 8, 8])
    """

    supports = ("unit",)

    def __init__(self, event_shape: Shape, levels: int, n_components: int = 5) -> None:
        super().__init__(event_shape, 1)
        if len(self.event_shape) != 3:
            raise ShapeError(
                f"DiscretizedLogisticMixture over events of shape {tuple(self.event_shape)}: "
                "its events are images (channels, height, width); use QuantizedGray for others"
            )
        self.levels, self.n_components = levels, n_components
        c, k = self.event_shape[0], n_components
        self._parts = [k, k * c, k * c, k * c * (c - 1) // 2]
        # The head gives every channel the same number of outputs; the first ones are used.
        self.raw_shape = torch.Size([ceil(sum(self._parts) / c), *self.event_shape])

    @classmethod
    def for_data(cls, spec: DataSpec, options: Mapping[str, Any]) -> Family:
        """Create the likelihood of images with grey levels.

        Raises:
            SupportError: Continuous data.
        """
        return cls(spec.shape, levels_of(spec, "logistic-mixture"), **options)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the mixture, with the means and scales as in the paper on pixels in [-1, 1]."""
        of_pixel = raw.flatten(-4, -3)[..., : sum(self._parts), :, :]
        logits, loc, log_scale, coefficients = of_pixel.split(self._parts, dim=-3)
        n_channels = self.event_shape[0]
        return DiscretizedLogisticMixtureDistribution(
            logits,
            0.5 + 0.5 * loc.unflatten(-3, (-1, n_channels)),
            log_scale.unflatten(-3, (-1, n_channels)).clamp(min=-7) - log(2),
            coefficients.tanh().unflatten(-3, (logits.shape[-3], -1)) if n_channels > 1 else None,
            cast(int, self.levels),
            validate_args=False,
        )
