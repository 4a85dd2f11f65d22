"""Active units: the latent dimensions that vary with x."""

from reparam.batch import in_chunks
from reparam.divergence import is_real
from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.figure import Figure
from reparam.evaluation.latents.activity import N_FIRST, active_units, encode_means
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs

# Nats of KL of a dimension that no collapsed posterior has, which equals the prior.
_MISPLACED = 10.0


def _which(facts: Facts, figures: Figures) -> str:
    of = "" if facts.latent_dim is None else f"of {facts.latent_dim} "
    return f"{of}latent dimensions that vary with x"


@METRICS.register("activity")
class Activity(Metric):
    """Active units on the examples, and on the first training examples as in the IWAE's code.

    References:
        Burda, Grosse & Salakhutdinov, ICLR 2016, section 5.2.
    """

    section = Section.LATENTS
    position = 1
    needs = Needs.LATENTS
    quantities = (
        Quantity("active_units", _which, has_stderr=False),
        Quantity(
            "active_units_first_500",
            lambda facts, figures: (
                f"{_which(facts, figures)}, over the first {N_FIRST} training examples"
            ),
            has_stderr=False,
        ),
    )

    def compute(self, context: Context) -> Measured:
        """Return the counts, and a warning where half of the dimensions or more are unused."""
        figures: dict[str, Figure] = {}
        warnings: tuple[str, ...] = ()
        codes, draws, train = context.codes, context.draws, context.train
        if len(codes) > 1:
            active = active_units(codes)
            figures["active_units"] = Figure(active)
            # The rule is about real numbers: directions and codes have no size to shrink. A code
            # that never changes is no collapse: the border of an image is always the same.
            if draws.has_density and draws.indices is None and is_real(context.prior):
                warnings = collapse(active, codes.shape[1], float(draws.kl.mean()))
        if train is not None and len(train) > 1:
            first = encode_means(context.latent, next(in_chunks(train, N_FIRST)))
            figures["active_units_first_500"] = Figure(active_units(first, correction=0))
        return Measured(figures, warnings=warnings)


def collapse(active: int, latent_dim: int, kl: float) -> tuple[str, ...]:
    """Return a warning where half of the latent dimensions or more are unused.

    Arguments:
        active: The number of active units.
        latent_dim: The number of latent dimensions.
        kl: The mean KL, in nats.

    >>> collapse(1, 4, 0.5)[0][:40]
    '3 of 4 latent dimensions are unused (pos'
    """
    if 2 * active > latent_dim:
        return ()
    if kl > _MISPLACED * latent_dim:
        return (
            "the codes hardly vary with x, and yet the KL is large: they lie where the prior does "
            "not, as early in training; train for more epochs (epochs=)",
        )
    if active > 0:
        which = f"{latent_dim - active} of {latent_dim} latent dimensions are unused"
    elif latent_dim > 1:
        which = f"all {latent_dim} latent dimensions are unused"
    else:
        which = "the only latent dimension is unused"
    advice = "warm the KL up (kl_warmup=) or take fewer dimensions (latent_dim=)"
    return (f"{which} (posterior collapse): {advice}",)
