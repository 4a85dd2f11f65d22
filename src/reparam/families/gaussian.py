"""Gaussians, with a diagonal and with a full covariance matrix."""

from collections.abc import Sequence
from math import inf, log, prod
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from reparam.distributions import (
    ContaminatedNormal,
    OptimalNormal,
    RoundedMixture,
    RoundedNormal,
    Spiked,
    Standardized,
    TriangularNormal,
)
from reparam.errors import OptionError
from reparam.families.family import (
    Family,
    Shape,
    as_likelihood,
    as_posterior,
    check_word_or_positive,
    one_axis,
)
from reparam.nn.heads import drop_weights, set_bias, set_linear
from reparam.utils.arguments import numbers

# A thousandth of a standard deviation. Without a floor the density of a value that repeats has no
# upper bound.
_FLOOR = 1 / 1024

# The floor of rounded entries, in widths of a cell: their mass is bounded, and a smaller σ does not
# change it.
_FLOOR_IN_CELLS, _LEAST_FLOOR = 0.05, 1e-5

_NO_OUTLIERS = 1e-6
"""The share of outliers in a constant column: draws are constant, and another value is possible."""

ROWS_PER_COLUMN = 32
"""The number of training rows for each column from which an entry has several components. Held-out
rows of concrete (60), wine-red (70), banknote (180) and magic (1,000) gain 0.1 to 1.6 nats by them,
and those of iris (20) and diabetes (23) lose 0.5 and 1.3."""

_FIRST_LOGIT, _NO_LOGIT = -3.0, -30.0
"""The logits of further components at the start, and those of constant columns."""

_LARGEST_RATIO = 10.0
"""The largest logarithm of a ratio of variances within a mixture."""

_LEAST_LOG_SCALE = -40.0
"""The least logarithm of a learned σ with a ceiling. An example far from the others would have
σ = 0, and an infinite KL."""

_POSTERIOR_CEILING = 10.0
"""The ceiling of σ of a posterior. One example far from the others would have a σ of hundreds, and
a KL of thousands of nats: on musk the loss of a batch rose by 130."""

_CEILING = 1e3
"""The ceiling of a learned σ, which no data need: one outlier would make it infinite."""


# With variance ½ the log-density is -‖x - μ‖² and a constant: the loss of many tutorials.
@as_likelihood("squared-error", scale=0.5**0.5)
@as_likelihood("gaussian-fixed", scale=1.0)
@as_likelihood("gaussian-optimal", scale="optimal")
@as_likelihood("gaussian-shared", scale="shared")
@as_likelihood("gaussian", min_scale=_FLOOR, max_scale=_CEILING)
@as_likelihood(
    "contaminated-gaussian",
    min_scale=_FLOOR,
    max_scale=_CEILING,
    contamination=0.02,
    transform=True,
    spikes=True,
)
@as_likelihood(
    "gaussian-mixture",
    min_scale=_FLOOR,
    max_scale=_CEILING,
    contamination=0.02,
    transform=True,
    spikes=True,
    n_components=3,
)
@as_posterior("gaussian", max_scale=_POSTERIOR_CEILING)
@numbers(min_scale=0, contamination=0, n_components=1)
class Gaussian(Family):
    r"""The diagonal Gaussian.

    .. math:: \mathcal N(\mu, \mathrm{diag}(\sigma^2)), \qquad \mu, \log \sigma^2 = \mathrm{head}(f)

    As the likelihood of a variant it describes standardized entries, and log p(x | z) is in the
    units of x. Rounded columns of a table have masses of cells: see
    ``distributions.RoundedNormal``.

    Arguments:
        event_shape: The shape of the event, for a posterior the latent dimension.
        scale: ``learned``: σ depends on the features, with one σ for each entry. ``shared``: σ is
            one learned number. ``optimal``: σ is one number, set to its best value on each batch.
            A number: σ is fixed, for a table in standard deviations of each column.
        min_scale: A floor under a learned σ: where data repeat a value exactly (the black border
            of an image), its density has no upper bound. In standard deviations, as a ceiling is.
        contamination: The first share ε of outliers, which are logistic around the mean of the
            data; it is learned for each entry. 0 for none.
        transform: Whether heavy-tailed columns of a table are Gaussian after
            :math:`a \operatorname{asinh}((x - o)/a)`, with o and a from the training data: see
            ``data.columns.transform_of``.
        spikes: Whether rounded columns of a table of which many values are one number have a
            probability of it that depends on the features: see ``distributions.Spiked``.
        max_scale: A ceiling over a learned σ, which grows exponentially with the features: without
            one a single example far from the others can make a KL infinite.
        n_components: The number of Gaussians of each entry, whose weights, means and scales depend
            on the features; only with ``scale="learned"``.
        places: The height and width of feature maps that describe a flat event place by place, row
            by row; () for features that describe the event as a whole.

    Raises:
        OptionError: A scale that is none of these, a negative floor, a ceiling below it, or an
            event that has no equal parts for the places.

    References:
        Kingma & Welling, Auto-encoding variational Bayes, ICLR 2014, appendix C.2.
        Rybkin et al., ICML 2021 (shared and optimal scale).

    Example:
        >>> q = Gaussian(20).attach((400,))(torch.zeros(5, 400))
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([20]))
    """

    supports = ("real", "unit")
    starts_at_mean = True
    is_gaussian = True

    def __init__(
        self,
        event_shape: Shape,
        scale: float | str = "learned",
        min_scale: float = 0.0,
        max_scale: float = inf,
        places: Sequence[int] = (),
        contamination: float = 0.0,
        transform: bool = False,
        spikes: bool = False,
        n_components: int = 1,
    ) -> None:
        n_raw = 2 if scale == "learned" else 1
        # After location and scale come the logits of spikes, and then the offset, the logarithm of
        # the relative variance and the logit of every further component.
        self.has_spikes = spikes and scale == "learned"
        if n_components > 1 and (scale != "learned" or places):
            raise OptionError(
                f"n_components={n_components}: several need scale='learned' and no places"
            )
        super().__init__(event_shape, n_raw + self.has_spikes + 3 * (n_components - 1))
        self.n_components = n_components
        self.is_single = n_components == 1  # of the host: reading a buffer waits for a GPU
        if n_components > 1:
            self.single: Tensor
            self.register_buffer("single", torch.tensor(False))
        self.transform = transform
        if not 0 <= contamination < 1:
            raise OptionError(f"contamination={contamination}: must be at least 0 and below 1")
        self.contamination: nn.Parameter | None = None
        if contamination:
            share = torch.full(self.event_shape, contamination)
            self.contamination = nn.Parameter(share.logit())
        check_word_or_positive("scale", scale, ["learned", "shared", "optimal"])
        self.scale = scale
        if not min_scale < max_scale:
            raise OptionError(f"max_scale={max_scale}: the ceiling must be above {min_scale}")
        self.min_scale = min_scale
        self.max_scale = max_scale
        self.places = tuple(places)
        if places:
            n_raw, (n, *more) = self.raw_shape[0], self.event_shape
            if more or n % prod(places):
                where = " × ".join(map(str, places))
                raise OptionError(
                    f"an event of shape {tuple(self.event_shape)} at {where} places: it must have "
                    "one axis, and a part of the same size for each place"
                )
            self.raw_shape = torch.Size([n_raw, n // prod(places), *places])
        if scale == "shared":
            self.log_scale = nn.Parameter(torch.zeros(()))
        if scale == "optimal":
            self.kept_scale: Tensor
            self.register_buffer("kept_scale", torch.ones(()))
            self.n_seen: Tensor
            self.register_buffer("n_seen", torch.zeros(()))

    def distribution(self, raw: Tensor) -> Distribution:
        """Return N(μ, σ²)."""
        if self.places:
            raw = raw.flatten(-len(self.places)).transpose(-1, -2).flatten(-2)
        loc, *rest = self.parameters_of(raw)
        p: Distribution
        if self.scale == "optimal" and self.training:
            p = OptimalNormal(loc, self.kept_scale, self.n_seen, validate_args=False)
        else:
            p = self._normal(loc, self._scale(loc, rest), rest[1 + self.has_spikes :])
        layer = self.standardize
        if layer is not None:
            width = layer.width if layer.has_cells else None
            linear_width = None if layer.is_linear else layer.linear_width
            p = Standardized(p, layer.loc, layer.scale, width, layer.origin, linear_width)
            if self.has_spikes and layer.has_spikes:
                p = Spiked(p, rest[1], layer.spike, layer.spike_width)
        return self.independent(p)

    def _scale(self, loc: Tensor, rest: Sequence[Tensor]) -> Tensor:
        """Return σ of standardized entries, which broadcasts with μ."""
        layer = self.standardize
        if self.scale == "optimal":
            return self.kept_scale.to(loc)
        if self.scale == "shared":
            return self.log_scale.exp().to(loc) + self.min_scale
        if self.scale != "learned":
            fixed = loc.new_full((), float(self.scale))
            return fixed if layer is None or layer.per_entry else fixed / layer.scale
        log_scale = 0.5 * rest[0]
        if self.max_scale < inf:
            limited = log_scale.detach().clamp(_LEAST_LOG_SCALE, log(self.max_scale))
            # Beyond the limits the gradient stays, which leads back.
            log_scale = (log_scale - log_scale.detach()).nan_to_num(0.0) + limited
        scale = log_scale.exp()
        if layer is not None and layer.has_cells:
            cell = layer.width / layer.scale
            floor = (_FLOOR_IN_CELLS * cell).clamp(_LEAST_FLOOR, self.min_scale)
            return scale + torch.where(cell > 0, floor, self.min_scale)
        return scale + self.min_scale if self.min_scale > 0 else scale

    def _normal(self, loc: Tensor, scale: Tensor, others: Sequence[Tensor]) -> Distribution:
        """Return the distribution of standardized entries.

        Arguments:
            loc: μ of the first component.
            scale: σ of the first component.
            others: The raw parameters of the others, three of each.
        """
        layer = self.standardize
        is_plain = self.contamination is None and self.is_single
        if is_plain and (layer is None or not layer.has_cells):
            return Normal(loc, scale, validate_args=False)
        width, origin = loc.new_zeros(()), None
        if layer is not None:
            # Where a transform makes cells uneven, ``Standardized`` maps and rounds them.
            width = torch.where(layer.linear_width > 0, 0.0, layer.width / layer.scale)
            origin = layer(layer.origin)
        normal: RoundedNormal | RoundedMixture
        if self.is_single:
            normal = RoundedNormal(loc, scale, width, origin, validate_args=False)
        else:
            normal = self._mixture(loc, scale, others, width, origin)
        if self.contamination is None:
            return normal
        return ContaminatedNormal(normal, self.contamination.to(loc))

    def _mixture(
        self,
        loc: Tensor,
        scale: Tensor,
        others: Sequence[Tensor],
        width: Tensor,
        origin: Tensor | None,
    ) -> RoundedMixture:
        """Return the mixture of a first component and of others at an offset from it."""
        offsets, ratios, logits = (
            torch.stack([torch.zeros_like(loc), *others[i::3]], -1) for i in range(3)
        )
        scales = scale.unsqueeze(-1) * (0.5 * ratios.clamp(-_LARGEST_RATIO, _LARGEST_RATIO)).exp()
        return RoundedMixture(
            loc.unsqueeze(-1) + offsets, scales, logits, width, origin, validate_args=False
        )

    def attach(self, out_shape: Sequence[int]) -> Self:
        """Create the head, where further components start at few rows, and return the family."""
        super().attach(out_shape)
        for k in range(self.n_components - 1):
            self._start_component(k, torch.full(self.event_shape, _FIRST_LOGIT))
        return self

    def _start_component(self, k: int, logit: Tensor) -> None:
        """Start a further component at one side of the first one, with these logits."""
        side = 1.0 if k % 2 == 0 else -1.0
        first = 2 + self.has_spikes + 3 * k
        set_bias(self._attached(), first, torch.full_like(logit, side * (1 + k // 2)))
        set_bias(self._attached(), first + 2, logit)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the mean itself, standardized where the data are.

        Raises:
            SupportError: Features that describe the event place by place.
        """
        if self.places:
            return super().raw_of_mean(mean)
        return mean if self.standardize is None else self.standardize(mean)

    def start_variance_at(self, variance: Tensor) -> None:
        """Start at this variance, at least 1e-4 of the scale of the data."""
        log_variance = self.log_variance(variance)
        if self.scale == "learned":
            set_bias(self._attached(), 1, log_variance)
        elif self.scale == "shared":
            self.log_scale.data.copy_(0.5 * log_variance.exp().mean().log())

    def start_constant(self, entries: Tensor) -> None:
        """Start some entries, such as constant columns, at any features alike, without outliers.

        Arguments:
            entries: Whether an entry is constant, with shape (n,), of an event with one axis.

        Raises:
            OptionError: The family has no head yet.
        """
        drop_weights(self._attached(), entries)
        for k in range(self.n_components - 1):
            self._start_component(k, torch.where(entries, _NO_LOGIT, _FIRST_LOGIT))
        if self.contamination is not None:
            no_outliers = torch.tensor(_NO_OUTLIERS).logit()
            self.contamination.data.masked_fill_(entries.to(self.contamination.device), no_outliers)

    @torch.no_grad()
    def start_components(self, n_rows: int, n_columns: int) -> None:
        """Leave the further components out where there are too few rows for them.

        Arguments:
            n_rows: The number of training rows.
            n_columns: The number of columns.
        """
        if self.n_components > 1:
            self.single.fill_(n_rows < ROWS_PER_COLUMN * n_columns)
            self.is_single = bool(self.single)

    def _load_from_state_dict(self, *given: Any) -> None:
        super()._load_from_state_dict(*given)
        if self.n_components > 1:
            self.is_single = bool(self.single)

    def start_spikes(self, share: Tensor) -> None:
        """Start at these probabilities of spikes; only for families that have some.

        Arguments:
            share: The share of the spike in each entry, 0 without one, with shape (*event).
        """
        if self.has_spikes:
            raw = torch.where(share > 0, share, 0.5).logit(eps=1e-3)
            set_bias(self._attached(), 2, raw)

    def start_at_linear(self, weight: Tensor, loc: Tensor, variance: Tensor) -> None:
        r"""Start at :math:`\mathcal N(W f + m, \mathrm{diag}(v))` for flat features f.

        Arguments:
            weight: W, with shape (n, F).
            loc: m, with shape (n,), of standardized entries where the data are.
            variance: v, with shape (n,), in the same units.

        Raises:
            OptionError: The family has no head yet.
        """
        layer = self._attached()
        set_linear(layer, 0, weight, loc)
        if self.scale == "learned":
            set_linear(layer, 1, torch.zeros_like(weight), variance.log())


@as_posterior("full-covariance")
class FullCovarianceGaussian(Family):
    r"""The Gaussian with a full covariance matrix, given by its lower-triangular factor L.

    .. math:: z = \mu + L \varepsilon, \qquad
              \log q(z) = \log \mathcal N(L^{-1}(z - \mu); 0, I) - \sum_j \log L_{jj}

    Arguments:
        event_shape: The number of dimensions n; the head makes n + n(n + 1)/2 numbers.

    Raises:
        ShapeError: An event with more than one axis.

    References:
        Kingma & Welling, An introduction to variational autoencoders, 2019, section 2.5.1.

    Example:
        >>> q = FullCovarianceGaussian(3).attach((8,))(torch.zeros(5, 8))
        >>> q.scale_tril.shape
        torch.Size([5, 3, 3])
    """

    supports = ("real",)
    factorizes = False

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)
        n = one_axis(self)
        self.raw_shape = torch.Size([n + n * (n + 1) // 2])
        self._rows_columns: Tensor
        self.register_buffer("_rows_columns", torch.tril_indices(n, n, -1), persistent=False)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return N(μ, L Lᵀ)."""
        n = self.event_shape[0]
        loc, log_variance, below = raw.split([n, n, n * (n - 1) // 2], dim=-1)
        scale_tril = torch.diag_embed((0.5 * log_variance).exp())
        rows, columns = self._rows_columns
        scale_tril[..., rows, columns] = below
        return TriangularNormal(loc, scale_tril)
