r"""The figures of the likelihood: the bound and its terms, log p(x), and bits per dimension.

.. math:: \mathcal L(x) = \mathbb E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \| p(z)), \qquad
          \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)}, \qquad
          \text{bits} = -\frac{\log p(x)}{D \ln 2}
"""

from math import inf, log
from typing import Any

from torch import Tensor

from reparam.batch import Batch, in_chunks
from reparam.errors import OptionError
from reparam.evaluation.context import Context
from reparam.evaluation.figure import Facts, Figure, Figures
from reparam.evaluation.likelihood.annealed import (
    Annealing,
    annealed_importance,
    bidirectional,
    check_annealable,
    is_gaussian,
)
from reparam.evaluation.likelihood.bits import raw_bits
from reparam.evaluation.likelihood.precision import CHANCE, computed_in_float64, held
from reparam.evaluation.likelihood.proposal import TUNED, is_tunable
from reparam.evaluation.metric import METRICS, Measured, Metric, Needs, Quantity, Section
from reparam.isolation import isolated
from reparam.models.latent import LatentModel, standardization_of

NO_ELBO = (
    "the code is deterministic, so that it has no density: there is no KL, no ELBO and no "
    "likelihood of x, only a reconstruction"
)


def _bound(facts: Facts, figures: Figures) -> str:
    return "lower bound of log p(x)" if facts.is_likelihood else "reconstruction - kl"


@METRICS.register("bound")
class Bound(Metric):
    """The ELBO, the reconstruction and the KL, with its parts by dimension and by layer."""

    section = Section.BOUND
    needs = Needs.LATENTS
    quantities = (
        Quantity(
            "elbo", _bound, "nats", higher_is_better=True, is_compared=True, is_likelihood=True
        ),
        Quantity(
            "reconstruction",
            "mean log p(x | z) over draws of z",
            "nats",
            higher_is_better=True,
            is_compared=True,
        ),
        Quantity(
            "kl",
            lambda facts, figures: f"KL of q(z | x) and p(z) ({facts.kl_method})",
            "nats",
            is_compared=True,
        ),
    )

    def compute(self, context: Context) -> Measured:
        """Return the means over the examples."""
        draws = context.draws
        figures = {"reconstruction": Figure.mean(draws.reconstruction)}
        facts = {"kl_method": draws.kl_method, "latent_dim": context.codes.shape[1]}
        if not draws.has_density:
            return Measured(figures, {**facts, "note": NO_ELBO})
        figures |= {"elbo": Figure.mean(draws.elbo), "kl": Figure.mean(draws.kl)}
        if draws.kl_per_dimension is not None:
            facts["kl_per_dimension"] = tuple(draws.kl_per_dimension.mean(0).tolist())
            if len(draws.kl_per_dimension) > 1:
                stderr = draws.kl_per_dimension.std(0) / len(draws.kl_per_dimension) ** 0.5
                facts["kl_per_dimension_stderr"] = tuple(stderr.tolist())
        if draws.kl_groups:
            groups = {name: Figure.mean(values) for name, values in draws.kl_groups.items()}
            facts["kl_groups"] = {name: one.value for name, one in groups.items()}
            facts["kl_groups_stderr"] = {name: one.stderr for name, one in groups.items()}
        return Measured(figures, facts)


NO_LIKELIHOOD = (
    "the decoder's log-density is not normalized ({why}), so this is no likelihood of x: "
    "importance sampling bounds no likelihood of x, and bits per dimension do not exist"
)

A_DENSITY = (
    "x is continuous, so log p(x) is the logarithm of a density: it may be positive, and is no "
    "number of bits"
)

IN_CELLS = (
    "every column is rounded, so log p(x) is the logarithm of a probability: that of the cell of "
    "all numbers that are rounded to x"
)


OF_CLASSES = "every column is one of several classes, so log p(x) is the logarithm of a probability"


def _nature(context: Context) -> tuple[str, int | None]:
    """Return a note on what log p(x) is, and the number of rounded columns of a table."""
    layer = None if context.is_directed else standardization_of(context.latent)
    if context.spec.schema is not None and layer is None:
        return OF_CLASSES, None
    if layer is None or not layer.per_entry:
        return A_DENSITY, None
    n_rounded, n = int((layer.width > 0).sum()), layer.width.numel()
    if n_rounded == n:
        return IN_CELLS, n
    if not n_rounded:
        return A_DENSITY, 0
    return (
        f"{n_rounded} of {n} columns are rounded and count with the probability of a cell, the "
        "others with a density: log p(x) is comparable for the same columns in the same units only"
    ), n_rounded


# Nats that log_likelihood may be too low without a warning: about the bias at 20 effective draws.
_TOO_LOW = 0.025


def _estimate(facts: Facts, figures: Figures) -> str:
    if facts.n_samples is None:
        return "the exact log-probability"
    of = "" if facts.proposal in (None, "posterior") else f" from a {facts.proposal} proposal"
    if not facts.is_likelihood:
        return f"importance-sampled, but no likelihood{of}"
    return f"log p(x) by importance sampling{of}"


def _share(facts: Facts, figures: Figures) -> str:
    n = facts.n_samples
    count = figures["effective_sample_size"].value * (n or 0)
    draws = "" if n is None else f", {count:,.{0 if count >= 10 else 1}f} of {n:,}"
    return f"share of draws that count{draws}; 1 for an exact posterior"


@METRICS.register("likelihood")
class Likelihood(Metric):
    """log p(x), exact for a directed model, and the effective sample size of the draws."""

    section = Section.BOUND
    quantities = (
        Quantity(
            "log_likelihood",
            _estimate,
            "nats",
            higher_is_better=True,
            is_compared=True,
            is_likelihood=True,
        ),
        Quantity("effective_sample_size", _share, higher_is_better=True),
    )

    def compute(self, context: Context) -> Measured:
        """Return the means over the examples, and warnings where they rest on too few draws."""
        if not context.has_likelihood:
            return Measured(facts={"is_likelihood": False})
        facts: dict[str, Any] = {"is_likelihood": context.is_normalized}
        if context.bits_offset is None:
            nature, facts["n_rounded"] = _nature(context)
            why = context.unnormalized_because or "one of its factors is not"
            facts["note"] = nature if context.is_normalized else NO_LIKELIHOOD.format(why=why)
        likelihood = Figure.mean(context.log_likelihood)
        if context.is_directed:
            warnings = not_finite(log_likelihood=likelihood)
            return Measured({"log_likelihood": likelihood}, facts, warnings)
        draws = context.draws
        effective = Figure.mean(draws.effective_sample_size)
        figures = {"log_likelihood": likelihood, "effective_sample_size": effective}
        facts |= {"n_samples": draws.n_samples, "proposal": context.proposal}
        n = len(context.batch)
        n_impossible = int(draws.impossible.sum())
        known = {} if n_impossible else {"log_likelihood": likelihood}
        warnings = not_finite(elbo=Figure.mean(draws.elbo), **known)
        warnings += impossible(n_impossible, n, is_mass=draws.decoder.is_mass)
        # All draws of a single sequence of codes are the same, so that none are too few.
        if draws.indices is None:
            n_samples = context.n_samples
            tunable = context.proposal != TUNED and is_tunable(context.posterior)
            alone = draws.log_likelihood - draws.elbo > log(n_samples)
            alone &= draws.effective_sample_size * n_samples < 2
            share = effective.value if effective.is_finite else None
            few = few_draws(share, n_samples, tunable=tunable)
            warnings += few or single_draws(int(alone.sum()), n, n_samples, tunable=tunable)
        return Measured(figures, facts, warnings)


def not_finite(**figures: Figure) -> tuple[str, ...]:
    """Return a warning of each figure that is not finite.

    >>> not_finite(elbo=Figure(-1.0), kl=Figure(float("inf")))[0][:14]
    'kl is infinite'
    """
    return tuple(
        f"{name} is infinite or not a number for some examples and left out: look for a density "
        "that is zero or unbounded there, such as a σ near 0"
        for name, figure in figures.items()
        if not figure.is_finite
    )


def impossible(n: int, n_examples: int, *, is_mass: bool) -> tuple[str, ...]:
    """Return a warning where the log-likelihood of some examples cannot be computed.

    Arguments:
        n: The number of these examples.
        n_examples: The number of all examples.
        is_mass: Whether p(x | z) is a probability, whose logarithm is at most 0.

    >>> impossible(0, 100, is_mass=True)
    ()
    >>> impossible(2, 100, is_mass=True)[0][:50]
    'log_likelihood cannot be computed: for 2 of 100 ex'
    """
    if not n:
        return ()
    above = ", or is above 0, the largest logarithm of a probability" if is_mass else ""
    what = f"the result is decided by rounding{above}"
    return (
        f"log_likelihood cannot be computed: for {n:,} of {n_examples:,} examples {what}, in "
        "float64 too; where the posterior is nearly singular or far from the prior, "
        "proposal='defensive' helps, which draws also from the prior",
    )


def single_draws(
    n: int, n_examples: int, n_samples: int, *, tunable: bool = False
) -> tuple[str, ...]:
    """Return a warning of examples whose log-likelihood rests on one draw, though most do not.

    Arguments:
        n: The number of examples that lie above their ELBO by more than log ``n_samples`` by one
            draw.
        n_examples: The number of all examples.
        n_samples: The number of draws for each.
        tunable: Whether a proposal could be tuned and was not.

    >>> single_draws(0, 1000, 500), single_draws(3, 1000, 500)[0][:29]
    ((), 'for 3 of 1,000 examples a sin')
    """
    if not n:
        return ()
    return (
        f"for {n:,} of {n_examples:,} examples a single one of the {n_samples:,} draws makes up "
        f"log_likelihood, far above the ELBO: take {_more_draws(tunable)}",
    )


def few_draws(effective: float | None, n_samples: int, *, tunable: bool = False) -> tuple[str, ...]:
    r"""Return a warning if the effective sample size makes the likelihood visibly too low.

    .. math:: \log p(x) - \mathbb E \log \frac1L \sum_{l=1}^L w_l \approx
              \frac{1}{2L} \Bigl(\frac1e - 1\Bigr)

    That is the first term of a series, and smaller than the whole if the effective sample size is
    small.

    Arguments:
        effective: e, the effective sample size as a share of L.
        n_samples: L.
        tunable: Whether a proposal could be tuned and was not.

    Example:
        >>> few_draws(0.5, 100)
        ()
        >>> few_draws(0.017, 500)[0][:52]
        'the effective sample size is 8.5 of 500 draws, so th'
    """
    if n_samples == 1:
        return (
            "with a single draw log_likelihood is the ELBO again: take more samples (n_samples=)",
        )
    too_low = (1 / effective - 1) / (2 * n_samples) if effective else 0.0
    if too_low <= _TOO_LOW or not effective:
        return ()
    return (
        f"the effective sample size is {effective * n_samples:.1f} of {n_samples:,} draws, so that "
        f"log_likelihood is too low, by {too_low:.2g} nats or more: take {_more_draws(tunable)}",
    )


def _more_draws(tunable: bool) -> str:
    tuned = "a proposal tuned on each example (proposal='tuned') or " if tunable else ""
    return f"{tuned}more samples (n_samples=)"


NOT_ANNEALED = (
    "annealed_log_likelihood cannot be computed: for some examples it is infinite, or above 0, the "
    "largest logarithm of a probability: take more steps (annealed_temperatures=)"
)


def _of_first(facts: Facts) -> str:
    return f"of the first {facts.annealed_n_examples or 0:,} examples"


def _annealed(facts: Facts, figures: Figures) -> str:
    steps = f"{facts.annealed_n_temperatures or 0:,} steps from the {facts.annealed_start}"
    return f"the same by annealing, {steps}, {_of_first(facts)}"


@METRICS.register("annealed")
class Annealed(Metric):
    """log p(x) of the first examples by annealing, beside importance sampling.

    It starts at the posterior where that is a Gaussian, which is a much shorter path, and else at
    the prior. The gap of the two directions on simulated data bounds the error.
    """

    section = Section.BOUND
    quantities = (
        Quantity(
            "annealed_log_likelihood",
            _annealed,
            "nats",
            higher_is_better=True,
            is_likelihood=True,
        ),
        Quantity(
            "annealed_baseline",
            lambda facts, figures: f"log_likelihood as above, {_of_first(facts)}",
            "nats",
            higher_is_better=True,
            is_likelihood=True,
        ),
        Quantity("annealed_gain", "the paired difference of the two above", "nats"),
        Quantity(
            "annealed_gap",
            "between annealing from below and from above, on data simulated by the model",
            "nats",
            higher_is_better=False,
        ),
    )

    def check(self, context: Context) -> None:
        """Refuse a directed model, and latents that are no real vectors.

        Raises:
            OptionError: A directed model.
            SupportError: Latents that are no real vectors.
        """
        if context.annealed == 0:
            return
        if context.is_directed:
            raise OptionError(
                f"annealed={context.annealed}: a directed model's likelihood is exact; give 0"
            )
        c = context.batch.c
        with isolated(context.model, context.device, context.seed) as device:
            check_annealable(context.latent, None if c is None else c[:1].to(device))

    def compute(self, context: Context) -> Measured:
        """Return the figures of the first ``annealed`` examples; nothing for none."""
        if context.annealed == 0:
            return Measured()
        model, batch = context.latent, next(in_chunks(context.batch, context.annealed))
        if context.say is not None:
            context.say(f"annealing {len(batch):,} examples, and as many simulated ones ...")
        annealing = Annealing(
            n_temperatures=context.annealed_temperatures,
            seed=context.seed,
            max_memory_mb=context.max_memory_mb,
            start="posterior" if is_gaussian(context.posterior) else "prior",
        )
        is_mass = context.is_normalized and context.is_discrete
        annealed = Figure.mean(_log_likelihood(model, batch, annealing, is_mass=is_mass))
        figures = {"annealed_log_likelihood": annealed}
        if context.has_likelihood:
            baseline = Figure.mean(context.log_likelihood[: len(batch)])
            figures["annealed_baseline"] = baseline
            figures["annealed_gain"] = annealed.paired_difference(baseline)
        # Only from a normalized likelihood can data be drawn.
        if context.is_normalized:
            figures["annealed_gap"] = bidirectional(model, len(batch), batch.c, annealing).gap
        facts = {
            "annealed_n_examples": len(batch),
            "annealed_n_temperatures": annealing.n_temperatures,
            "annealed_start": annealing.start,
        }
        # A mean is not finite if an example has no figure.
        there = {name: figure for name, figure in figures.items() if figure.is_finite}
        return Measured(there, facts, () if annealed.is_finite else (NOT_ANNEALED,))


def _log_likelihood(
    model: LatentModel, batch: Batch, annealing: Annealing, *, is_mass: bool
) -> Tensor:
    """Return log p(x) of every example, in float64 where float32 gives an impossible one."""

    def estimate(x: Tensor, c: Tensor | None) -> Tensor:
        return annealed_importance(model, x, c, annealing).log_likelihood

    most = 0.0 if is_mass else inf
    found = estimate(batch.x, batch.c)
    again = held(found, most=most, rounding=0.0).isnan()
    if bool(again.any()):
        x = batch.x.cpu()[again].double()
        c = None if batch.c is None else batch.c.cpu()[again].double()
        wide = computed_in_float64(model, lambda: estimate(x, c))
        if wide is not None:
            found[again] = wide
    return held(found, most=most, rounding=CHANCE)


def _per_entry(facts: Facts, figures: Figures) -> str:
    if facts.dequantized_from is None:
        return "per entry of x"
    return f"at most, per entry of the {facts.dequantized_from} levels without noise"


@METRICS.register("bits-per-dim")
class BitsPerDim(Metric):
    """The length of an entry of x under a code for p(x)."""

    section = Section.BOUND
    quantities = (
        Quantity("bits_per_dim", _per_entry, "bits", higher_is_better=False, is_likelihood=True),
    )

    def compute(self, context: Context) -> Measured:
        """Return the mean over the examples of discrete data."""
        log_prob, offset = context.log_prob_x, context.bits_offset
        facts = {"raw_bits": None if log_prob is None else raw_bits(context.spec)}
        if offset is None or log_prob is None or not context.has_likelihood:
            return Measured(facts=facts)
        facts["dequantized_from"] = context.spec.dequantized_from
        nats = offset - Figure.mean(log_prob)
        return Measured({"bits_per_dim": nats / (context.spec.dim * log(2))}, facts)
