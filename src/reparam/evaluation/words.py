"""An evaluation in words: every figure with its unit, and what must be said with it."""

from math import log
from textwrap import fill
from typing import NamedTuple

from reparam.evaluation.result import Evaluation, number_and_error

NO_LIKELIHOOD = (
    "the decoder's log-density is not normalized (cross-entropy on grey values), so none of these "
    "numbers is a likelihood: the importance-sampled figure bounds no likelihood, and bits per "
    "dimension do not exist"
)

NO_ELBO = (
    "the code is deterministic, so that it has no density: there is no KL, no ELBO and no "
    "likelihood of x, only how well x is described by its code"
)

A_DENSITY = (
    "x is continuous, so log p(x) is the logarithm of a density: it may be positive, and says "
    "nothing in bits"
)

NOT_ANNEALED = (
    "annealed_log_likelihood is not to be had: for some examples it is infinite, or above 0, where "
    "no probability has its logarithm: take more steps (--annealed-temperatures)"
)

# Nats of KL of a dimension that no collapsed posterior has, which equals the prior.
_MISPLACED = 10.0

# Mutual information at its limit: what it lacks is found in the total correlation.
_NEAR = 0.8

# Nats that log_likelihood may be too low by, unsaid: about those of 20 draws that count.
_TOO_LOW = 0.025

Section = tuple[str, list["Line"]]


class Line(NamedTuple):
    """A line of the table; none is written where there is no value.

    Arguments:
        name: The name of the figure in ``evaluation.json``.
        value: The figure.
        stderr: Its standard error.
        unit: Its unit, if it has one.
        says: What it is, in words.
    """

    name: str
    value: float | None
    stderr: float | None
    unit: str
    says: str


def table(found: Evaluation) -> str:
    """Return the figures of an evaluation in sections, then what must be said with them.

    Arguments:
        found: The evaluation.

    Example:
        >>> print(table(Evaluation("test", 2, True, mse=0.25)))
        2 examples of the split 'test'; means ± stderr
        <BLANKLINE>
        Reconstructions and samples
          mse  0.2500    squared error per entry of a reconstruction
    """
    draws = f", {found.n_samples:,} draws of z each" if found.n_samples else ""
    head = f"{found.n_examples:,} examples of the split {found.split!r}{draws}; means ± stderr"
    there = [
        (title, [line for line in lines if line.value is not None])
        for title, lines in _sections(found)
    ]
    cells = {
        title: [
            (one.name, *number_and_error(one.value, one.stderr), one.unit, one.says)
            for one in lines
        ]
        for title, lines in there
        if lines
    }
    rows = [row for lines in cells.values() for row in lines]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    parts = [head]
    for title, lines in cells.items():
        parts += ["", title]
        for name, value, error, unit, says in lines:
            number = f"{value:>{widths[1]}} {error:<{widths[2]}}"
            parts.append(f"  {name:<{widths[0]}}  {number}  {unit:<{widths[3]}}  {says}".rstrip())
    notes = [f"note: {found.note}"] if found.note else []
    if found.features is not None:
        weights = found.features_sha256
        of = "" if weights is None else f" (weights {weights[:12]}…)"
        notes.append(f"note: the features of fid and kid are those of {found.features}{of}")
    if found.n_generated is not None and found.n_generated == found.n_examples:
        notes.append(
            f"note: all {found.n_examples:,} examples of the split were compared with as many "
            "samples; no more can be compared than there are"
        )
    notes += [f"warning: {warning}" for warning in found.warnings]
    parts += [""] if notes else []
    return "\n".join(parts + [fill(note, 100, subsequent_indent="  ") for note in notes])


def _sections(found: Evaluation) -> list[Section]:
    return [
        ("Bound and likelihood", _bound(found)),
        ("Code: what z costs, and what it is spent on", _code(found)),
        ("Latents", _latents(found)),
        ("Reconstructions and samples", _samples(found)),
    ]


def _bound(e: Evaluation) -> list[Line]:
    # A bound of a likelihood exists only where there is a likelihood.
    bound = "lower bound of log p(x)" if e.is_likelihood else "reconstruction - kl"
    estimate = "log p(x) by importance sampling"
    if e.n_samples is None:
        estimate = "the exact log-probability"
    elif not e.is_likelihood:
        estimate = "importance-sampled, but no likelihood"
    if e.proposal not in (None, "posterior"):
        estimate += f" from a {e.proposal} proposal"
    draws = ""
    if e.effective_sample_size is not None and e.n_samples is not None:
        count = e.effective_sample_size * e.n_samples
        draws = f", {count:,.{0 if count >= 10 else 1}f} of {e.n_samples:,}"
    of_first = f"of the first {e.annealed_n_examples or 0:,} examples"
    steps = f"{e.annealed_n_temperatures or 0:,} steps from the {e.annealed_start}"
    per_entry = "per entry of x; lower is better"
    if e.dequantized_from is not None:
        per_entry = f"at most, per entry of the {e.dequantized_from} levels without noise"
    return [
        Line("elbo", e.elbo, e.elbo_stderr, "nats", f"{bound}; higher is better"),
        Line(
            "log_likelihood",
            e.log_likelihood,
            e.log_likelihood_stderr,
            "nats",
            f"{estimate}; higher is better",
        ),
        Line(
            "effective_sample_size",
            e.effective_sample_size,
            e.effective_sample_size_stderr,
            "",
            f"share of draws that count{draws}; 1 for an exact posterior",
        ),
        Line(
            "annealed_log_likelihood",
            e.annealed_log_likelihood,
            e.annealed_log_likelihood_stderr,
            "nats",
            f"the same by annealing, {steps}, {of_first}",
        ),
        Line(
            "annealed_baseline",
            e.annealed_baseline,
            e.annealed_baseline_stderr,
            "nats",
            f"log_likelihood as above, {of_first}",
        ),
        Line(
            "annealed_gain",
            e.annealed_gain,
            e.annealed_gain_stderr,
            "nats",
            "the difference of the two above, example by example",
        ),
        Line(
            "annealed_gap",
            e.annealed_gap,
            e.annealed_gap_stderr,
            "nats",
            "between annealing from below and from above, on data simulated by the model",
        ),
        Line(
            "reconstruction",
            e.reconstruction,
            e.reconstruction_stderr,
            "nats",
            "how well x is described, given its z; higher is better",
        ),
        Line("kl", e.kl, e.kl_stderr, "nats", f"what z tells of x ({e.kl_method})"),
        *(
            Line(
                f"kl of {name}",
                value,
                (e.kl_groups_stderr or {}).get(name),
                "nats",
                "the share of this layer",
            )
            for name, value in (e.kl_groups or {}).items()
        ),
        Line("bits_per_dim", e.bits_per_dim, e.bits_per_dim_stderr, "bits", per_entry),
    ]


def _code(e: Evaluation) -> list[Line]:
    raw = "" if e.raw_bits is None else f"; as stored {e.raw_bits:,.0f}"
    n = e.decomposed_examples or 1
    # Under a prior that does not factorize, dependence is no part of the KL.
    of_kl = "" if e.dimension_wise_kl is None else "of the kl: "
    dependence = "dependence of the dimensions of z on each other"
    apart = f"of the kl: the model tells x apart; at most log {n:,} = {log(n):.2f}"
    if (e.mutual_information or 0.0) > _NEAR * log(n):
        apart = f"of the kl: near log {n:,} = {log(n):.2f}, the limit of so few examples"
        dependence = f"dependence; too high, as {n:,} examples are too few"
    return [
        Line(
            "rate_bits", e.rate_bits, e.rate_bits_stderr, "bits", "rate: the kl, as the cost of z"
        ),
        Line(
            "distortion",
            e.distortion,
            e.distortion_stderr,
            "nats",
            "what z leaves to say of x; lower is better",
        ),
        Line(
            "code_bits",
            e.code_bits,
            e.code_bits_stderr,
            "bits",
            f"to compress one example with bits back{raw}",
        ),
        Line(
            "mutual_information",
            e.mutual_information,
            e.mutual_information_stderr,
            "nats",
            apart,
        ),
        Line(
            "total_correlation",
            e.total_correlation,
            e.total_correlation_stderr,
            "nats",
            f"{of_kl}{dependence}",
        ),
        Line(
            "dimension_wise_kl",
            e.dimension_wise_kl,
            e.dimension_wise_kl_stderr,
            "nats",
            "of the kl: each dimension of all z against its prior",
        ),
        # With both of its parts above it would stand there twice.
        Line(
            "marginal_kl",
            e.marginal_kl if e.dimension_wise_kl is None else None,
            e.marginal_kl_stderr,
            "nats",
            "of the kl: all z together against the prior",
        ),
    ]


def _latents(e: Evaluation) -> list[Line]:
    of = "" if e.latent_dim is None else f"of {e.latent_dim}"
    learned = f", from {e.probe_examples or 0:,} training codes"
    return [
        Line("active_units", e.active_units, None, of, "latent dimensions that vary with x"),
        Line(
            "active_units_first_500",
            e.active_units_first_500,
            None,
            of,
            "the same over the first 500 training examples",
        ),
        Line("codes_in_use", e.codes_in_use, None, "", "codes that stand for anything"),
        Line(
            "code_perplexity",
            e.code_perplexity,
            e.code_perplexity_stderr,
            "",
            "as many codes, evenly used, would be as hard to guess",
        ),
        Line(
            "linear_probe",
            e.linear_probe,
            e.linear_probe_stderr,
            "",
            f"labels predicted by a linear classifier of z{learned}",
        ),
        Line(
            "knn_accuracy",
            e.knn_accuracy,
            e.knn_accuracy_stderr,
            "",
            "labels predicted by the vote of the 5 nearest of these",
        ),
        Line(
            "cluster_accuracy",
            e.cluster_accuracy,
            e.cluster_accuracy_stderr,
            "",
            f"labels predicted by the {e.n_clusters} clusters, matched one to one",
        ),
        Line(
            "cluster_majority",
            e.cluster_majority,
            e.cluster_majority_stderr,
            "",
            "labels predicted by each cluster's commonest label",
        ),
        Line(
            "cluster_information",
            e.cluster_information,
            e.cluster_information_stderr,
            "",
            "normalized mutual information of clusters and labels",
        ),
        Line("accuracy", e.accuracy, e.accuracy_stderr, "", "share of labels predicted correctly"),
    ]


def _samples(e: Evaluation) -> list[Line]:
    n = e.n_generated or 0
    bias = "" if e.fid_bias is None else f"; about {e.fid_bias:.2g} too high"
    kind = "means of p(x | z)" if e.sample_means else "samples"
    return [
        Line("mse", e.mse, e.mse_stderr, "", "squared error per entry of a reconstruction"),
        Line(
            "sample_mmd",
            e.sample_mmd,
            e.sample_mmd_stderr,
            "",
            f"MMD² of {n:,} {kind} and examples; 0 for the same law",
        ),
        Line(
            "fid",
            e.fid,
            e.fid_stderr,
            "",
            f"Fréchet distance of {n:,} {kind} and examples in features{bias}",
        ),
        Line(
            "kid",
            e.kid,
            e.kid_stderr,
            "",
            "kernel distance in features; 0 for the same law",
        ),
    ]


def note(normalized: bool, offset: float | None) -> str | None:
    """Return what must be said of the likelihood; ``offset`` is None where there are no bits.

    >>> note(True, 0.0) is None, note(True, None) == A_DENSITY
    (True, True)
    """
    if not normalized:
        return NO_LIKELIHOOD
    return A_DENSITY if offset is None else None


def not_finite(**figures: float | None) -> tuple[str, ...]:
    """Return a warning of each figure that is not there.

    >>> not_finite(elbo=-1.0, kl=None)[0][:14]
    'kl is infinite'
    """
    return tuple(
        f"{name} is infinite or not a number for some examples and left out: look for a density "
        "that is zero or unbounded there, such as a σ near 0"
        for name, value in figures.items()
        if value is None
    )


def impossible(n: int, n_examples: int, *, is_mass: bool) -> tuple[str, ...]:
    """Return a warning where no log-likelihood is to be had, since what came out cannot be one.

    Arguments:
        n: For how many examples.
        n_examples: Of how many.
        is_mass: Whether p(x | z) is a probability, whose logarithm is at most 0.

    >>> impossible(0, 100, is_mass=True)
    ()
    >>> impossible(2, 100, is_mass=True)[0][:54]
    'log_likelihood is not to be had: for 2 of 100 examples'
    """
    if not n:
        return ()
    what = "rounding decides on it"
    if is_mass:
        what += ", or it comes out above 0, where no probability has its logarithm"
    return (
        f"log_likelihood is not to be had: for {n:,} of {n_examples:,} examples {what}, in float64 "
        "too; where the posterior is nearly singular or far from the prior, draws also from the "
        "prior help (--proposal defensive)",
    )


def collapse(active: int | None, latent_dim: int, kl: float | None) -> tuple[str, ...]:
    """Return a warning where half of the latent dimensions or more are unused.

    >>> collapse(1, 4, 0.5)[0][:40]
    '3 of 4 latent dimensions are unused (pos'
    """
    if active is None or 2 * active > latent_dim:
        return ()
    if kl is not None and kl > _MISPLACED * latent_dim:
        return (
            "the codes hardly move with x, and yet the KL is large: they lie where the prior does "
            "not, as before it has been trained for long; train for more epochs (--epochs)",
        )
    if active > 0:
        which = f"{latent_dim - active} of {latent_dim} latent dimensions are unused"
    elif latent_dim > 1:
        which = f"all {latent_dim} latent dimensions are unused"
    else:
        which = "the only latent dimension is unused"
    advice = "warm the KL up (--kl-warmup) or ask for fewer dimensions (--latent-dim)"
    return (f"{which} (posterior collapse): {advice}",)


def single_draws(
    n: int, n_examples: int, n_samples: int, *, tunable: bool = False
) -> tuple[str, ...]:
    """Return a warning of examples whose log-likelihood rests on one draw, though most do not.

    Arguments:
        n: How many lie above their ELBO by more than log ``n_samples`` by one draw.
        n_examples: The number of all examples.
        n_samples: The number of draws for each.
        tunable: Whether a proposal could be tuned and was not.

    >>> single_draws(0, 1000, 500), single_draws(3, 1000, 500)[0][:29]
    ((), 'for 3 of 1,000 examples a sin')
    """
    if not n:
        return ()
    advice = "a proposal tuned on each example (--proposal tuned) or " if tunable else ""
    return (
        f"for {n:,} of {n_examples:,} examples a single one of the {n_samples:,} draws makes up "
        f"log_likelihood, far above the ELBO: take {advice}more samples (--n-samples)",
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
            "with a single draw log_likelihood is the ELBO again: take more samples (--n-samples)",
        )
    if not effective:
        return ()
    too_low = (1 / effective - 1) / (2 * n_samples)
    if too_low <= _TOO_LOW:
        return ()
    advice = "a proposal tuned on each example (--proposal tuned) or " if tunable else ""
    return (
        f"of the {n_samples:,} draws of an example {effective * n_samples:.1f} count, so that "
        f"log_likelihood is too low, by {too_low:.2g} nats or more: take {advice}more samples "
        "(--n-samples)",
    )
