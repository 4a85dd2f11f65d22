"""What the distributions of this package declare beyond those of torch.

``torch.distributions`` does not say whether a density integrates to one, or whether the mean is a
value that can be drawn. Here both are class attributes with a default, so that a new distribution
declares them in its own file.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

Space = Literal["real vectors", "the unit sphere", "discrete codes", "codes of a codebook"]
"""The set that a latent vector z lies in."""


class DeclaredDistribution(Distribution, ABC):
    """Abstract: a torch distribution with declared properties."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    is_normalized: ClassVar[bool] = True
    """Whether ``log_prob`` is the logarithm of a density or mass that sums to one."""

    unnormalized_because: ClassVar[str] = ""
    """What ``log_prob`` is where it is not normalized, in a few words."""

    mean_is_value: bool = True
    """Whether the mean is a value of the distribution; where it is not, ``mode`` is one."""

    def sample_in_range(self, known: Tensor | None = None) -> Tensor:
        """Return draws, with the shape of the batch and the event, in the range of the data.

        It differs from ``sample`` where a distribution knows that range: see ``MixedRow``.

        Arguments:
            known: Values that are given, NaN for others, in a shape that broadcasts to the draws.
        """
        x = self.sample()
        return x if known is None else torch.where(known.isnan(), x, known)

    def in_range(self, x: Tensor) -> Tensor:
        """Return whether each event lies in the range of the data, with the shape of the batch."""
        event = len(self.event_shape)
        return torch.ones(x.shape[: x.dim() - event], dtype=torch.bool, device=x.device)


def support_of(rest: Distribution) -> constraints.Constraint:
    """Return the support of a part of a mixture; the real numbers where it declares none."""
    found: constraints.Constraint | None = rest.support
    return constraints.real if found is None else found


class Parametric(DeclaredDistribution, ABC):
    """Abstract: a distribution that is given by tensors, and checks the values that it is given.

    The parameters are the keys of ``arg_constraints``, attributes and arguments of the constructor.
    The last axes of each are those of its constraint, and the others are the batch; a parameter may
    be None.
    """

    shared: ClassVar[tuple[str, ...]] = ()
    """The other arguments of the constructor, which are the same for the whole batch."""

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Self:
        """Return the distribution over a larger batch."""
        given = {name: vars(self)[name] for name in (*self.arg_constraints, *self.shared)}
        for name, constraint in self.arg_constraints.items():
            if given[name] is not None:
                own = given[name].shape[given[name].dim() - constraint.event_dim :]
                given[name] = given[name].expand(*batch_shape, *own)
        return type(self)(**given, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each event, in nats, with the shape of the batch.

        Raises:
            ValueError: Values outside the support, where arguments are validated.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._log_prob(value)

    @abstractmethod
    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p of values in the support."""
