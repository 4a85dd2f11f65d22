"""What the distributions of this package declare beyond those of torch.

``torch.distributions`` does not say whether a density integrates to one, or whether the mean is a
value that can be drawn. Here both are class attributes with a default, so that a new distribution
declares them in its own file.
"""

from abc import ABC
from typing import ClassVar, Literal, Self

from torch.distributions import Distribution, constraints
from torch.types import _size

Space = Literal["real vectors", "the unit sphere", "discrete codes", "codes of a codebook"]
"""The set that a latent vector z lies in."""


class DeclaredDistribution(Distribution, ABC):
    """Abstract: a torch distribution with declared properties."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    is_normalized: ClassVar[bool] = True
    """Whether ``log_prob`` is the logarithm of a density or mass that sums to one."""

    mean_is_value: bool = True
    """Whether the mean is a value of the distribution; where it is not, ``mode`` is one."""


class Elementwise(DeclaredDistribution, ABC):
    """Abstract: independent entries, with one value of every parameter for each entry.

    The parameters are the keys of ``arg_constraints``, attributes and arguments of the constructor.
    """

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Self:
        """Return the distribution over a larger batch."""
        parameters = {name: vars(self)[name].expand(batch_shape) for name in self.arg_constraints}
        return type(self)(**parameters, validate_args=False)
