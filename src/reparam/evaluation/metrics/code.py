r"""The figures of the code z: its rate and distortion, its length, and the parts of the KL.

.. math:: \text{rate} = \frac{\mathrm{KL}}{\ln 2}, \qquad
          \text{distortion} = -\mathbb E_q[\log p(x \mid z)], \qquad
          \text{length} = -\frac{\mathcal L(x)}{\ln 2}
"""

from math import isfinite, log

from reparam.batch import in_chunks
from reparam.divergence import MONTE_CARLO
from reparam.evaluation.context import Context
from reparam.evaluation.figure import Facts, Figure, Figures
from reparam.evaluation.latents.decomposition import decompose, joined
from reparam.evaluation.metric import METRICS, Measured, Metric, Needs, Quantity, Section
from reparam.isolation import blocks, isolated


def _length(facts: Facts, figures: Figures) -> str:
    raw = "" if facts.raw_bits is None else f"; as stored {facts.raw_bits:,.0f}"
    return f"to compress one example with bits back{raw}"


@METRICS.register("code-length")
class CodeLength(Metric):
    """Rate, distortion and the length of discrete data under bits-back coding.

    References:
        Alemi et al., ICML 2018 (rate and distortion); Townsend et al., ICLR 2019, section 2 (bits
        back).
    """

    section = Section.CODE
    needs = Needs.LATENTS
    quantities = (
        Quantity("rate_bits", "the kl in bits, the cost of z", "bits"),
        Quantity("distortion", "the reconstruction with a minus", "nats", higher_is_better=False),
        Quantity("code_bits", _length, "bits", higher_is_better=False),
    )

    def compute(self, context: Context) -> Measured:
        """Return the means over the examples."""
        draws = context.draws
        figures = {"distortion": -Figure.mean(draws.reconstruction)}
        if draws.has_density:
            figures["rate_bits"] = Figure.mean(draws.kl) / log(2)
            if context.bits_offset is not None:
                figures["code_bits"] = (context.bits_offset - Figure.mean(draws.elbo)) / log(2)
        return Measured(figures)


MAX_DECOMPOSED = 10_000
"""The largest number of examples of an aggregate posterior."""

TABLE = 2**29
"""About how many densities of single dimensions a decomposition computes."""

FEWEST_DRAWS, MOST_DRAWS = 100, 1000
"""The least and the largest number of draws from the aggregate posterior."""

# Mutual information this near to its limit: what it lacks is counted to the total correlation.
_NEAR = 0.8
_CHUNK = 1000


def _is_near(facts: Facts, figures: Figures) -> bool:
    found = figures.get("mutual_information")
    return found is not None and found.value > _NEAR * log(facts.decomposed_examples or 1)


def _information(facts: Facts, figures: Figures) -> str:
    n = facts.decomposed_examples or 1
    limit = f"log {n:,} = {log(n):.2f}"
    if _is_near(facts, figures):
        return f"of the kl: near {limit}, the limit of so few examples"
    return f"of the kl: information of z on the example; at most {limit}"


def _dependence(facts: Facts, figures: Figures) -> str:
    # Under a prior that does not factorize, dependence is no part of the KL.
    of_kl = "of the kl: " if "dimension_wise_kl" in figures else ""
    if _is_near(facts, figures):
        few = f"{facts.decomposed_examples:,} examples are too few"
        return f"{of_kl}dependence; too high, as {few}"
    return f"{of_kl}dependence of the dimensions of z on each other"


@METRICS.register("decomposition")
class Decomposition(Metric):
    """The parts of the mean KL, as far as posterior and prior allow it.

    References:
        Hoffman & Johnson, NIPS workshop 2016; Chen et al., NeurIPS 2018, eq. 2.
    """

    section = Section.CODE
    needs = Needs.LATENTS | Needs.DENSITY
    quantities = (
        Quantity("mutual_information", _information, "nats"),
        Quantity("total_correlation", _dependence, "nats"),
        Quantity(
            "dimension_wise_kl", "of the kl: each dimension of all z against its prior", "nats"
        ),
        # With both of its parts above it would be there twice.
        Quantity(
            "marginal_kl",
            "of the kl: all z together against the prior",
            "nats",
            is_shown=lambda facts, figures: "dimension_wise_kl" not in figures,
        ),
    )

    def compute(self, context: Context) -> Measured:
        """Return the parts for the first examples.

        Nothing where the examples have no common prior, where posteriors are points, or where
        every density of the table of draws and examples would be a pass through a network.
        """
        q, batch, model = context.posterior, context.batch, context.latent
        if len(batch) < 2 or context.prior.batch_shape or joined([q]) is None:
            return Measured()
        size = q.event_shape.numel()
        n = min(len(batch), MAX_DECOMPOSED, max(100, TABLE // (FEWEST_DRAWS * size)))
        some = next(in_chunks(batch, n))
        with isolated(model, context.device) as device:
            parts = [model.posterior(part.x, part.c) for part in blocks(some, _CHUNK, device)]
        posteriors = joined(parts)
        n_samples = min(MOST_DRAWS, max(FEWEST_DRAWS, TABLE // (n * size)))
        # A sampled KL corrects the sum of the parts only if its error is much smaller than theirs.
        draws = context.draws
        is_sampled = draws.kl_method == MONTE_CARLO
        is_known = not is_sampled or (draws.n_samples or 1) * n >= 10 * n_samples
        mean_kl = float(draws.kl[:n].mean())
        if posteriors is None:
            return Measured()
        found = decompose(
            posteriors,
            context.prior,
            n_samples,
            mean_kl=mean_kl if is_known and isfinite(mean_kl) else None,
            seed=context.seed,
        )
        figures = {name: found._asdict()[name] for name in (one.name for one in self.quantities)}
        there = {name: one for name, one in figures.items() if one is not None and one.is_finite}
        return Measured(there, {"decomposed_examples": n})
