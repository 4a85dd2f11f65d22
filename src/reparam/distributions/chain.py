"""Groups of variables, each given those before it."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

Factor = Callable[[Tensor], Distribution]
"""From the groups before, concatenated with shape (*, D_before), to the distribution of a group."""


def expanded(p: Distribution, value: Tensor) -> Distribution:
    """Return a distribution that depends on nothing, for values before it with shape (*, D)."""
    return p.expand(value.shape[:-1])


class Chain(Distribution):
    r"""The joint distribution of groups of variables by the chain rule.

    .. math:: p(z) = \prod_l p(z_l \mid z_1, \dots, z_{l-1})

    Arguments:
        factors: For each group, by name and in order, a function from the groups before to the
            distribution of this one.
        sizes: The size of each group.
        batch_shape: The shape of the batch.
        like: A tensor whose type and device draws take.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> steps = {
        ...     "first": lambda z: Independent(Normal(torch.zeros(2), 1.0), 1),
        ...     "second": lambda z: Independent(Normal(z, 0.1), 1),
        ... }
        >>> walk = Chain(steps, [2, 2])
        >>> walk.sample((5,)).shape, walk.log_prob(torch.zeros(5, 4)).shape
        (torch.Size([5, 4]), torch.Size([5]))
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        factors: Mapping[str, Factor],
        sizes: Sequence[int],
        batch_shape: Sequence[int] = (),
        like: Tensor | None = None,
    ) -> None:
        self.factors, self.sizes = factors, list(sizes)
        self._like = torch.empty(0) if like is None else like
        self._drawn: tuple[Tensor, dict[str, Distribution]] | None = None
        super().__init__(torch.Size(batch_shape), torch.Size([sum(sizes)]), validate_args=False)

    def given(self, value: Tensor) -> dict[str, Distribution]:
        """Return p(z_l | z_1 … z_{l-1}) of every group, at the values z with shape (*, D)."""
        drawn, given = self._drawn or (None, {})
        # What was drawn without gradients has distributions without them.
        if value is drawn and (value.requires_grad or not torch.is_grad_enabled()):
            return given
        ends = [sum(self.sizes[:number]) for number in range(len(self.sizes))]
        return {
            name: factor(value[..., :end])
            for (name, factor), end in zip(self.factors.items(), ends, strict=True)
        }

    def groups(self, value: Tensor) -> dict[str, Tensor]:
        """Return the groups of z with shape (*, D), by name."""
        return dict(zip(self.factors, value.split(self.sizes, dim=-1), strict=True))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(z), in nats with shape (*,)."""
        groups = self.groups(value)
        parts = [p.log_prob(groups[name]) for name, p in self.given(value).items()]
        return torch.stack(torch.broadcast_tensors(*parts)).sum(0)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw group after group, with shape (*sample_shape, *batch, D)."""
        shape = self._extended_shape(torch.Size(sample_shape))[:-1]
        z, given = self._like.new_empty(*shape, 0), {}
        for name, factor in self.factors.items():
            p = factor(z)
            # A first group that depends on nothing may have a smaller batch, or none.
            given[name] = p if p.batch_shape == shape else p.expand(shape)
            z = torch.cat([z, given[name].rsample()], dim=-1)
        self._drawn = z, given
        return z

    @property
    def mean(self) -> Tensor:
        """The centers, each given those before it; only the first is the mean of its group."""
        from reparam.distributions import center  # which is defined beside all distributions

        z = self._like.new_empty(*self.batch_shape, 0)
        for factor in self.factors.values():
            mean = center(factor(z))
            z = torch.cat([z, mean.expand(*z.shape[:-1], -1)], dim=-1)
        return z
