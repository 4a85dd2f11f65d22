"""The negative binomial, for counts whose variance is above their mean."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.distributions import NegativeBinomial as NegativeBinomialDistribution
from reparam.errors import unknown
from reparam.families.family import Family, Shape, as_likelihood
from reparam.families.poisson import compressed, raw_of_count

Dispersion = Literal["entry", "learned"]
"""What θ depends on."""


@as_likelihood("negative-binomial")
class NegativeBinomial(Family):
    r"""Independent negative binomials, by their mean μ and inverse dispersion θ.

    .. math:: \mathrm{Var}[x_d] = \mu_d + \mu_d^2 / \theta_d

    Raw parameters are log μ and log θ; large ones are compressed so that nothing overflows. The
    encoder reads log(1 + x), because counts differ by factors.

    Arguments:
        event_shape: The shape of the event.
        dispersion: What θ depends on. ``entry``: one learned number for each entry of the event.
            ``learned``: the features of each example, as μ does.

    Raises:
        OptionError: A dispersion that is neither.

    References:
        Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 2018.

    Example:
        >>> p = NegativeBinomial(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    supports = ("counts",)
    starts_at_mean = True
    exact_head = True

    def __init__(self, event_shape: Shape, dispersion: Dispersion = "entry") -> None:
        if dispersion not in get_args(Dispersion):
            raise unknown("dispersion", str(dispersion), get_args(Dispersion))
        super().__init__(event_shape, 1 if dispersion == "entry" else 2)
        self.dispersion = dispersion
        if dispersion == "entry":
            self.log_inverse_dispersion = nn.Parameter(torch.zeros(self.event_shape))

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the negative binomial with these logarithms of means."""
        log_mean, *rest = self.parameters_of(raw)
        log_theta = rest[0] if rest else self.log_inverse_dispersion.to(raw)
        return self.independent(
            NegativeBinomialDistribution(
                compressed(log_mean), compressed(log_theta), validate_args=False
            )
        )

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logarithm of the mean."""
        return raw_of_count(mean)

    def as_input(self, x: Tensor) -> Tensor:
        """Return log(1 + x), with negative values, as of noise on small counts, set to 0."""
        return x.clamp(min=0).log1p()
