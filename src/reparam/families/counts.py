"""Likelihoods of counts: the Poisson, and negative binomials with a larger variance.

A raw parameter is the logarithm of a mean, and the encoder reads log(1 + x), because counts differ
by factors. Given the total of a row, its library size, the means are shares of it.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus

from reparam import distributions
from reparam.errors import OptionError, unknown
from reparam.families.family import Family, Shape, as_likelihood
from reparam.utils.arguments import numbers

# The logarithm of three million. Larger raw parameters are compressed.
_LIMIT = 15.0

Dispersion = Literal["entry", "learned"]
"""The variables that θ depends on."""


LibrarySize = Literal["observed"]
"""Where the total of a row comes from, if it is given."""

N_TOTALS = 1000
"""The number of totals of training examples that a family holds: evenly spaced quantiles."""

_RARE = -4.0
"""The logit of an additional zero where the features are zero: a probability of 2 %."""


class Counts(Family):
    r"""Abstract: a family whose first raw parameter r describes each entry's mean μ.

    .. math:: \mu_d = e^{r_d}, \qquad
              \text{or, given the total } l, \quad \mu_d = l\, \frac{e^{r_d}}{\sum_k e^{r_k}}

    Given the total, log p(x | z) is that of x given its own total, which the model does not
    explain: it is comparable with other likelihoods given the total only, is no normalized
    likelihood of x, and draws have totals of the training data.

    Arguments:
        event_shape: The shape of the event.
        n_raw: The number of raw parameters of each entry.
        library_size: ``observed`` for means that are shares of the total of the row; None for means
            that depend on z alone.

    Raises:
        OptionError: Another library size, or the total of a single entry.
    """

    supports = ("counts",)
    starts_at_mean = True
    exact_head = True

    def __init__(self, event_shape: Shape, n_raw: int, library_size: LibrarySize | None) -> None:
        if library_size is not None and library_size not in get_args(LibrarySize):
            raise unknown("library_size", str(library_size), get_args(LibrarySize))
        super().__init__(event_shape, n_raw)
        if library_size is not None and self.event_shape.numel() < 2:
            raise OptionError(
                f"library_size={library_size!r}: an event of shape {tuple(self.event_shape)} is "
                "its own total, so that nothing is left to describe: leave it at None"
            )
        self.library_size = library_size
        self.totals: Tensor | None
        self.register_buffer("totals", None if library_size is None else torch.ones(N_TOTALS))

    @abstractmethod
    def counts(self, log_mean: Tensor, rest: Sequence[Tensor]) -> Distribution:
        r"""Return the distributions of single counts.

        Arguments:
            log_mean: log μ, with shape (\*, *event).
            rest: The raw parameters after the first, with the same shape.
        """

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distribution of counts with these raw parameters."""
        first, *rest = self.parameters_of(raw)
        log_mean, counts = compressed(first), partial(self.counts, rest=rest)
        if self.totals is None:
            return self.independent(counts(log_mean))
        axes = tuple(range(-len(self.event_shape), 0))
        log_share = log_mean - log_mean.logsumexp(axes, keepdim=True)
        return distributions.GivenTotal(log_share, self.totals, counts, len(axes))

    def start_totals(self, x: Tensor) -> None:
        """Keep the totals of training examples, from which those of draws are taken.

        Arguments:
            x: The examples, with shape (N, *event).
        """
        if self.totals is not None:
            found = x.double().flatten(1).sum(1)
            places = torch.linspace(0, 1, len(self.totals), dtype=torch.float64).to(found)
            self.totals.copy_(found.quantile(places))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the raw parameter of a mean, the inverse of ``compressed``; at least log 0.001.

        >>> compressed(Poisson(2).raw_of_mean(torch.tensor([0.5, 1e9]))).exp()
        tensor([5.0000e-01, 1.0000e+09])
        """
        log_mean = mean.clamp(min=1e-3).log()
        over = (log_mean - _LIMIT).clamp(min=0)
        return log_mean.clamp(max=_LIMIT) + over.expm1()

    def transformed(self, x: Tensor) -> Tensor:
        """Return log(1 + x), with negative values, as of noise on small counts, set to 0."""
        return x.clamp(min=0).log1p()


def compressed(raw: Tensor) -> Tensor:
    r"""Return raw parameters compressed to logarithms whose exponentials are finite.

    The gradient is above zero everywhere.

    .. math:: f(r) = r \text{ for } |r| \le 15, \qquad
              f(r) = \pm (15 + \log(1 + |r| - 15)) \text{ beyond}

    >>> compressed(torch.tensor([3.0, -1e6]))
    tensor([  3.0000, -28.8155])
    """
    over = (raw.abs() - _LIMIT).clamp(min=0)
    return raw.clamp(-_LIMIT, _LIMIT) + raw.sign() * over.log1p()


@as_likelihood("poisson-given-total", library_size="observed")
@as_likelihood("poisson")
class Poisson(Counts):
    r"""Independent Poisson counts.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d - \mu_d - \log x_d!

    A raw parameter is log μ; large ones are compressed so that μ does not overflow.

    Arguments:
        event_shape: The shape of the event.
        library_size: ``observed`` for p(x | l) given the total l of the row: see ``Counts``.

    Example:
        >>> p = Poisson(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    def __init__(self, event_shape: Shape, library_size: LibrarySize | None = None) -> None:
        super().__init__(event_shape, 1, library_size)

    def counts(self, log_mean: Tensor, rest: Sequence[Tensor]) -> Distribution:
        """Return the Poisson with these logarithms of rates."""
        return distributions.Poisson(log_mean, validate_args=False)


@as_likelihood("zinb-given-total", zero_inflated=True, library_size="observed")
@as_likelihood("zinb", zero_inflated=True)
@as_likelihood("negative-binomial-given-total", library_size="observed")
@as_likelihood("negative-binomial")
@numbers()
class NegativeBinomial(Counts):
    r"""Independent negative binomials, by their mean μ and inverse dispersion θ.

    .. math:: \mathrm{Var}[x_d] = \mu_d + \mu_d^2 / \theta_d

    Zero-inflated, an entry is 0 with a further probability π that depends on the features:

    .. math:: p(x_d) = \pi_d\, 1[x_d = 0] + (1 - \pi_d)\, \mathrm{NB}(x_d; \mu_d / (1 - \pi_d))

    μ is the mean with these zeros. Raw parameters are log μ, log θ and the logit of π; large ones
    are compressed so that nothing overflows.

    Arguments:
        event_shape: The shape of the event.
        dispersion: ``entry``: θ is one learned number for each entry of the event.
            ``learned``: θ depends on the features of each example, as μ does.
        library_size: ``observed`` for p(x | l) given the total l of the row: see ``Counts``.
        zero_inflated: Whether there are further zeros.

    Raises:
        OptionError: A dispersion that is neither, or another library size.

    References:
        Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 2018,
        where the mean of the negative binomial itself is the parameter.

    Example:
        >>> p = NegativeBinomial(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 2.0)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        event_shape: Shape,
        dispersion: Dispersion = "entry",
        library_size: LibrarySize | None = None,
        zero_inflated: bool = False,
    ) -> None:
        if dispersion not in get_args(Dispersion):
            raise unknown("dispersion", str(dispersion), get_args(Dispersion))
        n_raw = 1 + (dispersion == "learned") + zero_inflated
        super().__init__(event_shape, n_raw, library_size)
        self.dispersion, self.zero_inflated = dispersion, zero_inflated
        if dispersion == "entry":
            self.log_inverse_dispersion = nn.Parameter(torch.zeros(self.event_shape))

    def counts(self, log_mean: Tensor, rest: Sequence[Tensor]) -> Distribution:
        """Return the negative binomial with these logarithms of means, or its mixture with 0."""
        is_shared = self.dispersion == "entry"
        log_theta = compressed(self.log_inverse_dispersion.to(log_mean) if is_shared else rest[0])
        if not self.zero_inflated:
            return distributions.NegativeBinomial(log_mean, log_theta, validate_args=False)
        logits = compressed(rest[-1]) + _RARE
        # -log(1 - π) = softplus(logit of π)
        others = distributions.NegativeBinomial(
            log_mean + softplus(logits), log_theta, validate_args=False
        )
        return distributions.Spiked(
            others, logits, torch.zeros_like(logits), torch.ones_like(logits)
        )
