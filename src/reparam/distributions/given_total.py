r"""Counts given their total, such as the genes of a cell given its library size.

.. math:: p(x \mid l) = \prod_d p(x_d; \mu_d = l\, \rho_d), \qquad l = \sum_d x_d
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from reparam.distributions.declared import DeclaredDistribution

_LEAST_TOTAL = 1e-6
"""The total that stands for 0, so that the logarithm of a mean is finite."""


class GivenTotal(DeclaredDistribution):
    r"""Independent counts whose means are shares of the total of the row.

    ``log_prob`` reads the total l off the row: it is log p(x | l) of x given its own total, as of a
    model with l as a condition. It is no mass of x, because it does not sum to one over rows of all
    totals, and it is higher than that of a model that has to explain the total too. Draws and the
    mean take their totals from those of the training data.

    Arguments:
        log_share: log ρ, whose exponentials sum to one over the event, with shape (\*, *event).
        totals: The totals that draws have, with equal probability, with shape (n,).
        counts: A function from log μ, with shape (\*, *event), to the distribution of single
            counts.
        n_axes: The number of axes of the event.

    References:
        Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 2018,
        with the observed library size.

    Example:
        >>> from reparam.distributions import Poisson
        >>> p = GivenTotal(torch.tensor([0.25, 0.75]).log(), torch.tensor([40.0]), Poisson)
        >>> p.mean, p.log_prob(torch.tensor([1.0, 3.0])).exp()  # Poisson(1; 1) Poisson(3; 3)
        (tensor([10.0000, 30.0000]), tensor(0.0824))
    """

    is_normalized = False
    unnormalized_because = "counts given their total"
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(
        self,
        log_share: Tensor,
        totals: Tensor,
        counts: Callable[[Tensor], Distribution],
        n_axes: int = 1,
    ) -> None:
        self.log_share, self.totals, self.counts, self.n_axes = log_share, totals, counts, n_axes
        n_batch = log_share.dim() - n_axes
        super().__init__(log_share.shape[:n_batch], log_share.shape[n_batch:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Return E[l] ρ, the mean over totals."""
        return self._given(self.totals.mean()).mean

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> "GivenTotal":
        """Return the distribution over a larger batch."""
        log_share = self.log_share.expand(*batch_shape, *self.event_shape)
        return GivenTotal(log_share, self.totals, self.counts, self.n_axes)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x | l) of each row, with its own total l, in nats."""
        axes = tuple(range(-self.n_axes, 0))
        return self._given(value.sum(axes, keepdim=True)).log_prob(value).sum(axes)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Return draws, each with the expected total of a training example."""
        with torch.no_grad():
            shape = (*sample_shape, *self.batch_shape, *(1 for _ in self.event_shape))
            chosen = torch.randint(len(self.totals), shape, device=self.totals.device)
            return self._given(self.totals[chosen]).sample()

    def _given(self, total: Tensor) -> Distribution:
        """Return the distribution of single counts, given totals that broadcast with the event."""
        return self.counts(self.log_share + total.to(self.log_share).clamp(min=_LEAST_TOTAL).log())
