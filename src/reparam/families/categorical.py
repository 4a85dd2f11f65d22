"""Categoricals: classes and tokens, and the grey levels of an image."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution

from reparam.distributions import QuantizedCategorical
from reparam.families.family import Family, Shape, as_likelihood
from reparam.families.likelihoods import levels_of
from reparam.nn.heads import set_bias
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers


@as_likelihood("categorical")
class _OneOfMany(Family):
    """Abstract: a family with one logit for each value that an entry can have."""

    supports: ClassVar[tuple[str, ...]] = ("categorical", "tokens", "unit")

    @classmethod
    def for_data(cls, spec: DataSpec, options: Mapping[str, Any]) -> Family:
        """Create the likelihood of classes, or of the levels of grey values.

        Raises:
            SupportError: Continuous data.
        """
        kind = Categorical if spec.support in Categorical.supports else QuantizedGray
        return kind(levels_of(spec, "categorical"), spec.shape)

    def logits(self, raw: Tensor) -> Tensor:
        r"""Return the logits of each entry, with shape (\*, *event, K)."""
        return raw.movedim(-1 - len(self.event_shape), -1)


@numbers(n_classes=2)
class Categorical(_OneOfMany):
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
        self.n_classes = n_classes

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the categorical with these logits."""
        return self.independent(TorchCategorical(logits=self.logits(raw), validate_args=False))

    def start_at_values(self, x: Tensor) -> None:
        """Start at the frequencies of classes, with half an example more of each.

        Arguments:
            x: The numbers of classes, NaN for none, with shape (N, *event).

        Raises:
            OptionError: The family has no head yet.
        """
        classes = range(self.n_classes)
        counts = torch.stack([(x == k).double().sum(0) for k in classes]) + 0.5
        for k, logits in enumerate((counts / counts.sum(0)).log()):
            set_bias(self._attached(), k, logits)


@numbers(levels=2)
class QuantizedGray(_OneOfMany):
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
        self.levels = levels

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distribution over levels with these logits."""
        return self.independent(QuantizedCategorical(self.logits(raw), validate_args=False))
