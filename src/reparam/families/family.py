"""Abstract: from features, or raw parameters, to a distribution."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from reparam.errors import OptionError, ShapeError, SupportError
from reparam.nn.heads import head, pooled, set_bias
from reparam.utils.arguments import as_sizes, numbers

Shape = int | Sequence[int]


@numbers(n_raw=1)
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
    exact_head: ClassVar[bool] = False
    """Whether the head computes in float32 under autocast too, as where raw numbers are logarithms
    of large ones, which bfloat16 would change by several percent."""

    levels: int | None = None
    """The number L of levels k / (L - 1) that entries lie on; None where they lie on no grid."""

    def __init__(self, event_shape: Shape, n_raw: int) -> None:
        super().__init__()
        self.event_shape = torch.Size(as_sizes("event_shape", event_shape))
        self.raw_shape = torch.Size([n_raw, *self.event_shape])

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
        if self.exact_head:
            with torch.autocast(features.device.type, enabled=False):
                raw = self.head(features.to(next(self.head.parameters())))
        else:
            raw = self.head(features)
        # A density of parameters in half precision is no number to trust.
        return self.distribution(raw if raw.dtype == torch.float64 else raw.float())

    def start_at(self, mean: Tensor) -> None:
        """Set the head's bias so that features of zero describe a distribution of this mean.

        Over feature maps, whose head has one bias for each channel, it is the channel's mean.

        Arguments:
            mean: The mean, with shape (*event).

        Raises:
            ShapeError: A mean of another shape.
            OptionError: The family has no head yet.
            SupportError: The mean of this family is no function of one raw parameter.

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
        if not hasattr(self, "head"):
            raise OptionError(
                f"this {type(self).__name__} has no head to set: give it to a Conditional first"
            )
        set_bias(self.head, 0, self.raw_of_mean(pooled(self.head, mean)))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """Return the first raw parameter of entries with this mean.

        Arguments:
            mean: The mean of each entry, with shape (*event).

        Raises:
            SupportError: The mean of this family is no function of one raw parameter.
        """
        raise SupportError(
            f"the mean of {type(self).__name__} is no function of one number for each entry, so "
            "that a decoder cannot start there: drop --start-at-mean"
        )

    def as_input(self, x: Tensor) -> Tensor:
        """Return examples of this likelihood as an encoder is given them; unchanged, unless said.

        Arguments:
            x: The examples, with shape (B, *event).
        """
        return x

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
