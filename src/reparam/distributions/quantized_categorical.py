"""A categorical distribution over grey levels, K evenly spaced values in [0, 1]."""

import torch
from torch import Tensor
from torch.distributions import Categorical, constraints
from torch.types import _size

from reparam.distributions.declared import Parametric


class QuantizedCategorical(Parametric):
    r"""A probability for each grey level k / (K - 1), k = 0 … K - 1.

    .. math:: p(x = k / (K - 1)) = \mathrm{softmax}(l)_k

    Arguments:
        logits: l, with shape (\*, *event, K).

    Example:
        >>> p = QuantizedCategorical(torch.zeros(3, 256))
        >>> p.mean, p.log_prob(torch.tensor([0.0, 0.2, 1.0]))
        (tensor([0.5000, 0.5000, 0.5000]), tensor([-5.5452, -5.5452, -5.5452]))
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(logits=logits, validate_args=False)
        self.logits = self._categorical.logits
        self.levels = int(logits.shape[-1])
        super().__init__(logits.shape[:-1], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return E[x] in [0, 1]."""
        logits = self.logits
        steps = torch.arange(self.levels, dtype=logits.dtype, device=logits.device)
        values = steps / (self.levels - 1)
        return (self._categorical.probs * values).sum(-1)

    def _log_prob(self, value: Tensor) -> Tensor:
        """Return log p of the level nearest to each entry of x, in nats."""
        return self._categorical.log_prob((value * (self.levels - 1)).round())

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws in [0, 1]."""
        return self._categorical.sample(sample_shape).to(self.logits) / (self.levels - 1)
