"""The tutorials' cross-entropy on grey pixels, which is no likelihood."""

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, constraints
from torch.types import _size


class CrossEntropy(Distribution):
    r"""Binary cross-entropy against values in [0, 1], as if it were a log-likelihood.

    .. math:: \log \tilde p(x) = x \log \mu + (1 - x) \log (1 - \mu), \qquad \mu = \sigma(l)

    Its exponential does not integrate to one over [0, 1]: what follows from it is comparable with
    other cross-entropies, never with a likelihood. ``is_normalized`` is False, and everything that
    reports a number says so. The same formula on pixels in {0, 1} is the ``Bernoulli``; with its
    normaliser on [0, 1] it is the ``ContinuousBernoulli``.

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

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> "CrossEntropy":
        """Return the pseudo-distribution over a larger batch."""
        return CrossEntropy(self.logits.expand(batch_shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Return μ, the value that the cross-entropy of x = μ is smallest at."""
        return self.logits.sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the negative cross-entropy of each entry, in nats, with the shape of x."""
        if self._validate_args:
            self._validate_sample(value)
        return Bernoulli(logits=self.logits, validate_args=False).log_prob(value)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return black and white draws, the only ones that the formula is a likelihood of."""
        return Bernoulli(logits=self.logits, validate_args=False).sample(sample_shape)
