r"""Binary cross-entropy on grey pixels, the loss of many tutorials, which is not a likelihood.

.. math:: \log \tilde p(x) = x \log \mu + (1 - x) \log (1 - \mu)
"""

import torch
from torch import Tensor
from torch.distributions import Bernoulli, constraints
from torch.types import _size

from reparam.distributions.declared import Elementwise


class CrossEntropy(Elementwise):
    r"""Binary cross-entropy against values in [0, 1], as if it were a log-likelihood.

    .. math:: \log \tilde p(x) = x \log \mu + (1 - x) \log (1 - \mu), \qquad \mu = \sigma(l)

    Its exponential does not integrate to one over [0, 1]. Figures that are computed from it can be
    compared with other cross-entropies, not with a log-likelihood; ``is_normalized`` is False, and
    every report marks them. The same formula on pixels in {0, 1} is the ``Bernoulli``; with a
    normalizing constant on [0, 1] it is the ``ContinuousBernoulli``.

    Arguments:
        logits: l, with shape (\*, *event).

    Example:
        >>> p = CrossEntropy(torch.zeros(2))
        >>> p.log_prob(torch.tensor([0.0, 0.5])), p.is_normalized
        (tensor([-0.6931, -0.6931]), False)
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012
    support = constraints.unit_interval
    is_normalized = False

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Return μ, the x at which the derivative of the cross-entropy in l is zero."""
        return self.logits.sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the negative cross-entropy of each entry, in nats, with the shape of x."""
        if self._validate_args:
            self._validate_sample(value)
        return Bernoulli(logits=self.logits, validate_args=False).log_prob(value)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws in {0, 1}, on which the formula is a likelihood."""
        return Bernoulli(logits=self.logits, validate_args=False).sample(sample_shape)
