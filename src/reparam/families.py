"""Families: from features, or raw parameters, to a distribution.

A family says how many raw numbers each entry of its event needs (``raw_shape``) and what
distribution they make (``distribution``). ``attach`` gives it the head that makes those numbers
out of a network's features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import ceil, inf, log, prod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal
from torch.distributions import Uniform as TorchUniform

from reparam.distributions import (
    ContinuousBernoulli as ContinuousBernoulliDistribution,
)
from reparam.distributions import CrossEntropy as CrossEntropyDistribution
from reparam.distributions import (
    Delta,
    OneHotCodes,
    OptimalNormal,
    QuantizedCategorical,
    QuantizedCodes,
)
from reparam.distributions import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixtureDistribution,
)
from reparam.distributions import Flow as FlowDistribution
from reparam.distributions import VonMisesFisher as VonMisesFisherDistribution
from reparam.errors import OptionError, ShapeError, SupportError, unknown
from reparam.nn.codebook import Codebook
from reparam.nn.flows import masked_transforms
from reparam.nn.heads import head, set_bias
from reparam.spec import DataSpec

Shape = int | Sequence[int]

_NEVER = 0.01
"""The mean at which an entry starts that is always 0: further out it would hardly move again."""


class Family(nn.Module, ABC):
    """Abstract: turns features into a distribution over events of one shape.

    Arguments:
        event_shape: The shape of one event; an int n means (n,), and () a single number.
        n_raw: The number of raw parameters of each entry of the event.

    Raises:
        OptionError: A size below one.
    """

    supports: ClassVar[tuple[str, ...]] = ()
    """The supports of the data that the family can be a likelihood of."""

    def __init__(self, event_shape: Shape, n_raw: int) -> None:
        super().__init__()
        shape = event_shape if isinstance(event_shape, Sequence) else (event_shape,)
        sizes = tuple(int(n) for n in shape)
        if any(n < 1 for n in sizes):
            raise OptionError(
                f"{type(self).__name__} over events of shape {sizes}: every size must be at least 1"
            )
        self.event_shape = torch.Size(sizes)
        self.raw_shape = torch.Size([n_raw, *sizes])

    def attach(self, out_shape: Sequence[int]) -> Self:
        """Make the head for features of this shape, and return the family itself.

        Raises:
            OptionError: The family already has a head.
        """
        if hasattr(self, "head"):
            raise OptionError(
                f"this {type(self).__name__} already belongs to a network: "
                "make a new family for every Conditional"
            )
        self.head = head(out_shape, self.raw_shape)
        return self

    @abstractmethod
    def distribution(self, raw: Tensor) -> Distribution:
        r"""Return the distribution with raw parameters of shape (\*, n_raw, *event)."""

    def forward(self, features: Tensor) -> Distribution:
        r"""Return the distribution that features of shape (\*, *out_shape) describe."""
        raw = self.head(features)
        # A density of parameters in half precision is no number to trust.
        return self.distribution(raw if raw.dtype == torch.float64 else raw.float())

    def start_at(self, mean: Tensor) -> None:
        """Set the head's bias so that features of zero describe a distribution of this mean.

        Arguments:
            mean: The mean, with the shape of the event.

        Raises:
            SupportError: The mean of this family is no function of one raw parameter.

        Example:
            >>> family = Bernoulli(3).attach((8,))
            >>> family.start_at(torch.tensor([0.2, 0.5, 0.9]))
            >>> family(torch.zeros(8)).mean.detach()
            tensor([0.2000, 0.5000, 0.9000])
        """
        set_bias(self.head, 0, self.raw_of_mean(mean))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the first raw parameter that gives each entry this mean.

        Raises:
            SupportError: There is no such parameter.
        """
        raise SupportError(
            f"the mean of {type(self).__name__} is no function of one number for each entry, so "
            "that a decoder cannot start there: drop --start-at-mean"
        )

    def parameters_of(self, raw: Tensor) -> tuple[Tensor, ...]:
        """Return the raw parameters one by one, each with shape (*, *event)."""
        return raw.unbind(-1 - len(self.event_shape))

    def independent(self, distribution: Distribution) -> Distribution:
        """Return the product of the entries' distributions, as one distribution over the event."""
        if not self.event_shape:
            return distribution
        return Independent(distribution, len(self.event_shape), validate_args=False)

    def extra_repr(self) -> str:
        """Return the event's shape, for printing."""
        return f"event_shape={tuple(self.event_shape)}"


class Gaussian(Family):
    r"""The diagonal Gaussian.

    .. math:: \mathcal N(\mu, \mathrm{diag}(\sigma^2)), \qquad \mu, \log \sigma^2 = \mathrm{head}(f)

    Arguments:
        event_shape: The shape of the event, for a posterior the latent dimension.
        scale: How σ comes about. ``learned``: one for each entry, out of the features. ``shared``:
            a single learned number. ``optimal``: a single number, set to its best value on each
            batch. A number: fixed.
        min_scale: A floor under a learned σ: where data repeat a value exactly (the black border
            of an image), its density has no upper bound.
        max_scale: A ceiling over a learned σ, which grows exponentially with the features: without
            one a single example far from the others can make a KL infinite.
        places: The height and width of the maps of features that describe a flat event place by
            place, row by row; () for an event that features describe as a whole.

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

    def __init__(
        self,
        event_shape: Shape,
        scale: float | str = "learned",
        min_scale: float = 0.0,
        max_scale: float = inf,
        places: Sequence[int] = (),
    ) -> None:
        super().__init__(event_shape, 2 if scale == "learned" else 1)
        kinds = ("learned", "shared", "optimal")
        if isinstance(scale, str):
            if scale not in kinds:
                raise unknown("scale", scale, [*kinds, "a positive number"])
        elif not 0 < scale < inf:
            raise OptionError(f"scale={scale}: a fixed scale must be positive and finite")
        if not 0 <= min_scale < inf:
            raise OptionError(f"min_scale={min_scale}: the floor must be finite, 0 or more")
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
        if self.scale == "optimal" and self.training:
            return self.independent(
                OptimalNormal(loc, self.kept_scale, self.n_seen, validate_args=False)
            )
        if self.scale == "optimal":
            scale = self.kept_scale.to(loc)
        elif self.scale == "shared":
            scale = self.log_scale.exp().to(loc) + self.min_scale
        elif self.scale == "learned":
            log_scale = 0.5 * rest[0]
            if self.max_scale < inf:
                log_scale = log_scale.clamp(max=log(self.max_scale))
            scale = log_scale.exp()
            if self.min_scale > 0:
                scale = scale + self.min_scale
        else:
            scale = loc.new_tensor(self.scale)
        return self.independent(Normal(loc, scale, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the mean itself."""
        return super().raw_of_mean(mean) if self.places else mean


class FullCovarianceGaussian(Family):
    r"""The Gaussian with any covariance, by the lower-triangular factor L of it.

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

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)
        if len(self.event_shape) != 1:
            raise ShapeError(
                f"FullCovarianceGaussian over an event of shape {tuple(self.event_shape)}: "
                "the event must have one axis; use Gaussian for images"
            )
        n = self.event_shape[0]
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
        return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


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


class VonMisesFisher(Family):
    r"""The Gaussian's counterpart on the unit sphere.

    .. math:: q(z) \propto \exp(\kappa\, \mu^\top z), \quad \|z\| = 1

    Arguments:
        event_shape: The number of coordinates D; the sphere has one dimension fewer.
        concentration: How κ comes about: ``learned`` out of the features, or a number, fixed.

    Raises:
        OptionError: Fewer than two coordinates, or a κ that is not positive.

    References:
        Davidson et al., Hyperspherical variational auto-encoders, UAI 2018, eq. 4.

    Example:
        >>> q = VonMisesFisher(11).attach((400,))(torch.randn(5, 400))
        >>> q.rsample().norm(dim=-1).allclose(torch.ones(5))
        True
    """

    def __init__(self, event_shape: Shape, concentration: float | str = "learned") -> None:
        super().__init__(event_shape, 1)
        (n,) = self.event_shape
        if n < 2:
            raise OptionError(f"latent_dim={n}: a sphere needs at least two coordinates")
        if isinstance(concentration, str):
            if concentration != "learned":
                raise unknown("concentration", concentration, ["learned", "a positive number"])
        elif not 0 < concentration < inf:
            raise OptionError(f"concentration={concentration}: κ must be positive and finite")
        self.concentration = concentration
        self.raw_shape = torch.Size([n + (concentration == "learned")])

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distribution about the direction of the first D raw parameters."""
        (n,) = self.event_shape
        loc = nn.functional.normalize(raw[..., :n], dim=-1)
        if self.concentration == "learned":
            # κ of a few at the start; below one the direction would say nothing.
            concentration = nn.functional.softplus(raw[..., n]) + 1.0
        else:
            concentration = raw.new_full(raw.shape[:-1], float(self.concentration))
        return VonMisesFisherDistribution(loc, concentration)


class GumbelSoftmax(Family):
    r"""N classes out of K each: relaxed while training, so that gradients pass, exact afterwards.

    .. math:: z_n = \mathrm{softmax}((\log \pi_n + g) / \tau), \quad
              \tau(t) = \tau_0 (\tau_1 / \tau_0)^t

    t is the share of the training that is done.

    Arguments:
        n_variables: N.
        n_classes: K.
        temperature: τ₀ and τ₁.

    Raises:
        OptionError: Fewer than two classes, or a temperature that is not positive.

    References:
        Jang, Gu & Poole, Categorical reparameterization with Gumbel-softmax, ICLR 2017, eq. 2.

    Example:
        >>> GumbelSoftmax(32, 10).attach((400,))(torch.zeros(5, 400)).rsample().shape
        torch.Size([5, 320])
    """

    def __init__(
        self,
        n_variables: int,
        n_classes: int = 10,
        temperature: tuple[float, float] = (1.0, 0.3),
    ) -> None:
        super().__init__(n_variables * n_classes, 1)
        if n_classes < 2:
            raise OptionError(f"n_classes={n_classes}: a code needs at least two classes")
        if not 0 < min(temperature) <= max(temperature) < inf:
            raise OptionError(f"temperature={temperature}: both must be positive and finite")
        self.n_classes = n_classes
        self.temperature = tuple(temperature)
        self.tau: Tensor
        self.register_buffer("tau", torch.tensor(float(temperature[0])))

    def anneal(self, progress: float) -> None:
        """Set the temperature for a share of the training, from 0 to 1."""
        first, last = self.temperature
        self.tau.fill_(first * (last / first) ** progress)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the classes with these logits."""
        logits = raw.squeeze(-2).unflatten(-1, (-1, self.n_classes))
        return OneHotCodes(logits, self.tau if self.training else None)


class Quantized(Family):
    r"""For each of P positions the code that is nearest to what the encoder says of it.

    .. math:: z = (e_{k_1}, \dots, e_{k_P}), \qquad k_i = \arg\min_k \|v_i - e_k\|, \quad
              v = \mathrm{head}(f)

    Arguments:
        codebook: The codes e, each of d numbers; the event has P d of them, position by position.
        positions: How the positions lie: (P,), or (h, w) for those of a map.

    Raises:
        OptionError: A size below one.

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, eq. 1 and 2.

    Example:
        >>> q = Quantized(Codebook(8, 3), (4,)).attach((400,))(torch.zeros(5, 400))
        >>> q.rsample().shape, q.indices.shape
        (torch.Size([5, 12]), torch.Size([5, 4]))
    """

    def __init__(self, codebook: Codebook, positions: Sequence[int]) -> None:
        n_positions, code_dim = prod(positions), codebook.codes.shape[-1]
        super().__init__(n_positions * code_dim, 1)
        self.codebook = codebook
        self.n_positions = n_positions
        self.raw_shape = torch.Size([1, code_dim, *positions])

    def distribution(self, raw: Tensor) -> QuantizedCodes:
        """Return the mass on the codes nearest to the raw parameters of each position."""
        vectors = raw.flatten(2 - len(self.raw_shape)).squeeze(-3).transpose(-1, -2)
        return QuantizedCodes(vectors, self.codebook.codes)


class Deterministic(Family):
    """A point: the code of an autoencoder, without noise.

    Arguments:
        event_shape: The number of dimensions.

    Example:
        >>> Deterministic(20).attach((400,))(torch.zeros(5, 400)).mean.shape
        torch.Size([5, 20])
    """

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the point mass at the raw parameters."""
        (value,) = self.parameters_of(raw)
        return Delta(value)


class Uniform(Family):
    r"""The uniform distribution on a box, :math:`U[m - w/2, m + w/2]`.

    It works as a posterior where KL(q‖p) is finite: against a prior that is positive on the whole
    box. ``divergence.kl`` refuses every other pair in words.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> q = Uniform(2).attach((8,))(torch.zeros(5, 8))
        >>> bool(q.support.check(q.rsample()).all())
        True
    """

    supports = ("real", "unit")

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 2)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return U[m - w/2, m + w/2] with log w as the second raw parameter."""
        middle, log_width = self.parameters_of(raw)
        half = 0.5 * log_width.exp()
        return self.independent(TorchUniform(middle - half, middle + half, validate_args=False))


class Bernoulli(Family):
    r"""Independent coins, the likelihood of binary data.

    .. math:: \log p(x) = \sum_d x_d \log \mu_d + (1 - x_d) \log(1 - \mu_d)

    Arguments:
        event_shape: The shape of the event.

    References:
        Kingma & Welling, ICLR 2014, appendix C.1.

    Example:
        >>> p = Bernoulli((1, 28, 28)).attach((400,))(torch.zeros(5, 400))
        >>> p.log_prob(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5])
    """

    supports = ("binary",)

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(TorchBernoulli(logits=logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return _logit(mean)


class ContinuousBernoulli(Family):
    r"""The normalised likelihood of grey pixels in [0, 1] that looks like the cross-entropy.

    Arguments:
        event_shape: The shape of the event.

    References:
        Loaiza-Ganem & Cunningham, NeurIPS 2019.

    Example:
        >>> p = ContinuousBernoulli(3).attach((8,))(torch.zeros(5, 8))
        >>> p.log_prob(torch.full((5, 3), 0.5)).shape
        torch.Size([5])
    """

    supports = ("unit",)

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the continuous Bernoulli with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(ContinuousBernoulliDistribution(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit whose continuous Bernoulli has this mean, by bisection."""
        mean = _within(mean)
        low, high = torch.full_like(mean, -200.0), torch.full_like(mean, 200.0)
        for _ in range(40):
            middle = (low + high) / 2
            is_below = ContinuousBernoulliDistribution(middle, validate_args=False).mean < mean
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2


class CrossEntropy(Family):
    """The tutorials' loss on grey pixels in [0, 1]: no likelihood, and every number says so.

    Arguments:
        event_shape: The shape of the event.

    Example:
        >>> from reparam.distributions import is_normalized
        >>> is_normalized(CrossEntropy(3).attach((8,))(torch.zeros(5, 8)))
        False
    """

    supports = ("unit",)

    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the pseudo-distribution with these logits."""
        (logits,) = self.parameters_of(raw)
        return self.independent(CrossEntropyDistribution(logits, validate_args=False))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the logit of the mean."""
        return _logit(mean)


class Categorical(Family):
    r"""One of K classes for each entry: labels, tokens, discrete pixels.

    Arguments:
        n_classes: The number of classes K.
        event_shape: The shape of the event; () for a single label.

    Raises:
        OptionError: Fewer than two classes.

    Example:
        >>> Categorical(10).attach((400,))(torch.zeros(5, 400)).log_prob(torch.arange(5)).shape
        torch.Size([5])
    """

    supports = ("categorical", "tokens")

    def __init__(self, n_classes: int, event_shape: Shape = ()) -> None:
        super().__init__(event_shape, n_classes)
        if n_classes < 2:
            raise OptionError(f"n_classes={n_classes}: a categorical needs at least two classes")
        self.n_classes = n_classes

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the categorical with these logits."""
        logits = raw.movedim(-1 - len(self.event_shape), -1)
        return self.independent(TorchCategorical(logits=logits, validate_args=False))


class QuantizedGray(Family):
    r"""A categorical over the grey levels of a pixel, k / (K - 1) in [0, 1].

    Arguments:
        levels: The number of levels K.
        event_shape: The shape of the event.

    Raises:
        OptionError: Fewer than two levels.

    Example:
        >>> p = QuantizedGray(17, (1, 8, 8)).attach((400,))(torch.zeros(5, 400))
        >>> p.mean.shape
        torch.Size([5, 1, 8, 8])
    """

    supports = ("unit",)

    def __init__(self, levels: int, event_shape: Shape) -> None:
        super().__init__(event_shape, levels)
        if levels < 2:
            raise OptionError(f"levels={levels}: a grey scale needs at least two levels")

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distribution over levels with these logits."""
        logits = raw.movedim(-1 - len(self.event_shape), -1)
        return self.independent(QuantizedCategorical(logits, validate_args=False))


class DiscretizedLogisticMixture(Family):
    r"""A mixture of logistics over grey levels k / (L - 1), for images of any number of channels.

    The channels of a pixel share the component, and the mean of each is linear in the channels
    before it. Zeros make every component the logistic of scale ½ around mid-grey.

    Arguments:
        event_shape: The shape of the event, (channels, height, width).
        levels: L, the number of levels.
        n_components: K. A pixel of C channels takes K (1 + 2C + C (C - 1) / 2) numbers.

    Raises:
        OptionError: Fewer than two levels, or no component.
        ShapeError: An event that is no image.

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
        if levels < 2:
            raise OptionError(f"levels={levels}: a grey scale needs at least two levels")
        if n_components < 1:
            raise OptionError(f"n_components={n_components}: a mixture needs at least one")
        self.levels = levels
        c, k = self.event_shape[0], n_components
        self._parts = [k, k * c, k * c, k * c * (c - 1) // 2]
        # A head gives every channel as many numbers, of which the pixel's are taken from the front.
        self.raw_shape = torch.Size([ceil(sum(self._parts) / c), *self.event_shape])

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
            self.levels,
            validate_args=False,
        )


# A quarter of the step between 256 grey levels; of real data, which networks expect standardized,
# a thousandth of a standard deviation. Without a floor a value that repeats has no upper bound.
_PIXEL_FLOOR = 1 / 1024


def _categorical(spec: DataSpec) -> Family:
    if spec.levels is None:
        raise SupportError(
            f"likelihood 'categorical' needs discrete values, but {spec.name!r} is continuous: "
            "load it without dequantize, or use --likelihood gaussian"
        )
    if spec.support in Categorical.supports:
        return Categorical(spec.levels, spec.shape)
    return QuantizedGray(spec.levels, spec.shape)


def _logistic_mixture(spec: DataSpec) -> Family:
    if spec.levels is None:
        raise SupportError(
            f"likelihood 'logistic-mixture' needs grey levels, but {spec.name!r} is continuous: "
            "load it without dequantize, or use --likelihood gaussian"
        )
    return DiscretizedLogisticMixture(spec.shape, spec.levels)


LIKELIHOODS: dict[str, tuple[tuple[str, ...], Callable[[DataSpec], Family]]] = {
    "bernoulli": (Bernoulli.supports, lambda s: Bernoulli(s.shape)),
    "continuous-bernoulli": (
        ContinuousBernoulli.supports,
        lambda s: ContinuousBernoulli(s.shape),
    ),
    "gaussian": (Gaussian.supports, lambda s: Gaussian(s.shape, min_scale=_PIXEL_FLOOR)),
    "gaussian-shared": (Gaussian.supports, lambda s: Gaussian(s.shape, scale="shared")),
    "gaussian-optimal": (Gaussian.supports, lambda s: Gaussian(s.shape, scale="optimal")),
    "gaussian-fixed": (Gaussian.supports, lambda s: Gaussian(s.shape, scale=1.0)),
    # Of variance ½ the log-density is -‖x - μ‖², less a constant: the loss of many tutorials.
    "squared-error": (Gaussian.supports, lambda s: Gaussian(s.shape, scale=0.5**0.5)),
    "categorical": (("categorical", "tokens", "unit"), _categorical),
    "logistic-mixture": (DiscretizedLogisticMixture.supports, _logistic_mixture),
    "cross-entropy": (CrossEntropy.supports, lambda s: CrossEntropy(s.shape)),
}
"""The likelihoods by their command-line names: the supports they fit, and their makers."""

DEFAULT_LIKELIHOOD = {
    "binary": "bernoulli",
    "unit": "continuous-bernoulli",
    "real": "gaussian",
    "categorical": "categorical",
    "tokens": "categorical",
}
"""The likelihood that follows from a support; see ``default_likelihood``."""


_FEW_LEVELS = 32
"""Up to so many grey levels a probability for each is affordable, and the truest likelihood."""


def default_likelihood(spec: DataSpec) -> str:
    """Return the name of the likelihood that follows from what is known of the data.

    Raises:
        SupportError: A support that no likelihood of ours fits.

    Example:
        >>> default_likelihood(DataSpec((3, 32, 32), "unit", dequantized_from=256))
        'gaussian'
    """
    if spec.dequantized_from is not None:
        return "gaussian"
    if spec.support == "unit" and spec.levels is not None and spec.levels <= _FEW_LEVELS:
        return "categorical"
    if spec.support not in DEFAULT_LIKELIHOOD:
        raise SupportError(
            f"no likelihood for {spec.support} data such as {spec.name!r}: "
            "give a family of your own as likelihood="
        )
    return DEFAULT_LIKELIHOOD[spec.support]


_IN_WORDS = {
    "binary": "binary (0 or 1)",
    "unit": "grey (in [0, 1])",
    "real": "real-valued",
    "categorical": "categorical",
    "counts": "count",
    "tokens": "token",
}

_FIXES = {
    ("binary", "cross-entropy"): (
        "on binary pixels the cross-entropy is the Bernoulli likelihood, so use it by that name"
    ),
    ("unit", "bernoulli"): (
        "binarize it (--binarize dynamic), or use --likelihood continuous-bernoulli, "
        "or cross-entropy, the tutorials' loss that is no likelihood"
    ),
}


def likelihood(spec: DataSpec, name: "str | Family | None" = None) -> Family:
    """Return the family of p(x | z) for data of this support.

    Arguments:
        spec: The shape and support of the data.
        name: A key of ``LIKELIHOODS``; None for the default of the support. A family is returned as
            it is, once it is seen to fit.

    Raises:
        OptionError: A name that does not exist.
        SupportError: A likelihood that does not fit the support; the message names the fix.
        ShapeError: A family over events of another shape.

    Example:
        >>> likelihood(DataSpec((1, 8, 8), "binary"))
        Bernoulli(event_shape=(1, 8, 8))
    """
    if isinstance(name, Family):
        if name.event_shape != spec.shape:
            raise ShapeError(
                f"{type(name).__name__} over events of shape {tuple(name.event_shape)} cannot be "
                f"the likelihood of {spec.name!r}, whose examples have shape {spec.shape}"
            )
        supports, made, label = name.supports, name, type(name).__name__
    else:
        label = default_likelihood(spec) if name is None else name
        if label not in LIKELIHOODS:
            raise unknown("likelihood", label, LIKELIHOODS)
        supports, maker = LIKELIHOODS[label]
        made = None
    if spec.support not in supports:
        instead = f"use --likelihood {default_likelihood(spec)}"
        fix = _FIXES.get((spec.support, label.lower()), instead)
        suited = " or ".join(_IN_WORDS[support] for support in supports)
        raise SupportError(
            f"likelihood {label!r} is for {suited} data, but {spec.name!r} is "
            f"{_IN_WORDS[spec.support]}: {fix}"
        )
    return made if made is not None else maker(spec)


def _within(mean: Tensor) -> Tensor:
    return mean.clamp(_NEVER, 1 - _NEVER)


def _logit(mean: Tensor) -> Tensor:
    return _within(mean).logit()
