r"""Distributions of the entries of a table: rounded values, outliers, and other units.

Measured values are rounded: to a millimeter, to a dollar, to two decimals. A density over values
that repeat can be made as large as one likes. The probability of the cell of all numbers that are
rounded to the value cannot exceed one.

.. math:: P(x) = \Phi\Bigl(\frac{x + w/2 - \mu}{\sigma}\Bigr)
          - \Phi\Bigl(\frac{x - w/2 - \mu}{\sigma}\Bigr)
"""

from math import log, pi

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution, Parametric

NARROW = 0.02
"""Below this width in σ, a density times the width differs from the mass of the cell by less than
a relative 2e-4 within three σ, and is computed instead."""


class _Rounded(constraints.Constraint):
    """The real numbers as measured, each to the width of its cell."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite()


class RoundedNormal(Parametric):
    r"""Gaussians whose values are rounded to cells of a known width.

    .. math:: \log P(x) = \log \Bigl[\Phi\Bigl(\frac{x + w/2 - \mu}{\sigma}\Bigr)
              - \Phi\Bigl(\frac{x - w/2 - \mu}{\sigma}\Bigr)\Bigr] \quad (w > 0), \qquad
              \log p(x) = \log \mathcal N(x; \mu, \sigma^2) \quad (w = 0)

    Entries of width 0 are continuous and have a density.

    Arguments:
        loc: μ, with shape (\*, *event).
        scale: σ, with the same shape.
        width: w, the width of the cells; 0 for continuous entries.
        origin: The middle of one cell, which draws are rounded to; 0 when None.

    References:
        Heitjan, Inference from grouped continuous data, Statistical Science 1989.

    Example:
        >>> p = RoundedNormal(torch.zeros(2), torch.ones(2), torch.tensor([1.0, 0.0]))
        >>> p.log_prob(torch.zeros(2)).exp()  # Φ(½) - Φ(-½), and the density at 0
        tensor([0.3829, 0.3989])
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
        "width": constraints.nonnegative,
        "origin": constraints.real,
    }

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        width: Tensor,
        origin: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.width = width
        self.origin = torch.zeros_like(width) if origin is None else origin
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers; discrete if every entry is rounded, so that ``log_prob`` is of masses."""
        return _Rounded() if bool((self.width > 0).all()) else constraints.real

    @property
    def mean(self) -> Tensor:
        """Return μ, which rounding changes by less than half a cell."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Return σ² + w²/12, the variance of the rounded values (Sheppard)."""
        return self.scale.square() + self.width.square() / 12

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass of each cell, or the log-density of each continuous entry."""
        distance, cell = (value - self.loc) / self.scale, self.width / self.scale
        density = -0.5 * distance.square() - self.scale.log() - 0.5 * log(2 * pi)
        is_wide = cell > NARROW
        # Both branches are differentiated: the other entries get values without NaN.
        half = torch.where(is_wide, 0.5 * cell, 1.0)
        middle = torch.where(is_wide, distance, 0.0)
        mass = _log_mass(middle - half, middle + half)
        log_width = torch.where(self.width > 0, self.width, 1.0).log()
        return torch.where(is_wide, mass, density + log_width)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, rounded to the middles of cells."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            draws = torch.normal(self.loc.expand(shape), self.scale.expand(shape))
            return rounded(draws, self.width, self.origin)


class ContaminatedNormal(Parametric):
    r"""Gaussians with a share of outliers, which are logistic around the mean of all data.

    .. math:: p(y) = (1 - \varepsilon)\, \mathcal N(y; \mu, \sigma^2)
              + \varepsilon\, \mathrm{Logistic}(y; 0, 1)

    Entries are standardized and may be rounded, as those of ``RoundedNormal``. A Gaussian whose σ
    depends on z can give one surprising value minus thousands of nats. Here it costs at most
    -log ε + |y|, and ε is learned.

    Arguments:
        loc: μ, with shape (\*, *event).
        scale: σ, with the same shape.
        logits: The logits of ε, which broadcast with μ.
        width: The width of the cells of rounded entries; 0 for continuous entries.
        origin: See ``RoundedNormal``.

    References:
        Tukey, A survey of sampling from contaminated distributions, 1960.

    Example:
        >>> p = ContaminatedNormal(*torch.tensor([0.0, 0.01, -4.0, 0.0]).split(1))
        >>> p.log_prob(torch.tensor([5.0]))  # a Gaussian alone: -124,996 nats
        tensor([-9.0316])
    """

    arg_constraints = {  # noqa: RUF012
        **RoundedNormal.arg_constraints,
        "logits": constraints.real,
    }

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        logits: Tensor,
        width: Tensor,
        origin: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.normal = RoundedNormal(loc, scale, width, origin, validate_args=False)
        self.loc, self.scale = self.normal.loc, self.normal.scale
        self.width, self.origin, self.logits = width, self.normal.origin, logits
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers; discrete if every entry is rounded."""
        return self.normal.support

    @property
    def mean(self) -> Tensor:
        """Return (1 - ε) μ."""
        return self.logits.neg().sigmoid() * self.loc

    @property
    def variance(self) -> Tensor:
        """Return the variance of the Gaussian without outliers."""
        return self.normal.variance

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass of each cell, or the log-density of each continuous entry."""
        half = torch.where(self.width > 0, 0.5 * self.width, 1.0)
        # σ(b) - σ(a) = σ(b) σ(-a) (1 - exp(a - b)): a product has no cancellation.
        mass = logsigmoid(value + half) + logsigmoid(half - value) + (-torch.expm1(-2 * half)).log()
        density = logsigmoid(value) + logsigmoid(-value)
        outlier = torch.where(self.width > 0, mass, density)
        return torch.logaddexp(
            logsigmoid(-self.logits) + self.normal.log_prob(value),
            logsigmoid(self.logits) + outlier,
        )

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, rounded to the middles of cells."""
        draws = self.normal.sample(sample_shape)
        with torch.no_grad():
            is_outlier = torch.rand_like(draws) < self.logits.sigmoid()
            tiny = torch.finfo(draws.dtype).tiny
            outliers = torch.rand_like(draws).logit(eps=tiny)
            return torch.where(is_outlier, rounded(outliers, self.width, self.origin), draws)


class Standardized(DeclaredDistribution):
    r"""A distribution of standardized entries, in the units of the data.

    .. math:: x = m + s \, y, \qquad \log p(x) = \log p(y) - \log s

    The mass of a rounded value has no unit, so that its entry has no Jacobian.

    Arguments:
        base: The distribution of y, with independent entries.
        loc: m, which broadcasts with the batch of ``base``.
        scale: s, above zero.
        width: The width of the cells of rounded entries in the units of x; None for none.
        origin: The middle of one cell of each entry in the units of x.

    Example:
        >>> from torch.distributions import Normal
        >>> p = Standardized(Normal(torch.zeros(1), 1.0), torch.tensor([5.0]), torch.tensor([2.0]))
        >>> p.mean, p.stddev, p.log_prob(torch.tensor([5.0]))
        (tensor([5.]), tensor([2.]), tensor([-1.6121]))
    """

    def __init__(
        self,
        base: Distribution,
        loc: Tensor,
        scale: Tensor,
        width: Tensor | None = None,
        origin: Tensor | None = None,
    ) -> None:
        self.base, self.loc, self.scale = base, loc, scale
        self.width, self.origin = width, origin
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The support of the standardized entries: the real numbers, or rounded ones."""
        return self.base.support  # type: ignore[return-value]

    @property
    def mean(self) -> Tensor:
        """Return the mean in the units of the data."""
        return self.loc + self.scale * self.base.mean

    @property
    def variance(self) -> Tensor:
        """Return the variance in the units of the data."""
        return self.scale.square() * self.base.variance

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> "Standardized":
        """Return the distribution over a larger batch."""
        base = self.base.expand(batch_shape)
        return Standardized(base, self.loc, self.scale, self.width, self.origin)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each entry in nats: of the units of the data where it is a density."""
        log_scale = self.scale.log()
        if self.width is not None:
            log_scale = torch.where(self.width > 0, 0.0, log_scale)
        return self.base.log_prob((value - self.loc) / self.scale) - log_scale

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws in the units of the data."""
        x = self.loc + self.scale * self.base.sample(sample_shape)
        if self.width is None or self.origin is None:
            return x
        return rounded(x, self.width, self.origin)  # exactly: the products above are rounded


def rounded(x: Tensor, width: Tensor, origin: Tensor) -> Tensor:
    """Return x rounded to the middles of cells.

    Arguments:
        x: Numbers, with shape (*, *event).
        width: The width of the cells of each entry; 0 for continuous entries.
        origin: The middle of one cell.

    Example:
        >>> rounded(torch.tensor([2.3, 2.3]), torch.tensor([0.5, 0.0]), torch.tensor([1.0, 1.0]))
        tensor([2.5000, 2.3000])
    """
    step = torch.where(width > 0, width, 1.0)
    return torch.where(width > 0, origin + ((x - origin) / step).round() * step, x)


def _log_mass(low: Tensor, high: Tensor) -> Tensor:
    """Return log(Φ(high) - Φ(low)), without cancellation in either tail."""
    # Φ(b) - Φ(a) = Φ(-a) - Φ(-b): the tail on the left has the relative precision.
    is_right = low + high > 0
    a, b = torch.where(is_right, -high, low), torch.where(is_right, -low, high)
    log_a, log_b = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    smallest = torch.finfo(low.dtype).eps
    return log_b + torch.log(-torch.expm1((log_a - log_b).clamp(max=-smallest)))
