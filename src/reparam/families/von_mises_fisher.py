"""The von Mises–Fisher distribution on the unit sphere."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.distributions import VonMisesFisher as VonMisesFisherDistribution
from reparam.errors import OptionError
from reparam.families.family import Family, Shape, as_posterior, check_word_or_positive, one_axis
from reparam.utils.arguments import numbers


@as_posterior("von-mises-fisher")
@numbers()
class VonMisesFisher(Family):
    r"""The von Mises–Fisher distribution, the counterpart of the Gaussian on the unit sphere.

    .. math:: q(z) \propto \exp(\kappa\, \mu^\top z), \quad \|z\| = 1

    Arguments:
        event_shape: The number of coordinates D; the sphere has one dimension fewer.
        concentration: κ: ``learned``, from the features of each example, or a fixed number.

    Raises:
        OptionError: Fewer than two coordinates, or a κ that is not positive.
        ShapeError: An event with more than one axis.

    References:
        Davidson et al., Hyperspherical variational auto-encoders, UAI 2018, eq. 4.

    Example:
        >>> q = VonMisesFisher(11).attach((400,))(torch.randn(5, 400))
        >>> q.rsample().norm(dim=-1).allclose(torch.ones(5))
        True
    """

    space = "the unit sphere"
    factorizes = False

    def __init__(self, event_shape: Shape, concentration: float | str = "learned") -> None:
        super().__init__(event_shape, 1)
        n = one_axis(self)
        if n < 2:
            raise OptionError(f"latent_dim={n}: a sphere needs at least two coordinates")
        check_word_or_positive("concentration", concentration, ["learned"])
        self.concentration = concentration
        self.raw_shape = torch.Size([n + (concentration == "learned")])

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distribution about the direction of the first D raw parameters."""
        (n,) = self.event_shape
        loc = nn.functional.normalize(raw[..., :n], dim=-1)
        if self.concentration == "learned":
            # κ above one: below it the direction of a draw is close to uniform.
            concentration = nn.functional.softplus(raw[..., n]) + 1.0
        else:
            concentration = raw.new_full(raw.shape[:-1], float(self.concentration))
        return VonMisesFisherDistribution(loc, concentration)
