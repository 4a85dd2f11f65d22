r"""The discretized logistic: the default likelihood of grey levels.

.. math:: P(x) = \sigma\!\left(\frac{x + \delta - \mu}{s}\right) -
          \sigma\!\left(\frac{x - \delta - \mu}{s}\right), \qquad \mu, \log s^2 = \mathrm{head}(f)
"""

from collections.abc import Mapping
from math import log, pi
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from reparam import distributions
from reparam.families.family import Family, Shape, as_likelihood
from reparam.families.likelihoods import levels_of
from reparam.nn.heads import set_bias
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers

_LEAST_SCALE = 0.05
"""The floor of s in steps between levels, where one level has all the mass."""

_LARGEST_LOG_SCALE = 7.0
"""The ceiling of log s, in the scale of the data."""


@as_likelihood("discretized-logistic")
@numbers(levels=2)
class DiscretizedLogistic(Family):
    r"""A logistic distribution of each entry, discretized to grey levels k / (L - 1).

    log P(x | z) is the logarithm of a probability, so that it gives bits of the stored levels. Mean
    and scale are learned for each entry, in the location and scale of the data.

    Arguments:
        event_shape: The shape of the event.
        levels: L, the number of levels.

    Raises:
        OptionError: Fewer than two levels.

    References:
        Kingma et al., Improving variational inference with inverse autoregressive flow, NeurIPS
        2016, appendix C.
        Salimans et al., PixelCNN++, ICLR 2017, section 2.1.

    Example:
        >>> import torch
        >>> p = DiscretizedLogistic((3, 8, 8), 256).attach((400,))(torch.zeros(5, 400))
        >>> p.mean.shape, p.log_prob(p.sample()).shape
        (torch.Size([5, 3, 8, 8]), torch.Size([5]))
    """

    supports = ("unit",)
    starts_at_mean = True

    def __init__(self, event_shape: Shape, levels: int = 256) -> None:
        super().__init__(event_shape, 2)
        self.levels: int = levels

    @classmethod
    def for_data(cls, spec: DataSpec, options: Mapping[str, Any]) -> Family:
        """Create the likelihood of grey levels.

        Raises:
            SupportError: Continuous data.
        """
        return cls(spec.shape, levels_of(spec, "discretized-logistic"), **options)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the discretized logistic with mean μ and scale s of standardized entries."""
        loc, log_square = self.parameters_of(raw)
        scale = (0.5 * log_square).clamp(max=_LARGEST_LOG_SCALE).exp()
        if self.standardize is not None:
            loc = self.standardize.loc + self.standardize.scale * loc
            scale = self.standardize.scale * scale
        scale = scale + self.least_scale
        return self.independent(
            distributions.DiscretizedLogistic(loc, scale, self.levels, validate_args=False)
        )

    @property
    def least_scale(self) -> float:
        """The floor of s in the units of the data."""
        return _LEAST_SCALE / (self.levels - 1)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the mean itself, standardized where the data are."""
        return mean if self.standardize is None else self.standardize(mean)

    def start_variance_at(self, variance: Tensor) -> None:
        """Start at this variance, at least 1e-4 of that of the data."""
        set_bias(self._attached(), 1, self.log_variance(variance) - log(pi**2 / 3))
