r"""A joint distribution by the chain rule, over groups of variables in one vector.

.. math:: p(z) = p(z_1) \prod_{l > 1} p(z_l \mid z_1, \dots, z_{l-1})

The priors and posteriors of hierarchies (z₁ … z_L) and of semi-supervised models (label y, then z)
are such chains.

Two chains whose groups are in different orders are distributions of the same vector after one of
them is reordered, so that their densities can be compared.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from reparam.distributions.declared import DeclaredDistribution
from reparam.distributions.last_draw import LastDraw
from reparam.distributions.queries import mean_or_mode

Factor = Callable[[Tensor], Distribution]
"""From the groups before, concatenated with shape (*, D_before), to the distribution of a group."""


class Chain(DeclaredDistribution):
    r"""The joint distribution of groups of variables, each given those before it.

    Arguments:
        factors: For each group, by name and in order, a function from the groups before to the
            distribution of this one; or a distribution where it depends on none of them, as the
            first group does. The batch of the chain is the batch of the first.
        sizes: The number of dimensions of each group.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> walk = Chain(
        ...     {
        ...         "first": Independent(Normal(torch.zeros(2), 1.0), 1),
        ...         "second": lambda z: Independent(Normal(z, 0.1), 1),
        ...     },
        ...     [2, 2],
        ... )
        >>> walk.sample((5,)).shape, walk.log_prob(torch.zeros(5, 4)).shape
        (torch.Size([5, 4]), torch.Size([5]))
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, factors: Mapping[str, Distribution | Factor], sizes: Sequence[int]) -> None:
        self.factors: dict[str, Factor] = {
            name: partial(_expanded, factor) if isinstance(factor, Distribution) else factor
            for name, factor in factors.items()
        }
        self.sizes = list(sizes)
        self._first = cast(Distribution, next(iter(factors.values())))
        self._last: LastDraw[dict[str, Distribution]] = LastDraw()
        event_shape = torch.Size([sum(self.sizes)])
        super().__init__(self._first.batch_shape, event_shape, validate_args=False)

    def then(self, name: str, factor: Factor, size: int) -> "Chain":
        """Return the chain with one more group, which depends on all groups of this one."""
        first = next(iter(self.factors))
        return Chain({**self.factors, first: self._first, name: factor}, [*self.sizes, size])

    def given(self, value: Tensor) -> dict[str, Distribution]:
        r"""Return p(z_l | z_1 … z_{l-1}) of every group, at the values z with shape (\*, D)."""
        last = self._last.result_of(value)
        if last is not None:
            return last
        ends = [sum(self.sizes[:number]) for number in range(len(self.sizes))]
        return {
            name: factor(value[..., :end])
            for (name, factor), end in zip(self.factors.items(), ends, strict=True)
        }

    def groups(self, value: Tensor) -> dict[str, Tensor]:
        r"""Return the groups of z with shape (\*, D), by name."""
        return dict(zip(self.factors, value.split(self.sizes, dim=-1), strict=True))

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return log p(z) of z with shape (\*, D), in nats with shape (\*,)."""
        groups = self.groups(value)
        parts = [p.log_prob(groups[name]) for name, p in self.given(value).items()]
        return torch.stack(torch.broadcast_tensors(*parts)).sum(0)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        r"""Draw group after group, with shape (\*sample_shape, \*batch, D)."""
        shape = self._extended_shape(torch.Size(sample_shape))[:-1]
        z, given = self._in_turn(shape, lambda p: p.rsample() if p.has_rsample else p.sample())
        self._last.keep(z, given)
        return z

    @property
    def mean(self) -> Tensor:
        """The mean of the first group, and of each other group at the means before it."""
        return self._in_turn(self.batch_shape, mean_or_mode)[0]

    def _in_turn(
        self, shape: torch.Size, value_of: Callable[[Distribution], Tensor]
    ) -> tuple[Tensor, dict[str, Distribution]]:
        """Return a value of every group given those before, and the distributions of the groups."""
        first, *others = self.factors
        given = {first: self._first.expand(shape)}
        z = value_of(given[first])
        for name in others:
            given[name] = self.factors[name](z)
            z = torch.cat([z, value_of(given[name])], dim=-1)
        return z, given


def _expanded(p: Distribution, before: Tensor) -> Distribution:
    """Return a distribution that depends on nothing, with the batch of the groups before it."""
    return p.expand(before.shape[:-1])


class Reordered(DeclaredDistribution):
    r"""The distribution of :math:`(z_{i_1}, \dots, z_{i_D})` for z from another distribution.

    Arguments:
        base: The distribution of z, over events of shape (D,).
        index: The places i in z of the entries, a permutation of 0 … D - 1, with shape (D,).

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> base = Independent(Normal(torch.tensor([0.0, 5.0]), 1.0), 1)
        >>> Reordered(base, torch.tensor([1, 0])).mean
        tensor([5., 0.])
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, index: Tensor) -> None:
        self.base, self.index = base, index
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return the log-density of values with shape (\*, D), in nats."""
        return self.base.log_prob(value[..., self.index.argsort()])

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return draws with shape (*sample_shape, *batch, D)."""
        return self.base.rsample(torch.Size(sample_shape))[..., self.index]

    @property
    def mean(self) -> Tensor:
        """The mean, with shape (*, D)."""
        return self.base.mean[..., self.index]
