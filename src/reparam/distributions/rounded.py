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
from reparam.errors import SupportError

NARROW = 0.02
"""Below this width in σ, a density times the width differs from the mass of the cell by less than
a relative 2e-4 within three σ, and is computed instead."""

_LARGEST = 80.0
"""The largest argument of sinh: float32 holds no larger result."""


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

    def in_cells(self, width: Tensor) -> "RoundedNormal":
        """Return the Gaussians with cells of another width, which may depend on the value."""
        return RoundedNormal(self.loc, self.scale, width, self.origin, validate_args=False)

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


class RoundedMixture(Parametric):
    r"""Mixtures of a few Gaussians, whose values are rounded to cells of a known width.

    .. math:: P(x) = \sum_k \pi_k P_k(x), \qquad \pi = \mathrm{softmax}(\mathrm{logits})

    Each P_k is a ``RoundedNormal`` with the same cells.

    Arguments:
        loc: The means μ, with shape (\*, *event, K).
        scale: The scales σ, with the same shape.
        logits: The logits of the weights, with the same shape.
        width: See ``RoundedNormal``, with shape (\*, *event).
        origin: See ``RoundedNormal``.

    References:
        Bishop, Mixture density networks, 1994.

    Example:
        >>> two = torch.tensor([[-1.0, 1.0]])
        >>> p = RoundedMixture(two, torch.full((1, 2), 0.1), torch.zeros(1, 2), torch.zeros(1))
        >>> p.mean, p.variance
        (tensor([0.]), tensor([1.0100]))
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
        "logits": constraints.real_vector,
        "width": constraints.nonnegative,
        "origin": constraints.real,
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
        self.loc, self.scale, self.logits = loc, scale, logits
        self.width = width
        self.origin = torch.zeros_like(width) if origin is None else origin
        super().__init__(loc.shape[:-1], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers; discrete if every entry is rounded."""
        return _Rounded() if bool((self.width > 0).all()) else constraints.real

    @property
    def mean(self) -> Tensor:
        """Return Σ π μ."""
        return (self.logits.softmax(-1) * self.loc).sum(-1)

    @property
    def variance(self) -> Tensor:
        """Return the variance of the mixture, with that of rounding."""
        away = self.loc - self.mean.unsqueeze(-1)
        within = self.scale.square() + away.square()
        return (self.logits.softmax(-1) * within).sum(-1) + self.width.square() / 12

    def in_cells(self, width: Tensor) -> "RoundedMixture":
        """Return the mixtures with cells of another width, which may depend on the value."""
        given = (self.loc, self.scale, self.logits, width, self.origin)
        return RoundedMixture(*given, validate_args=False)

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass of each cell, or the log-density of each continuous entry."""
        width, origin = self.width.unsqueeze(-1), self.origin.unsqueeze(-1)
        parts = RoundedNormal(self.loc, self.scale, width, origin, validate_args=False)
        joint = self.logits + parts.log_prob(value.unsqueeze(-1))
        return joint.logsumexp(-1) - self.logits.logsumexp(-1)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, rounded to the middles of cells."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            n_parts = self.logits.shape[-1]
            # The largest of the logits with Gumbel noise is a draw from their softmax.
            noise = torch.rand(*shape, n_parts).to(self.logits)
            tiny = torch.finfo(noise.dtype).tiny
            part = (self.logits - (-noise.clamp(min=tiny).log()).log()).argmax(-1, keepdim=True)
            loc, scale = (
                each.expand(*shape, n_parts).gather(-1, part).squeeze(-1)
                for each in (self.loc, self.scale)
            )
            return rounded(torch.normal(loc, scale), self.width, self.origin)


class ContaminatedNormal(DeclaredDistribution):
    r"""Gaussians with a share of outliers, which are logistic around the mean of all data.

    .. math:: p(y) = (1 - \varepsilon)\, \mathcal N(y; \mu, \sigma^2)
              + \varepsilon\, \mathrm{Logistic}(y; 0, 1)

    Entries are standardized and may be rounded. A Gaussian whose σ depends on z can give one
    surprising value minus thousands of nats. Here it costs at most -log ε + |y|, and ε is learned.

    Arguments:
        normal: The Gaussians, or mixtures of a few, with shape (\*, *event).
        logits: The logits of ε, which broadcast with them.

    References:
        Tukey, A survey of sampling from contaminated distributions, 1960.

    Example:
        >>> normal = RoundedNormal(*torch.tensor([0.0, 0.01, 0.0]).split(1))
        >>> p = ContaminatedNormal(normal, torch.tensor([-4.0]))
        >>> p.log_prob(torch.tensor([5.0]))  # a Gaussian alone: -124,996 nats
        tensor([-9.0316])
    """

    def __init__(self, normal: RoundedNormal | RoundedMixture, logits: Tensor) -> None:
        self.normal, self.logits = normal, logits
        super().__init__(normal.batch_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers; discrete if every entry is rounded."""
        return self.normal.support

    @property
    def mean(self) -> Tensor:
        """Return (1 - ε) μ."""
        return self.logits.neg().sigmoid() * self.normal.mean

    @property
    def variance(self) -> Tensor:
        """Return the variance without outliers."""
        return self.normal.variance

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> "ContaminatedNormal":
        """Return the distribution over a larger batch."""
        return ContaminatedNormal(self.normal.expand(batch_shape), self.logits.expand(batch_shape))

    def in_cells(self, width: Tensor) -> "ContaminatedNormal":
        """Return the distribution with cells of another width, which may depend on the value."""
        return ContaminatedNormal(self.normal.in_cells(width), self.logits)

    def share_of_normal(self, value: Tensor) -> Tensor:
        """Return the probability that a value is of the Gaussians, and no outlier."""
        of_normal = logsigmoid(-self.logits) + self.normal.log_prob(value)
        return (of_normal - self.log_prob(value)).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass of each cell, or the log-density of each continuous entry."""
        width = self.normal.width
        half = torch.where(width > 0, 0.5 * width, 1.0)
        # σ(b) - σ(a) = σ(b) σ(-a) (1 - exp(a - b)): a product has no cancellation.
        mass = logsigmoid(value + half) + logsigmoid(half - value) + (-torch.expm1(-2 * half)).log()
        density = logsigmoid(value) + logsigmoid(-value)
        outlier = torch.where(width > 0, mass, density)
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
            outliers = rounded(
                torch.rand_like(draws).logit(eps=tiny), self.normal.width, self.normal.origin
            )
            return torch.where(is_outlier, outliers, draws)


class Standardized(DeclaredDistribution):
    r"""A distribution of standardized entries, in the units of the data.

    .. math:: T(x) = m + s \, y, \qquad \log p(x) = \log p(y) - \log s + \log T'(x)

    T is the identity, or for a heavy-tailed entry :math:`T(x) = a \operatorname{asinh}((x - o)/a)`,
    which is linear near o and logarithmic far from it. The mass of a rounded value has no unit, so
    that its entry has no Jacobian: T maps the ends of its cell.

    Arguments:
        base: The distribution of y, with independent entries; for rounded entries a
            ``RoundedNormal`` or ``ContaminatedNormal``.
        loc: m, which broadcasts with the batch of ``base``.
        scale: s, above zero.
        width: The width of the cells of rounded entries in the units of x; None for none.
        origin: o, for a rounded entry the middle of a cell, in the units of x.
        linear_width: a, in the units of x; 0 for entries that are not transformed, and None for
            none.

    References:
        Johnson, Systems of frequency curves generated by methods of translation, Biometrika 1949
        (the asinh of a Gaussian).

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
        linear_width: Tensor | None = None,
    ) -> None:
        self.base, self.loc, self.scale = base, loc, scale
        self.width, self.origin, self.linear_width = width, origin, linear_width
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The real numbers; discrete if every entry is rounded."""
        is_rounded = self.width is not None and bool((self.width > 0).all())
        return _Rounded() if is_rounded else constraints.real

    @property
    def mean(self) -> Tensor:
        """Return the mean in the units of the data; of transformed entries the median.

        A logistic share of outliers has no mean there if s ≥ a.
        """
        return self._in_units(self.base.mean)

    @property
    def variance(self) -> Tensor:
        """Return the variance in the units of the data; of transformed entries to first order."""
        variance = self.scale.square() * self.base.variance
        if self.linear_width is None or self.origin is None:
            return variance
        slope = asinh_slope(self.mean, self.origin, self.linear_width)
        return variance / slope.square()

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> "Standardized":
        """Return the distribution over a larger batch."""
        rest = (self.loc, self.scale, self.width, self.origin, self.linear_width)
        return Standardized(self.base.expand(batch_shape), *rest)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each entry in nats: of the units of the data where it is a density."""
        (y, base), log_unit = self.standardized(value), self.scale.log()
        if self.linear_width is not None and self.origin is not None:
            log_unit = log_unit - asinh_slope(value, self.origin, self.linear_width).log()
        if self.width is not None:
            log_unit = torch.where(self.width > 0, 0.0, log_unit)
        return base.log_prob(y) - log_unit

    def standardized(self, value: Tensor) -> tuple[Tensor, Distribution]:
        """Return standardized entries, and their distribution with the cells of these values."""
        base, y = self.base, value
        if self.linear_width is not None and self.origin is not None:
            if self.width is not None and isinstance(base, _CELLS):
                y, width = _compressed_cells(value, self.width, self.origin, self.linear_width)
                base = base.in_cells(width / self.scale)
            else:
                y = compressed(value, self.origin, self.linear_width)
        return (y - self.loc) / self.scale, base

    def log_masses(self, entry: int, edges: Tensor) -> Tensor:
        r"""Return the log-probabilities of intervals that touch, of one entry, with shape (\*, m).

        They are differences of a distribution function, from the side on which it is small. The
        entry is one of a ``RoundedNormal``, a ``RoundedMixture`` or a ``ContaminatedNormal``.

        Arguments:
            entry: The place of the entry on the last axis of the batch.
            edges: The ends of the intervals in ascending order, in the units of the data, with
                shape (\*, m + 1) for a batch of (\*).

        Example:
            >>> base = RoundedNormal(torch.zeros(1), torch.ones(1), torch.zeros(1))
            >>> p = Standardized(base, torch.zeros(1), torch.ones(1))
            >>> p.log_masses(0, torch.tensor([-0.5, 0.5, 2.0])).exp()
            tensor([0.3829, 0.2858])
        """
        if self.linear_width is not None and self.origin is not None:
            edges = compressed(edges, self.origin[..., entry], self.linear_width[..., entry])
        y = (edges - self.loc[..., entry]) / self.scale[..., entry]
        return (_masses(_entry(self.base, entry), y) + _TINY).log()

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws in the units of the data."""
        x = self._in_units(self.base.sample(sample_shape))
        if self.width is None or self.origin is None:
            return x
        return rounded(x, self.width, self.origin)  # exactly: the products above are rounded

    def _in_units(self, y: Tensor) -> Tensor:
        """Return standardized entries in the units of the data."""
        x = self.loc + self.scale * y
        if self.linear_width is None or self.origin is None:
            return x
        return expanded(x, self.origin, self.linear_width)


_CELLS = RoundedNormal | RoundedMixture | ContaminatedNormal


def _entry(base: Distribution, entry: int) -> "RoundedNormal | RoundedMixture | ContaminatedNormal":
    r"""Return the distribution of one entry, with batch shape (\*, 1).

    Arguments:
        base: The distribution of all entries, with batch shape (\*, n).
        entry: The place of the entry.
    """
    match base:
        case ContaminatedNormal(normal=normal, logits=logits):
            rest: RoundedNormal | RoundedMixture = _entry(normal, entry)  # type: ignore[assignment]
            return ContaminatedNormal(rest, logits[..., entry, None])
        case RoundedMixture():
            loc, scale, logits = (
                each[..., entry, None, :] for each in (base.loc, base.scale, base.logits)
            )
            width = base.width.new_zeros(1)
            return RoundedMixture(loc, scale, logits, width, validate_args=False)
        case RoundedNormal():
            loc, scale = (each[..., entry, None] for each in (base.loc, base.scale))
            return RoundedNormal(loc, scale, base.width.new_zeros(1), validate_args=False)
    raise SupportError(f"{type(base).__name__} has no probabilities of cells")


_TINY = 1e-30
"""A probability that float32 holds."""


def _masses(base: Distribution, y: Tensor) -> Tensor:
    """Return the probabilities of intervals between edges: see ``Standardized.log_masses``."""
    match base:
        case ContaminatedNormal(normal=normal, logits=logits):
            share = logits.sigmoid()
            outliers = _differences(y.sigmoid(), (-y).sigmoid())
            return (1 - share) * _masses(normal, y) + share * outliers
        case RoundedMixture():
            u = (y.unsqueeze(-1) - base.loc) / base.scale  # of edges and components
            left, right = (0.5 * torch.erfc(side * 0.5**0.5) for side in (-u, u))
            each = _differences(left.mT, right.mT)
            weights = base.logits.softmax(-1).squeeze(-2)
            return (weights.unsqueeze(-1) * each).sum(-2)
        case RoundedNormal():
            u = (y - base.loc) / base.scale
            return _differences(*(0.5 * torch.erfc(side * 0.5**0.5) for side in (-u, u)))
    raise SupportError(f"{type(base).__name__} has no probabilities of cells")


def _differences(below: Tensor, above: Tensor) -> Tensor:
    """Return the probabilities between edges, of those below and above each edge."""
    is_right = below[..., 1:] > 0.5
    return torch.where(is_right, above[..., :-1] - above[..., 1:], below.diff(dim=-1)).clamp(min=0)


def compressed(x: Tensor, origin: Tensor, linear_width: Tensor) -> Tensor:
    r"""Return :math:`a \operatorname{asinh}((x - o)/a)`, or x itself where a = 0.

    Arguments:
        x: Numbers, with shape (*, *event).
        origin: o, where the slope is 1.
        linear_width: a, the distance to o up to which the map is about linear; 0 for none.

    Example:
        >>> compressed(torch.tensor([0.1, 1e3, 1e6]), *torch.tensor([0.0, 1.0]))
        tensor([ 0.0998,  7.6009, 14.5087])
    """
    a = torch.where(linear_width > 0, linear_width, 1.0)
    return torch.where(linear_width > 0, a * ((x - origin) / a).asinh(), x)


def expanded(y: Tensor, origin: Tensor, linear_width: Tensor) -> Tensor:
    """Return the inverse of ``compressed``, whose largest values are finite."""
    a, largest = torch.where(linear_width > 0, linear_width, 1.0), torch.finfo(y.dtype).max
    x = origin + a * (y / a).clamp(-_LARGEST, _LARGEST).sinh()
    return torch.where(linear_width > 0, x.clamp(-largest, largest), y)


def asinh_slope(x: Tensor, origin: Tensor, linear_width: Tensor) -> Tensor:
    r"""Return the slope of ``compressed``, :math:`1 / \sqrt{1 + ((x - o)/a)^2}`, or 1."""
    a = torch.where(linear_width > 0, linear_width, 1.0)
    distance = torch.where(linear_width > 0, (x - origin) / a, 0.0)
    return 1 / torch.hypot(distance, torch.ones_like(distance))


def _compressed_cells(
    x: Tensor, width: Tensor, origin: Tensor, linear_width: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the middles and widths of the images of cells under ``compressed``."""
    is_bent = (linear_width > 0) & (width > 0)
    a, half = torch.where(linear_width > 0, linear_width, 1.0), 0.5 * width
    middle = 0.5 * sum(compressed(end, origin, linear_width) for end in (x - half, x + half))
    # asinh(v) - asinh(u) has no digits far from 0; it is log((v + √(1 + v²)) / (u + √(1 + u²))).
    distance, h = ((x - origin) / a).abs(), half / a
    u, v = distance - h, distance + h
    root_u, root_v = (torch.hypot(end, torch.ones_like(end)) for end in (u, v))
    ratio = 2 * h * (1 + 2 * distance / (root_u + root_v)) / (u + root_u)
    return torch.where(width > 0, middle, compressed(x, origin, linear_width)), torch.where(
        is_bent, a * ratio.log1p(), width
    )


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
    log_a, log_b = _log_ndtr(a), _log_ndtr(b)
    smallest = torch.finfo(low.dtype).eps
    return log_b + torch.log(-torch.expm1((log_a - log_b).clamp(max=-smallest)))


def _log_ndtr(x: Tensor) -> Tensor:
    r"""Return log Φ(x), with a gradient that is accurate far in the left tail.

    .. math:: \log \Phi(x) = -\tfrac12 x^2
              + \log \bigl[\tfrac12 \operatorname{erfcx}(-x / \sqrt 2)\bigr]

    The gradient of torch's function is the exponential of a difference of two numbers of the size
    of x², which overflows in float32 for x below about -1000.
    """
    left, right = x.clamp(max=0) * 0.5**0.5, x.clamp(min=0) * 0.5**0.5
    tail = (0.5 * torch.special.erfcx(-left)).log() - left.square()
    return torch.where(x < 0, tail, torch.log1p(-0.5 * torch.special.erfc(right)))
