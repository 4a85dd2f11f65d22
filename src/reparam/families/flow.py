"""A Gaussian transformed by autoregressive or coupling layers."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Distribution, Normal

from reparam.distributions import Flow as FlowDistribution
from reparam.families.family import Family, Shape, as_posterior, one_axis
from reparam.nn.flows import masked_transforms
from reparam.utils.arguments import numbers


@as_posterior("coupling", passes=2)
@as_posterior("iaf")
@numbers(n_transforms=1, passes=1)
class Flow(Family):
    r"""A Gaussian pushed through masked affine transforms: any covariance, any number of modes.

    .. math:: z = f_h(\mu + \sigma \varepsilon), \qquad \mu, \log \sigma^2, h = \mathrm{head}(f)

    With autoregressive transforms this is the inverse autoregressive flow: draws and their
    densities take one pass, the density of any other z takes D passes.

    Arguments:
        event_shape: The number of dimensions D.
        n_transforms: How many transforms are stacked.
        hidden: The sizes of the layers of each transform's network.
        passes: The number of passes that the density of any z takes: 2 for coupling layers, None
            for D.

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
    factorizes = False

    def __init__(
        self,
        event_shape: Shape,
        n_transforms: int = 2,
        hidden: Sequence[int] = (128,),
        passes: int | None = None,
    ) -> None:
        super().__init__(event_shape, 3)
        n = one_axis(self)
        self.transforms = masked_transforms(n, n, n_transforms, hidden, passes)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the flow of a Gaussian; raw parameters are μ, log σ² and the flow's context."""
        loc, log_variance, context = self.parameters_of(raw)
        noise = self.independent(Normal(loc, (0.5 * log_variance).exp(), validate_args=False))
        return FlowDistribution(noise, self.transforms(context))
