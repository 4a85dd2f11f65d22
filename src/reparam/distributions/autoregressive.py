r"""Sequences of classes, each given those before it.

.. math:: \log p(x) = \sum_{t=1}^T \log p(x_t \mid x_1, \dots, x_{t-1})
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, constraints

from reparam.distributions.declared import DeclaredDistribution
from reparam.utils.arguments import as_int


class Autoregressive(DeclaredDistribution):
    r"""A sequence of T classes, drawn one after the other.

    .. math:: \log p(x) = \sum_{t=1}^T \log p(x_t \mid x_1, \dots, x_{t-1})

    Arguments:
        logits: A function from sequences, int64 with shape (\*, *batch, T), to logits with shape
            (\*, *batch, T, V). The logits at position t may depend on the classes before t only.
        length: T.
        batch_shape: The shape of the batch.
        device: The device that sequences are drawn on.
        step: A faster function for draws; ``logits`` is used when None. It takes x, with shape
            (\*, *batch, T), the position t, and the state that it returned for t - 1 (None at
            first), and returns the logits at t, with shape (\*, *batch, V), and the next state.

    References:
        Bengio et al., A neural probabilistic language model, JMLR 2003, eq. 1.

    Example:
        >>> coins = Autoregressive(lambda x: torch.zeros(*x.shape, 2), length=3)
        >>> round(coins.log_prob(torch.tensor([0, 1, 1])).exp().item(), 4)
        0.125
    """

    support = constraints.independent(constraints.nonnegative_integer, 1)
    mean_is_value = False

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        length: int,
        batch_shape: Sequence[int] = (),
        device: torch.device | str = "cpu",
        step: Callable[[Tensor, int, Any], tuple[Tensor, Any]] | None = None,
    ) -> None:
        length = as_int("length", length, minimum=1)
        self.logits = logits
        self.step = step
        self.device = torch.device(device)
        super().__init__(torch.Size(batch_shape), torch.Size([length]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of sequences with shape (*, *batch, T), in nats with shape (*, *batch)."""
        value = value.long()
        value = value.expand(torch.broadcast_shapes(value.shape, self._extended_shape()))
        return Categorical(logits=self.logits(value), validate_args=False).log_prob(value).sum(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw sequences class by class, with shape (*sample_shape, *batch, T)."""
        return self._each(sample_shape, lambda logits: Categorical(logits=logits).sample())

    @property
    def mode(self) -> Tensor:
        """The sequence of the most probable class at each position, given those before it."""
        return self._each((), lambda logits: logits.argmax(-1))

    def _each(self, sample_shape: Sequence[int], choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Return sequences whose class at each position is chosen by its logits."""
        shape = self._extended_shape(torch.Size(sample_shape))
        x = torch.zeros(shape, dtype=torch.long, device=self.device)
        state: Any = None
        with torch.no_grad():
            for t in range(shape[-1]):
                if self.step is None:
                    logits = self.logits(x)[..., t, :]
                else:
                    logits, state = self.step(x, t, state)
                x[..., t] = choose(logits)
        return x
