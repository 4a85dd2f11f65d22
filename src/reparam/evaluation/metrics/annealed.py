"""The log-likelihood by annealed importance sampling, and how far off it can be."""

from math import inf

from torch import Tensor

from reparam.batch import Batch, in_chunks
from reparam.errors import OptionError
from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.figure import Figure
from reparam.evaluation.likelihood.annealed import (
    Annealing,
    annealed_importance,
    bidirectional,
    check_annealable,
    is_gaussian,
)
from reparam.evaluation.likelihood.precision import CHANCE, computed_in_float64, held
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section
from reparam.isolation import isolated
from reparam.models.latent import LatentModel

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
    position = 3
    quantities = (
        Quantity("annealed_log_likelihood", _annealed, "nats", higher_is_better=True),
        Quantity(
            "annealed_baseline",
            lambda facts, figures: f"log_likelihood as above, {_of_first(facts)}",
            "nats",
            higher_is_better=True,
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
                f"annealed={context.annealed}: the log-likelihood of a directed model is exact; "
                "leave it at 0"
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
        # An example without a figure leaves the mean without one.
        there = {name: figure for name, figure in figures.items() if figure.is_finite}
        return Measured(there, facts, () if annealed.is_finite else (NOT_ANNEALED,))


def _log_likelihood(
    model: LatentModel, batch: Batch, annealing: Annealing, *, is_mass: bool
) -> Tensor:
    """Return log p(x) of every example, in float64 where float32 gives an impossible one."""
    most = 0.0 if is_mass else inf
    found = annealed_importance(model, batch.x, batch.c, annealing).log_likelihood
    again = held(found, most=most, rounding=0.0).isnan()
    if bool(again.any()):
        x, c = batch.x.cpu()[again].double(), batch.c
        c = None if c is None else c.cpu()[again].double()
        wide = computed_in_float64(
            model, lambda: annealed_importance(model, x, c, annealing).log_likelihood
        )
        if wide is not None:
            found[again] = wide
    return held(found, most=most, rounding=CHANCE)
