"""A Gaussian that autoregressive or coupling transforms bend."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Distribution, Normal

from reparam.distributions import Flow as FlowDistribution
from reparam.errors import ShapeError
from reparam.families.family import Family, Shape
from reparam.nn.flows import masked_transforms
from reparam.utils.arguments import numbers


@numbers(n_transforms=1, passes=1)
class Flow(Family):
    r"""A Gaussian pushed through masked affine transforms: any covariance, any number of modes.

    .. math:: z = f_h(\mu + \sigma \varepsilon), \qquad \mu, \log \sigma^2, h = \mathrm{head}(f)

    Fully autoregressive, this is the inverse autoregressive flow: draws and their densities take
    one pass, the density of any other z takes D.

    Arguments:
        event_shape: The number of dimensions D.
        n_transforms: How many transforms are stacked.
        hidden: The sizes of the layers of each transform's network.
        passes: In how many passes any z is scored: 2 makes coupling layers, None for D.

    Raises:
        ShapeError: An event with more than one axis.

    References:
        Kingma et al., Improved variational inference with inverse autoregressive flow, NeurIPS
        2016, algorithm 1.

    Example:
        >>> import torch
        >>> q = Flow(20).attach((400,))(torch.zeros(5, 400))
        >>> q.rsample((3,)).shape
        torch.Size([3, 5, 20])
    """

    supports = ("real",)

    def __init__(
        self,
        event_shape: Shape,
        n_transforms: int = 2,
        hidden: Sequence[int] = (128,),
        passes: int | None = None,
    ) -> None:
        super().__init__(event_shape, 3)
        if len(self.event_shape) != 1:
            raise ShapeError(
                f"Flow over an event of shape {tuple(self.event_shape)}: the event must have one "
                "axis; use Gaussian for images"
            )
        (n,) = self.event_shape
        self.transforms = masked_transforms(n, n, n_transforms, hidden, passes)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Gaussian with the first two raw parameters, through the flow of the third."""
        loc, log_variance, context = self.parameters_of(raw)
        noise = self.independent(Normal(loc, (0.5 * log_variance).exp(), validate_args=False))
        return FlowDistribution(noise, self.transforms(context))
