"""Abstract: from features, or raw parameters, to a distribution.

A family declares the supports of the data that it fits as a likelihood p(x | z), and the properties
that matter for a posterior q(z | x). The rules of ``variants.compatibility`` read these
declarations.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from reparam.distributions.declared import Space
from reparam.errors import OptionError, ShapeError, SupportError, unknown
from reparam.nn.heads import head, set_bias
from reparam.nn.standardize import Standardize
from reparam.spec import DataSpec
from reparam.utils.arguments import as_float, as_sizes, numbers
from reparam.utils.registry import PartRegistry

Shape = int | Sequence[int]

_LEAST_VARIANCE = 1e-4
"""The least variance at the start, in that of the data, for entries that never vary."""


@numbers(n_raw=1)
class Family(nn.Module, ABC):
    """Abstract: turns features into a distribution over events of one shape.

    Arguments:
        event_shape: The shape of one event; an int n means (n,), and () a single number.
        n_raw: The number of raw parameters of each entry of the event.

    Attributes:
        supports: The supports of the data that the family can be a likelihood of.
        starts_at_mean: Whether the mean of an entry is a function of its first raw parameter.
        exact_head: Whether the head computes in float32 under autocast too. Needed where raw
            parameters are logarithms of large numbers, which bfloat16 would change by several
            percent.
        space: The set that draws lie in.
        has_density: Whether there is a density or mass, and so a KL divergence to a prior.
        factorizes: Whether the density is the product of those of the dimensions.
        is_gaussian: Whether the distribution is a diagonal Gaussian.
        is_bounded: Whether a dimension lies in an interval that depends on the parameters.
        is_relaxed: Whether draws lie outside ``space`` in training, so that gradients pass.
        options: The arguments of the constructor that are options of any variant with this
            posterior.
        transform: Whether the distribution can be one of transformed entries: see
            ``distributions.Standardized``.
        levels: The number L of levels k / (L - 1) that entries lie on; None without such a grid.

    Raises:
        OptionError: A size below one.
    """

    supports: ClassVar[tuple[str, ...]] = ()
    starts_at_mean: ClassVar[bool] = False
    exact_head: ClassVar[bool] = False

    space: ClassVar[Space] = "real vectors"
    has_density: ClassVar[bool] = True
    factorizes: ClassVar[bool] = True
    is_gaussian: ClassVar[bool] = False
    is_bounded: ClassVar[bool] = False
    is_relaxed: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()

    levels: int | None = None
    transform: bool = False

    def __init__(self, event_shape: Shape, n_raw: int) -> None:
        super().__init__()
        self.event_shape = torch.Size(as_sizes("event_shape", event_shape))
        self.raw_shape = torch.Size([n_raw, *self.event_shape])
        self.head: nn.Module | None = None
        self.standardize: Standardize | None = None

    @classmethod
    def for_data(cls, spec: DataSpec, options: Mapping[str, Any]) -> "Family":
        """Create the family as a likelihood of data.

        Arguments:
            spec: The shape and support of the data.
            options: Further keyword arguments of the constructor.
        """
        return cls(spec.shape, **options)

    @classmethod
    def for_latents(cls, latent_dim: int, options: Mapping[str, Any]) -> "Family":
        """Create the family as a posterior.

        Arguments:
            latent_dim: The number of dimensions of z.
            options: Further keyword arguments of the constructor.
        """
        return cls(latent_dim, **options)

    def attach(self, out_shape: Sequence[int]) -> Self:
        """Create the head for features of this shape, and return the family itself.

        Raises:
            OptionError: The family already has a head.
        """
        if self.head is not None:
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
        r"""Return the distribution that features of shape (\*, *out_shape) describe.

        Raises:
            OptionError: The family has no head yet.
        """
        layer = self._attached()
        if self.exact_head:
            with torch.autocast(features.device.type, enabled=False):
                raw = layer(features.to(next(layer.parameters())))
        else:
            raw = layer(features)
        # A density with parameters in half precision is not accurate enough.
        return self.distribution(raw if raw.dtype == torch.float64 else raw.float())

    def standardized(self, per_entry: bool) -> Self:
        """Create the standardization of the data that a likelihood describes, and return itself.

        It is the identity until its parameters are set from training data.

        Arguments:
            per_entry: Whether every entry has its own scale.
        """
        self.standardize = Standardize(self.event_shape, per_entry)
        return self

    def start_at(self, mean: Tensor, variance: Tensor | None = None) -> None:
        """Set the head's bias so that features of zero describe a distribution of this mean.

        Arguments:
            mean: The mean, with shape (*event).
            variance: The variance, with the same shape, for families that have one beside the mean;
                None to leave it.

        Raises:
            ShapeError: A mean of another shape.
            OptionError: The family has no head yet.
            SupportError: The mean of this family is not a function of one raw parameter.

        Example:
            >>> from reparam.families import Bernoulli
            >>> family = Bernoulli(3).attach((8,))
            >>> family.start_at(torch.tensor([0.2, 0.5, 0.9]))
            >>> family(torch.zeros(8)).mean.detach()
            tensor([0.2000, 0.5000, 0.9000])
        """
        if mean.shape != self.event_shape:
            raise ShapeError(
                f"a mean of shape {tuple(mean.shape)} for a {type(self).__name__} over events of "
                f"shape {tuple(self.event_shape)}: both must be the same"
            )
        layer = self._attached()
        set_bias(layer, 0, self.raw_of_mean(mean))
        if variance is not None:
            self.start_variance_at(variance)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the first raw parameter of entries with this mean.

        Arguments:
            mean: The mean of each entry, with shape (*event).

        Raises:
            SupportError: The mean of this family is not a function of one raw parameter.
        """
        raise SupportError(
            f"the mean of {type(self).__name__} is not a function of one number for each entry, so "
            "that a decoder cannot start there: drop start_at_mean=True"
        )

    def start_variance_at(self, variance: Tensor) -> None:
        """Start at a variance; only for families that have one beside the mean.

        Arguments:
            variance: The variance of each entry, with shape (*event).
        """

    def log_variance(self, variance: Tensor) -> Tensor:
        """Return the logarithm of a variance of standardized entries, at least that of 1e-4.

        Arguments:
            variance: The variance of each entry in the units of the data, with shape (*event).
        """
        unit = 1.0 if self.standardize is None else self.standardize.scale.double()
        return (variance.double() / unit**2).clamp(min=_LEAST_VARIANCE).log()

    def as_input(self, x: Tensor) -> Tensor:
        """Return examples of this likelihood as the encoder reads them: transformed, standardized.

        Arguments:
            x: The examples, with shape (B, *event).
        """
        x = self.transformed(x)
        return x if self.standardize is None else self.standardize(x)

    def transformed(self, x: Tensor) -> Tensor:
        """Return examples on the scale on which the encoder reads them; by default unchanged.

        Arguments:
            x: The examples, with shape (B, *event).
        """
        return x

    def parameters_of(self, raw: Tensor) -> tuple[Tensor, ...]:
        r"""Return the raw parameters one by one, each with shape (\*, *event)."""
        return raw.unbind(-1 - len(self.event_shape))

    def independent(self, distribution: Distribution) -> Distribution:
        """Return the product of the entries' distributions, as one distribution over the event."""
        if not self.event_shape:
            return distribution
        return Independent(distribution, len(self.event_shape), validate_args=False)

    def extra_repr(self) -> str:
        """Return the event's shape, for printing."""
        return f"event_shape={tuple(self.event_shape)}"

    def _attached(self) -> nn.Module:
        if self.head is None:
            raise OptionError(
                f"this {type(self).__name__} has no head: give it to a Conditional first"
            )
        return self.head


LIKELIHOODS: PartRegistry[Family] = PartRegistry("likelihood")
"""The likelihoods p(x | z) by name. ``part.kind.for_data`` creates one."""

POSTERIORS: PartRegistry[Family] = PartRegistry("posterior")
"""The posteriors q(z | x) by name. ``part.kind.for_latents`` creates one."""

as_likelihood, as_posterior = LIKELIHOODS.part, POSTERIORS.part
"""Decorators that register a family, by the name and keyword arguments of the family."""


def one_axis(family: Family) -> int:
    """Return the size of a family's event, which must have one axis.

    Raises:
        ShapeError: An event with no axis, or with several.
    """
    if len(family.event_shape) != 1:
        raise ShapeError(
            f"{type(family).__name__} over an event of shape {tuple(family.event_shape)}: the "
            "event must have one axis; use Gaussian for images"
        )
    return family.event_shape[0]


def check_word_or_positive(name: str, value: float | str, words: Sequence[str]) -> None:
    """Refuse an argument that is neither one of a few words nor a positive number.

    Raises:
        OptionError: Another word, or a number that is not positive and finite.

    Example:
        >>> check_word_or_positive("scale", -1.0, ["learned"])
        Traceback (most recent call last):
        reparam.errors.OptionError: scale=-1.0: must be above 0
    """
    if not isinstance(value, str):
        as_float(name, value, minimum=0.0, open_ends=True)
    elif value not in words:
        raise unknown(name, value, [*words, "a positive number"])
