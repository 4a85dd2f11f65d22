r"""The log-likelihood by importance sampling, and the share of its draws that count.

.. math:: \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)}
"""

from math import log
from typing import Any

from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.figure import Figure
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section

NO_LIKELIHOOD = (
    "the decoder's log-density is not normalized (cross-entropy on grey values), so none of these "
    "numbers is a likelihood: the importance-sampled figure bounds no likelihood, and bits per "
    "dimension do not exist"
)

A_DENSITY = (
    "x is continuous, so log p(x) is the logarithm of a density: it may be positive, and is no "
    "number of bits"
)

# Nats that log_likelihood may be too low without a warning: about those of 20 draws that count.
_TOO_LOW = 0.025


def _estimate(facts: Facts, figures: Figures) -> str:
    if facts.n_samples is None:
        return "the exact log-probability"
    text = "log p(x) by importance sampling"
    if not facts.is_likelihood:
        text = "importance-sampled, but no likelihood"
    if facts.proposal not in (None, "posterior"):
        text += f" from a {facts.proposal} proposal"
    return text


def _share(facts: Facts, figures: Figures) -> str:
    draws = ""
    if facts.n_samples is not None:
        count = figures["effective_sample_size"].value * facts.n_samples
        draws = f", {count:,.{0 if count >= 10 else 1}f} of {facts.n_samples:,}"
    return f"share of draws that count{draws}; 1 for an exact posterior"


@METRICS.register("likelihood")
class Likelihood(Metric):
    """log p(x), exact for a directed model, and the effective sample size of the draws."""

    section = Section.BOUND
    position = 2
    quantities = (
        Quantity("log_likelihood", _estimate, "nats", higher_is_better=True, is_compared=True),
        Quantity("effective_sample_size", _share, higher_is_better=True),
    )

    def compute(self, context: Context) -> Measured:
        """Return the means over the examples, and warnings where they rest on too few draws."""
        if not context.has_likelihood:
            return Measured(facts={"is_likelihood": False})
        facts: dict[str, Any] = {"is_likelihood": context.is_normalized}
        if context.bits_offset is None:
            facts["note"] = A_DENSITY if context.is_normalized else NO_LIKELIHOOD
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
            n_samples, tunable = context.n_samples, context.is_tunable
            alone = (draws.log_likelihood - draws.elbo > log(n_samples)) & (
                draws.effective_sample_size * n_samples < 2
            )
            share = effective.value if effective.is_finite else None
            warnings += few_draws(share, n_samples, tunable=tunable) or single_draws(
                int(alone.sum()), n, n_samples, tunable=tunable
            )
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
    what = "the result is decided by rounding"
    if is_mass:
        what += ", or is above 0, the largest logarithm of a probability"
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
    r"""Return a warning where so few draws count that the likelihood is visibly too low.

    .. math:: \log p(x) - \mathbb E \log \frac1L \sum_{l=1}^L w_l \approx
              \frac{1}{2L} \Bigl(\frac1e - 1\Bigr)

    That is the first term of a series, which falls short of the whole where few draws count.

    Arguments:
        effective: e, the share of the draws that count.
        n_samples: L.
        tunable: Whether a proposal could be tuned and was not.

    Example:
        >>> few_draws(0.5, 100)
        ()
        >>> few_draws(0.017, 500)[0][:52]
        'of the 500 draws of an example 8.5 count, so that lo'
    """
    if n_samples == 1:
        return (
            "with a single draw log_likelihood is the ELBO again: take more samples (n_samples=)",
        )
    if not effective:
        return ()
    too_low = (1 / effective - 1) / (2 * n_samples)
    if too_low <= _TOO_LOW:
        return ()
    return (
        f"of the {n_samples:,} draws of an example {effective * n_samples:.1f} count, so that "
        f"log_likelihood is too low, by {too_low:.2g} nats or more: take {_more_draws(tunable)}",
    )


def _more_draws(tunable: bool) -> str:
    tuned = "a proposal tuned on each example (proposal='tuned') or " if tunable else ""
    return f"{tuned}more samples (n_samples=)"
