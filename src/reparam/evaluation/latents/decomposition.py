r"""The mean KL of posteriors and prior in its parts, by draws from the aggregate posterior.

.. math:: q(z) = \frac1N \sum_n q(z \mid x_n), \qquad
          \frac1N \sum_n \mathrm{KL}(q(z \mid x_n) \| p(z)) = I(n; z) + \mathrm{KL}(q(z) \| p(z))
"""

from collections.abc import Callable, Sequence
from math import log
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from reparam.distributions import OneHotCodes, TriangularNormal, VonMisesFisher, base_distribution
from reparam.divergence import CLOSED_FORM, check_comparable, kl
from reparam.errors import ShapeError, SupportError
from reparam.evaluation.figure import Figure
from reparam.utils.arguments import numbers
from reparam.utils.seeding import seeded

# Larger tables of densities fall out of a CPU's cache, and take several times longer.
_TABLE_MB = 8
# So many posteriors are drawn from a second time where the draws are of each but one.
_N_SECOND = 200


class Decomposition(NamedTuple):
    r"""The mean KL of posteriors and prior, in its parts.

    Arguments:
        mutual_information: :math:`I(n; z) = \frac1N \sum_n \mathrm{KL}(q(z \mid x_n) \| q(z))`.
        marginal_kl: :math:`\mathrm{KL}(q(z) \| p(z))`, the rest of the mean KL.
        total_correlation: :math:`\mathrm{KL}(q(z) \| \prod_j q(z_j))`, the first part of that rest;
            None where the posteriors do not factorize.
        dimension_wise_kl: :math:`\sum_j \mathrm{KL}(q(z_j) \| p(z_j))`, the second part; None where
            the posteriors or the prior do not factorize.
        n_examples: The number N of posteriors.
    """

    mutual_information: Figure
    marginal_kl: Figure
    total_correlation: Figure | None
    dimension_wise_kl: Figure | None
    n_examples: int


@numbers(n_samples=2)
def decompose(
    q: Distribution,
    prior: Distribution,
    n_samples: int = 1000,
    *,
    mean_kl: float | None = None,
    seed: int = 0,
    max_memory_mb: int = _TABLE_MB,
) -> Decomposition:
    r"""Split the mean KL of posteriors and prior into its parts.

    .. math:: \frac1N \sum_n \mathrm{KL}(q(z \mid x_n) \| p(z))
              = I(n; z) + \mathrm{KL}\Bigl(q(z) \Big\| \prod_j q(z_j)\Bigr)
              + \sum_j \mathrm{KL}(q(z_j) \| p(z_j)), \qquad
              q(z) = \frac1N \sum_n q(z \mid x_n)

    which are the mutual information of an example's number and its code, the total correlation and
    the dimension-wise KL; the latter two together are the marginal KL, :math:`\mathrm{KL}(q(z) \|
    p(z))`.

    All parts come from the same draws. Where the mean KL is known, its sampled value serves as a
    control variate: the parts then sum up to it exactly, with less noise in each.

    The estimates are those of the mixture of the N posteriors that are given: without the control
    variate they have no bias; its slope, found from the same draws, brings one of the order of
    1/S for S draws, far below the standard error. The mutual
    information of a number n and a code is at most log N, and that of all data may be larger: a
    value near log N means only that no two of the N codes overlap. The rest of the mean KL is then
    counted to the marginal KL, and in it to the total correlation, since a mixture of N posteriors
    that hardly overlap has gaps that its margins do not have.

    Arguments:
        q: The posteriors of N examples, with batch shape (N,) and event shape (D,).
        prior: p(z), with batch shape ().
        n_samples: The number of draws from q(z); spread evenly over the examples.
        mean_kl: The left side in nats, where it is known better than from these draws; None for
            its closed form if there is one.
        seed: The seed of the draws.
        max_memory_mb: The largest table of densities, in MiB.

    Raises:
        OptionError: Fewer than two draws, whose standard error is no number.
        ShapeError: Posteriors or a prior with another batch shape.
        SupportError: The prior has no mass where a posterior has.

    References:
        Hoffman & Johnson, ELBO surgery, NIPS workshop 2016, eq. 5; Chen et al., NeurIPS 2018,
        eq. 2.

    Example:
        >>> loc = torch.tensor([[-9.0, 0.0], [9.0, 0.0]])
        >>> q = Independent(Normal(loc, 1.0), 1)
        >>> parts = decompose(q, Independent(Normal(torch.zeros(2), 1.0), 1))
        >>> round(parts.mutual_information.value, 3), round(log(2), 3)
        (0.693, 0.693)
        >>> round(parts.mutual_information.value + parts.marginal_kl.value, 4)  # ½ 9²
        40.5
    """
    _require_batches(q, prior)
    check_comparable(q, prior)
    found = _densities(q, n_samples, seed, max_memory_mb, margins=_factorizes(q))
    log_prior = found.draws.log_prob(prior)
    mean_kl = _closed_form(q, prior) if mean_kl is None else mean_kl
    whole, draws, margins = found.own - log_prior, found.draws, found.margins

    def part(values: Tensor) -> Figure:
        if mean_kl is None:
            return draws.estimate(values)
        # The regression on the sampled KL, whose mean is known; all slopes sum to one.
        around = (whole - whole[: draws.n_samples].mean())[: draws.n_samples]
        spread = around.square().sum()
        slope = (around * values[: draws.n_samples]).sum() / spread if spread > 0 else 0.0
        return draws.estimate(values - slope * (whole - mean_kl))

    parts = Decomposition(
        part(found.own - found.joint), part(found.joint - log_prior), None, None, q.batch_shape[0]
    )
    if margins is not None:
        parts = parts._replace(total_correlation=part(found.joint - margins))
        if _factorizes(prior, 0):
            parts = parts._replace(dimension_wise_kl=part(margins - log_prior))
    return parts


@numbers(n_samples=2)
def aggregate_kl(
    q: Distribution,
    prior: Distribution,
    n_samples: int = 1000,
    *,
    seed: int = 0,
    max_memory_mb: int = _TABLE_MB,
) -> Figure:
    r"""Estimate how far the posteriors of all data together lie from the prior.

    .. math:: \mathrm{KL}(q(z) \| p(z)) \approx \frac1S \sum_s \log q(z_s) - \log p(z_s), \qquad
              q(z) = \frac1N \sum_n q(z \mid x_n), \quad z_s \sim q(z)

    The estimate is unbiased for the mixture of the N posteriors that are given. As an estimate for
    all data it is too high, and most where posteriors hardly overlap: no example's share of the
    mixture is below 1/N, so :math:`\log q(z_s) \ge \log q(z_s \mid x_n) - \log N`. Give as many
    examples as you can. The mean KL of the posteriors less this divergence is the mutual
    information of x and z, at most log N.

    Arguments:
        q: The posteriors of N examples, with batch shape (N,) and event shape (D,).
        prior: p(z), with batch shape ().
        n_samples: The number S of draws; spread evenly over the examples.
        seed: The seed of the draws.
        max_memory_mb: The largest part of the S × N table of densities, in MiB.

    Raises:
        OptionError: Fewer than two draws, whose standard error is no number.
        ShapeError: Posteriors or a prior with another batch shape.

    References:
        Hoffman & Johnson, ELBO surgery, NIPS workshop 2016, eq. 4.

    Example:
        >>> unit = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> aggregate_kl(unit.expand((10,)), unit).value < 1e-5
        True
    """
    _require_batches(q, prior)
    found = _densities(q, n_samples, seed, max_memory_mb)
    return found.draws.estimate(found.joint - found.draws.log_prob(prior))


@numbers(n_samples=2)
def total_correlation(
    q: Distribution, n_samples: int = 1000, *, seed: int = 0, max_memory_mb: int = _TABLE_MB
) -> Figure:
    r"""Estimate how much the dimensions of the aggregate posterior depend on each other.

    .. math:: \mathrm{TC} = \mathrm{KL}\Bigl(q(z) \Big\| \prod_j q(z_j)\Bigr)
              \approx \frac1S \sum_s \log q(z_s) - \sum_j \log q(z_{sj}), \qquad
              q(z) = \frac1N \sum_n q(z \mid x_n), \quad z_s \sim q(z)

    Both q(z) and its margins are those of the mixture of the N posteriors that are given, for which
    the estimate is unbiased; with few examples that mixture is lumpier than that of all data.

    Arguments:
        q: The posteriors of N examples, which factorize, with batch shape (N,) and event shape
            (D,).
        n_samples: The number S of draws; spread evenly over the examples.
        seed: The seed of the draws.
        max_memory_mb: The largest part of the S × N × D table of densities, in MiB.

    Raises:
        OptionError: Fewer than two draws, whose standard error is no number.
        ShapeError: Posteriors that do not factorize, or are no batch (N,).

    References:
        Watanabe, IBM Journal 1960; Chen et al., NeurIPS 2018, eq. 2 and appendix C.

    Example:
        >>> loc = torch.randn(100, 1, generator=torch.Generator().manual_seed(0)).expand(100, 2)
        >>> total_correlation(Independent(Normal(loc, 0.1), 1)).value > 1
        True
    """
    if not _factorizes(q):
        raise ShapeError(
            f"posteriors {type(q).__name__} of batch shape {tuple(q.batch_shape)}: the total "
            "correlation needs a batch (N,) of posteriors that factorize over dimensions"
        )
    found = _densities(q, n_samples, seed, max_memory_mb, margins=True)
    return found.draws.estimate(found.joint - cast(Tensor, found.margins))


def joined(parts: Sequence[Distribution]) -> Distribution | None:
    """Return batches of posteriors as one batch; None for a kind whose densities cost a network.

    Arguments:
        parts: Distributions of one kind, with batch shapes (B_1,), (B_2,) and so on.

    Example:
        >>> q = Independent(Normal(torch.zeros(2, 3), 1.0), 1)
        >>> joined([q, q]).batch_shape
        torch.Size([4])
    """

    def each(tensor: Callable[[Any], Tensor]) -> Tensor:
        return torch.cat([tensor(part) for part in parts])

    match parts[0]:
        case Independent(reinterpreted_batch_ndims=n_axes):
            inner = joined([part.base_dist for part in parts if isinstance(part, Independent)])
            return None if inner is None else Independent(inner, n_axes, validate_args=False)
        case Normal():
            return Normal(each(lambda q: q.loc), each(lambda q: q.scale), validate_args=False)
        case MultivariateNormal():
            return TriangularNormal(each(lambda q: q.loc), each(lambda q: q.scale_tril))
        case VonMisesFisher():
            return VonMisesFisher(
                each(lambda q: q.loc), each(lambda q: q.concentration), validate_args=False
            )
        case OneHotCodes(temperature=temperature):
            return OneHotCodes(each(lambda q: q.logits), temperature)
    return None


class _Draws(NamedTuple):
    """Draws z from q(z) = Σ_n q(z | x_n) / N, spread evenly over the examples.

    The first ``n_samples`` of the rows of ``z`` are the draws. Where they come from less than two
    rounds over the examples, second draws from some of the posteriors follow, which only measure
    how much draws from one posterior vary. ``owner`` is the number n of the posterior of each row,
    on the CPU.
    """

    z: Tensor
    owner: Tensor
    n_samples: int
    n_examples: int

    def log_prob(self, prior: Distribution) -> Tensor:
        """Return log p(z) of every row, float64 on the CPU."""
        return prior.log_prob(self.z).detach().cpu().double()

    def estimate(self, values: Tensor) -> Figure:
        r"""Return the mean of values, one for each row of z, and its standard error.

        .. math:: \mathrm{stderr}^2 = \frac1S \Bigl(\sigma_w^2
                  + \frac{m}{S} \Bigl(1 - \frac mN\Bigr) \sigma_b^2\Bigr)

        Values vary within posteriors (σ_w²) and between them (σ_b²). Whole rounds over the examples
        leave nothing of the latter; it counts for the m posteriors that were chosen at random for
        the last round.

        References:
            Cochran, Sampling Techniques, 1977, eq. 5.6 (strata) and eq. 10.15 (two stages).
        """
        drawn, n = values[: self.n_samples], self.n_samples
        counts = self.owner.bincount(minlength=self.n_examples)
        means = self.owner.bincount(values, self.n_examples) / counts.clamp(min=1)
        n_free = int((counts - 1).clamp(min=0).sum())
        within = float((values - means[self.owner]).square().sum()) / n_free if n_free else 0.0
        between = max(0.0, float(drawn.var()) - within)
        n_last = n % self.n_examples
        left = n_last / n * (1 - n_last / self.n_examples)
        stderr = ((within + left * between) / n) ** 0.5
        return Figure(float(drawn.mean()), stderr, n, unit="nats")


class _Densities(NamedTuple):
    """Log-densities of draws from q(z), float64 on the CPU with one for each row of z.

    ``own`` is log q(z | x) of the example that z was drawn for, ``joint`` is log q(z), ``margins``
    is Σ_j log q(z_j).
    """

    draws: _Draws
    own: Tensor
    joint: Tensor
    margins: Tensor | None


@torch.no_grad()
def _densities(
    q: Distribution, n_samples: int, seed: int, max_memory_mb: int, margins: bool = False
) -> _Densities:
    n = q.batch_shape[0]
    draws = _aggregate_draws(q, n_samples, seed)
    # Two temporaries of the size of the table, as a density makes them.
    rows = max(1, max_memory_mb * 2**20 // (2 * 4 * n * max(1, q.event_shape.numel())))
    own, joint, products = [], [], []
    for some, owners in zip(draws.z.split(rows), draws.owner.split(rows), strict=True):
        if margins and isinstance(q, Independent):
            single = q.base_dist.log_prob(some.unsqueeze(1))
            log_q = single.sum(-1)
            products.append(single.logsumexp(1).double().sum(-1) - q.event_shape[0] * log(n))
        else:
            log_q = q.log_prob(some.unsqueeze(1))
        own.append(log_q.gather(1, owners[:, None].to(log_q.device))[:, 0])
        joint.append(log_q.double().logsumexp(1) - log(n))
    return _Densities(
        draws,
        torch.cat(own).cpu().double(),
        torch.cat(joint).cpu(),
        torch.cat(products).cpu() if products else None,
    )


def _aggregate_draws(q: Distribution, n_samples: int, seed: int) -> _Draws:
    """Return draws from the mixture of N posteriors."""
    n = q.batch_shape[0]
    tensors = [value for value in vars(base_distribution(q)).values() if isinstance(value, Tensor)]
    device = tensors[0].device if tensors else torch.device("cpu")
    with seeded(device, seed):
        rounds = -(-n_samples // n)
        z = q.sample(torch.Size([rounds])).flatten(0, 1)
        # Whole rounds over the examples, then a random choice among those of the last one.
        order = torch.randperm(n)
        whole = (rounds - 1) * n
        chosen = torch.cat([torch.arange(whole), order[: n_samples - whole] + whole])
        again = order[:0]
        if n_samples < 2 * n:
            again = (order[:n_samples] if rounds == 1 else order.flip(0))[:_N_SECOND]
        z = torch.cat([z[chosen.to(z.device)], q.sample()[again.to(z.device)]])
    return _Draws(z, torch.cat([chosen % n, again]), n_samples, n)


def _require_batches(q: Distribution, prior: Distribution) -> None:
    if len(q.batch_shape) != 1 or len(prior.batch_shape) != 0:
        raise ShapeError(
            f"posteriors of batch shape {tuple(q.batch_shape)} and a prior of batch shape "
            f"{tuple(prior.batch_shape)}: give a batch (N,), and a single distribution as prior"
        )


def _factorizes(distribution: Distribution, n_batch_axes: int = 1) -> bool:
    """Return whether the D entries of an event are independent of each other."""
    return (
        isinstance(distribution, Independent)
        and distribution.reinterpreted_batch_ndims == 1
        and len(distribution.batch_shape) == n_batch_axes
    )


def _closed_form(q: Distribution, prior: Distribution) -> float | None:
    try:
        return float(kl(q, prior, method=CLOSED_FORM).value.detach().double().mean())
    except SupportError:
        return None
