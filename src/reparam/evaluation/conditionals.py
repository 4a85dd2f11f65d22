r"""What a model says of some entries of x given others, by self-normalized importance sampling.

.. math:: \mathbb E[f(x_{\mathrm{mis}}) \mid x_{\mathrm{obs}}] \approx
          \sum_k w_k\, \mathbb E[f(x_{\mathrm{mis}}) \mid z_k], \qquad
          w_k \propto \frac{p(x_{\mathrm{obs}} \mid z_k)\, p(z_k)}{r(z_k \mid x_{\mathrm{obs}})},
          \quad z_k \sim r

The proposal r is a mixture of the posterior and, with a small weight, of the prior, so that no
weight is without a bound. Where there are many draws, a third part is a Gaussian with the moments
of earlier weighted draws, which are not used again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, nan

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from reparam.distributions import MixedRow, mean_or_mode
from reparam.distributions.queries import sample_in_range
from reparam.divergence import is_real
from reparam.errors import DataError, OptionError, SupportError
from reparam.models.conditional import family_of
from reparam.models.latent import LatentModel
from reparam.models.missingness import completed, missingness_of
from reparam.schema import Schema
from reparam.utils.arguments import numbers

FROM_PRIOR = 0.1
"""The share of draws from the prior among those from the posterior."""

ADAPTED_FROM = 500
"""The number of draws from which on a Gaussian is adapted; fewer say too little of its moments."""

ROUNDS, ROUND_SHARE = 4, 0.25
"""How often the Gaussian is adapted, and the number of draws for it, as a share of all draws."""

ADAPTED, WIDER = 0.8, 1.3
"""The share of the Gaussian in draws that are not of the prior, and the factor of its variance."""

FEWEST_EFFECTIVE, EFFECTIVE_SHARE = 16, 0.1
"""The least effective number of draws that moments are taken of, and its share of these draws."""

N_HALVINGS = 12
"""The number of halvings of the interval of the power of weights."""

NO_WEIGHT = -1e30
"""The logarithm of no weight, which a power of 0 does not make NaN."""

N_ENTRIES, LEAST_ENTRIES = 20_000_000, 256
"""The largest number of numbers that are computed at once, and the least number for one draw: the
width of a layer."""


@dataclass(frozen=True)
class Weighted:
    """Weighted draws of z given the observed entries of examples.

    Arguments:
        z: The draws, with shape (K, B, L).
        log_weight: The logarithms of their weights, which sum to one over K, with shape (K, B).
        log_evidence: log p(x_obs) in nats, with shape (B,).
        likelihood: p(x | z) of the draws, with batch shape (K, B).
        x: Draws of the whole examples that the weights belong to, with shape (K, B, D), of a model
            of the mask or of given results; None where the weights are those of z.
    """

    z: Tensor
    log_weight: Tensor
    log_evidence: Tensor
    likelihood: Distribution
    x: Tensor | None = None

    @property
    def effective_sample_size(self) -> Tensor:
        r"""The effective number of draws, :math:`1 / \sum_k w_k^2`, with shape (B,)."""
        return (-(2 * self.log_weight).logsumexp(0)).exp()

    def resampled(self, values: Tensor, n: int) -> Tensor:
        """Return n of the draws of each example, chosen by their weights, with shape (n, B, L).

        Arguments:
            values: What was drawn, with shape (K, B, L).
            n: The number of draws.
        """
        chosen = torch.multinomial(self.log_weight.exp().T, n, replacement=True).T
        index = chosen.unsqueeze(-1).expand(-1, -1, values.shape[-1])
        return values.gather(0, index)


@numbers(n_samples=2)
def weighted_draws(
    model: LatentModel,
    x: Tensor,
    c: Tensor | None,
    n_samples: int,
    from_prior: float = FROM_PRIOR,
    given_mask: bool = False,
) -> Weighted:
    """Return weighted draws of z given the observed entries of x.

    Arguments:
        model: The model.
        x: The examples, with shape (B, *event), NaN for entries that are not observed.
        c: Their conditions, with shape (B, C).
        n_samples: The number K of draws for each example.
        from_prior: The share of draws from the prior.
        given_mask: Whether the weights also count which entries are missing, by the model's own
            model of the mask.

    Raises:
        OptionError: A share outside [0, 1).
    """
    if not 0 <= from_prior < 1:
        raise OptionError(f"from_prior={from_prior}: must be at least 0 and below 1")
    q, p = model.posterior(x, c), model.prior_distribution(c)
    event = model.as_event(x)
    proposal = _Proposal(q, p, from_prior)
    if n_samples >= ADAPTED_FROM and is_real(q):
        n_first = round(ROUND_SHARE * n_samples)
        for _ in range(ROUNDS):
            z = proposal.sample(n_first, len(x))
            log_weight = _likelihood(model, z, c).log_prob(event) + proposal.log_ratio(z)
            proposal = _Proposal(q, p, from_prior, _adapted(z, log_weight))
    z, whole = proposal.sample(n_samples, len(x)), None
    likelihood = _likelihood(model, z, c)
    log_weight = likelihood.log_prob(event) + proposal.log_ratio(z)
    if given_mask:
        whole, log_mask = completed(model, likelihood, event)
        log_weight = log_weight + log_mask
    # Of an example without any probability all draws count alike.
    log_weight = log_weight.nan_to_num(nan=-torch.inf)
    is_possible = log_weight.isfinite().any(0)
    log_weight = log_weight.masked_fill(~is_possible, 0.0)
    evidence = log_weight.logsumexp(0)
    log_evidence = (evidence - log(n_samples)).masked_fill(~is_possible, -torch.inf)
    return Weighted(z, log_weight - evidence, log_evidence, likelihood, whole)


def with_results(
    draws: Weighted, x: Tensor, schema: Schema, results: Mapping[str, float]
) -> Weighted:
    r"""Return draws of whole rows of which computed columns have given values.

    .. math:: w_k\, p(x_s \mid z_k), \qquad x_s \text{ such that } f(x_{-s}, x_s) = y,
              \quad x_{-s} \sim p(x_{-s} \mid z_k)

    Of each row all parts but one of a formula are drawn, and the last one is what the result leaves
    for it. For a sum these are weights of the density of x given y; for a product they leave out
    the derivative of the last part with respect to the result. Where a rounded result leaves
    several values of the part, the rows that have the result by chance count.

    Arguments:
        draws: The draws given the columns of x, of one example.
        x: The row with the given values, NaN for others, with shape (1, D).
        schema: The columns.
        results: The numbers of the computed columns, by name: see ``Schema.encode_conditions``.

    Raises:
        DataError: No draw has such values.
    """
    p = draws.likelihood
    if not isinstance(p, MixedRow):
        raise SupportError("only the rows of a table have computed columns")
    drawn = sample_in_range(p, x)
    before = drawn[:, 0].double().cpu().numpy()
    solved, places = schema.computed.impose(before, ~x[0].isnan().cpu().numpy(), results)
    rows = torch.from_numpy(solved).to(drawn).unsqueeze(1)
    is_open = rows[..., places].isnan().any(-1)
    log_p = p.log_prob_of_columns(rows)[..., places].sum(-1)
    if is_open.all():
        # A result that is rounded leaves several values of a part: only rows that have it count.
        fits = schema.computed.agree(before, {k: np.array(v) for k, v in results.items()})
        rows, is_open, log_p = drawn, ~torch.from_numpy(fits).to(is_open).unsqueeze(1), 0.0 * log_p
    elif p.region is not None:
        is_open |= p.region.outside(rows).any(-1)
    log_weight = (draws.log_weight + log_p).masked_fill(is_open, -torch.inf)
    if not log_weight.isfinite().any():
        said = ", ".join(f"{name}={value:g}" for name, value in results.items())
        raise DataError(
            f"given {said}: none of {len(rows):,} rows that the model draws has it beside the "
            "other given values; such rows are impossible or too rare, so give other values"
        )
    return replace(draws, log_weight=log_weight - log_weight.logsumexp(0), x=rows)


@dataclass(frozen=True)
class _Proposal:
    """The distribution that draws of z come from: each part gives a fixed number of them.

    Arguments:
        q: The posterior, with batch shape (B,).
        p: The prior, with batch shape (B,) or ().
        from_prior: The share of draws from the prior.
        adapted: The Gaussian that is adapted to draws before; None without one.
    """

    q: Distribution
    p: Distribution
    from_prior: float
    adapted: Distribution | None = None

    def _parts(self, n: int) -> list[tuple[int, Distribution]]:
        """Return the number of draws of each part, of n draws; parts without draws are left out."""
        n_prior = round(self.from_prior * n)
        n_adapted = 0 if self.adapted is None else round(ADAPTED * (n - n_prior))
        parts = [(n - n_prior - n_adapted, self.q), (n_prior, self.p)]
        parts += [] if self.adapted is None else [(n_adapted, self.adapted)]
        return [(k, part) for k, part in parts if k]

    def sample(self, n: int, n_examples: int) -> Tensor:
        """Return n draws for each of B examples, with shape (n, B, L)."""
        z = [
            part.sample(torch.Size([k] if part.batch_shape else [k, n_examples]))
            for k, part in self._parts(n)
        ]
        return torch.cat([each.to(z[0]) for each in z])

    def log_ratio(self, z: Tensor) -> Tensor:
        """Return log p(z) - log r(z) in nats, with shape (n, B)."""
        log_r = [part.log_prob(z) + log(k / len(z)) for k, part in self._parts(len(z))]
        return self.p.log_prob(z) - torch.stack([r.expand(z.shape[:2]) for r in log_r]).logsumexp(0)


def _adapted(z: Tensor, log_weight: Tensor) -> Distribution:
    r"""Return the diagonal Gaussians with the moments of weighted draws, a little wider.

    Where few draws have all of the weight, the weights are raised to a power below 1 that leaves a
    least effective number of draws.

    Arguments:
        z: The draws, with shape (K, B, L).
        log_weight: The logarithms of their weights, with shape (K, B).

    References:
        Cappé, Guillin, Marin & Robert, Population Monte Carlo, Journal of Computational and
        Graphical Statistics 2004; Ionides, Truncated importance sampling, ibid. 2008.
    """
    least = max(FEWEST_EFFECTIVE, EFFECTIVE_SHARE * len(z))
    log_weight = log_weight.nan_to_num(nan=NO_WEIGHT, neginf=NO_WEIGHT)
    low, high = torch.zeros_like(log_weight[0]), torch.ones_like(log_weight[0])
    tried = high
    for _ in range(1 + N_HALVINGS):
        weight = (tried * log_weight).softmax(0)
        is_enough = weight.square().sum(0).reciprocal() >= least
        low = torch.where(is_enough, tried, low)
        high = torch.where(is_enough, high, tried)
        tried = 0.5 * (low + high)
    weight = (low * log_weight).softmax(0).unsqueeze(-1)
    loc = (weight * z).sum(0)
    variance = (weight * (z - loc).square()).sum(0)
    # A posterior of no width at all would have no density.
    scale = (WIDER * variance).sqrt().clamp(min=1e-4)
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


def log_prob_of_entries(p: Distribution, x: Tensor) -> Tensor:
    r"""Return log p of each entry of x in nats, with shape (\*, D), of independent entries.

    Arguments:
        p: The distribution of x.
        x: The examples, with shape (\*, *event).

    Raises:
        SupportError: A distribution whose entries are not independent.

    Example:
        >>> from torch.distributions import Normal
        >>> p = Independent(Normal(torch.zeros(3), 1.0), 1)
        >>> log_prob_of_entries(p, torch.zeros(3))
        tensor([-0.9189, -0.9189, -0.9189])
    """
    if isinstance(p, MixedRow):
        return p.log_prob_of_columns(x)
    if not isinstance(p, Independent) or p.base_dist.event_shape:
        raise SupportError(
            f"{type(p).__name__} has entries that are not independent given z, so that a single "
            "one has no density: use a likelihood such as 'gaussian'"
        )
    return p.base_dist.log_prob(x).flatten(-p.reinterpreted_batch_ndims)


def log_conditionals(
    model: LatentModel, x: Tensor, c: Tensor | None = None, n_samples: int = 200
) -> Tensor:
    r"""Return log p(x_j | all other entries of x) in nats, with shape (B, D).

    .. math:: \log p(x_j \mid x_{-j}) \approx \log \sum_k w_k
              - \log \sum_k \frac{w_k}{p(x_j \mid z_k)}

    An entry that is not known, and left out of the likelihood, has NaN.

    Arguments:
        model: The model.
        x: The examples, with shape (B, *event).
        c: Their conditions, with shape (B, C).
        n_samples: The number of draws for each example.

    Raises:
        SupportError: A likelihood whose entries are not independent given z.
    """
    found = []
    for part, of_part in _parts(model, x, c, n_samples):
        draws = weighted_draws(model, part, of_part, n_samples)
        of_entries = log_prob_of_entries(draws.likelihood, model.as_event(part))
        # A missing value that is a value of its column has a probability.
        is_left_out = part.flatten(1).isnan() & (of_entries == 0).all(0)
        log_p = -(draws.log_weight.unsqueeze(-1) - of_entries).logsumexp(0)
        found.append(log_p.masked_fill(is_left_out, nan))
    return torch.cat(found)


@dataclass(frozen=True)
class Imputation:
    """Values for missing entries.

    Arguments:
        x: The examples with a value in every entry, with shape (N, D): the mean of a quantity, and
            the most probable class.
        low: The lower end of the interval of every entry, with shape (N, D).
        high: Its upper end.
        draws: Draws of whole examples given what was observed, with shape (M, N, D).
        effective_sample_size: The effective number of draws behind each example, with shape (N,).
        interval: The probability of the intervals.
    """

    x: Tensor
    low: Tensor
    high: Tensor
    draws: Tensor
    effective_sample_size: Tensor
    interval: float

    def cpu(self) -> "Imputation":
        """Return the same values on the CPU."""
        values = {k: v.cpu() for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Imputation(**values, interval=self.interval)

    @staticmethod
    def joined(parts: "Sequence[Imputation]") -> "Imputation":
        """Return the values for several parts of the examples as one."""
        axes = {"x": 0, "low": 0, "high": 0, "draws": 1, "effective_sample_size": 0}
        values = {k: torch.cat([vars(part)[k] for part in parts], axis) for k, axis in axes.items()}
        return Imputation(**values, interval=parts[0].interval)


@numbers(n_samples=2, n_draws=0)
def impute(
    model: LatentModel,
    x: Tensor,
    c: Tensor | None = None,
    *,
    n_samples: int = 1000,
    n_draws: int = 0,
    interval: float = 0.9,
) -> Imputation:
    """Return values for the entries of x that are NaN, given those that are not.

    With a model of the mask they are also given that they are missing.

    Arguments:
        model: The model.
        x: The examples, with shape (N, D), NaN for missing entries.
        c: Their conditions, with shape (N, C).
        n_samples: The number of importance samples for each example.
        n_draws: The number of draws of whole examples.
        interval: The probability of the intervals, between their quantiles.

    Raises:
        OptionError: An interval outside (0, 1).

    References:
        Mattei & Frellsen, ICML 2019 (MIWAE), equations 9 to 12; Ipsen, Mattei & Frellsen, ICLR
        2021 (not-MIWAE), equation 10.
    """
    if not 0 < interval < 1:
        raise OptionError(f"interval={interval}: a probability between 0 and 1 is needed")
    found: list[tuple[Tensor, ...]] = []
    masking = missingness_of(model)
    for part, of_part in _parts(model, x, c, n_samples):
        draws = weighted_draws(model, part, of_part, n_samples, given_mask=masking is not None)
        p = draws.likelihood
        weights = draws.log_weight.exp().unsqueeze(-1)
        sampled = p.sample() if draws.x is None else draws.x
        value = _point(p, draws.log_weight)
        if masking is not None:
            # The weights belong to the drawn values, not to z alone.
            value[:, masking.places] = (weights * sampled).sum(0)[:, masking.places]
        low, high = _quantiles(sampled, weights, ((1 - interval) / 2, (1 + interval) / 2))
        n = max(1, n_draws)
        if draws.x is None:
            filled = _likelihood(model, draws.resampled(draws.z, n), of_part)
            again = sample_in_range(filled, part)[:n_draws]
        else:
            again = draws.resampled(draws.x, n)[:n_draws]
        missing = part.isnan()
        kept = [torch.where(missing, each, part) for each in (value, low, high, again)]
        found.append((*kept[:3], kept[3].movedim(0, 1), draws.effective_sample_size))
    value, low, high, again, size = (torch.cat(each) for each in zip(*found, strict=True))
    return Imputation(value, low, high, again.movedim(1, 0), size, interval)


@numbers(n_samples=2)
def ranks_of(model: LatentModel, x: Tensor, hidden: Tensor, n_samples: int = 500) -> Tensor:
    r"""Return where known entries lie in their distribution given the others, from 0 to 1.

    .. math:: u_j = P(X_j < x_j \mid x_{\mathrm{rest}})
              + \tfrac12 P(X_j = x_j \mid x_{\mathrm{rest}})

    Of a model that is right the ranks of continuous entries are uniform.

    Arguments:
        model: The model.
        x: The examples, with shape (N, D).
        hidden: The entries that are hidden, as booleans with the same shape.
        n_samples: The number of importance samples for each example.

    Returns:
        The ranks, with shape (N, D), NaN for entries that were not hidden.
    """
    found = []
    for part, is_hidden in zip(
        (p for p, _ in _parts(model, x, None, n_samples)),
        (p for p, _ in _parts(model, hidden, None, n_samples)),
        strict=True,
    ):
        draws = weighted_draws(model, part.masked_fill(is_hidden, nan), None, n_samples)
        sampled = draws.likelihood.sample()
        below = (sampled < part).to(part) + 0.5 * (sampled == part).to(part)
        rank = (draws.log_weight.exp().unsqueeze(-1) * below).sum(0)
        found.append(rank.masked_fill(~is_hidden, nan))
    return torch.cat(found)


def _point(p: Distribution, log_weight: Tensor) -> Tensor:
    """Return the mean of quantities and the most probable classes over weighted draws.

    Arguments:
        p: The distribution of x for each draw of z, with batch shape (K, B).
        log_weight: The logarithms of the weights of the draws, with shape (K, B).
    """
    weights = log_weight.exp().unsqueeze(-1)
    if not isinstance(p, MixedRow):
        return (weights * mean_or_mode(p).flatten(2)).sum(0)
    found = torch.empty(*log_weight.shape[1:], *p.event_shape).to(log_weight)
    for places, part, _ in p.parts:
        if isinstance(part, Categorical):
            found[:, places] = (weights.unsqueeze(-1) * part.probs).sum(0).argmax(-1).to(found)
        else:
            found[:, places] = (weights * part.mean).sum(0)
    return found


def _quantiles(values: Tensor, weights: Tensor, levels: tuple[float, float]) -> list[Tensor]:
    """Return quantiles of weighted values over the first axis, each with shape (B, D).

    Arguments:
        values: The values, with shape (K, B, D).
        weights: Their weights, with shape (K, B, 1), which sum to one.
        levels: The probabilities of the quantiles.
    """
    ordered, order = values.sort(0)
    reached = weights.expand_as(values).gather(0, order).cumsum(0)
    found = []
    for level in levels:
        place = (reached < level).sum(0, keepdim=True).clamp(max=len(values) - 1)
        found.append(ordered.gather(0, place)[0])
    return found


def _likelihood(model: LatentModel, z: Tensor, c: Tensor | None) -> Distribution:
    """Return p(x | z, c), in which an entry that is NaN is not known, and no value of its own."""
    p = model.likelihood(z, c)
    return p.observed if isinstance(p, MixedRow) else p


def _parts(
    model: LatentModel, x: Tensor, c: Tensor | None, n_samples: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield parts of examples and conditions whose draws fit in memory."""
    n = rows_at_once(model, x, n_samples)
    for start in range(0, len(x), n):
        rows = slice(start, start + n)
        yield x[rows], None if c is None else c[rows]


def rows_at_once(model: LatentModel, x: Tensor, n_samples: int) -> int:
    """Return the number of examples whose draws fit in memory.

    Arguments:
        model: The model.
        x: The examples, with shape (N, *event).
        n_samples: The number of draws for each example.
    """
    return max(1, N_ENTRIES // (n_samples * entries_of(model, x)))


def entries_of(model: LatentModel, x: Tensor) -> int:
    """Return about how many numbers the decoder computes for one draw of one example.

    Arguments:
        model: The model.
        x: The examples, with shape (N, *event).
    """
    family = family_of(model.decoder)
    n_raw = 0 if family is None else family.raw_shape.numel()
    return max(LEAST_ENTRIES, n_raw, x[0].numel())
