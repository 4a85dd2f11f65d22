r"""The evidence lower bound and its two terms.

.. math:: \mathcal L(x) = \mathbb E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \| p(z))
"""

from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.figure import Figure
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs
from reparam.evaluation.statistics import column_stderr

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
    position = 1
    needs = Needs.LATENTS
    quantities = (
        Quantity("elbo", _bound, "nats", higher_is_better=True, is_compared=True),
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
            facts["kl_per_dimension_stderr"] = column_stderr(draws.kl_per_dimension)
        if draws.kl_groups:
            groups = {name: Figure.mean(values) for name, values in draws.kl_groups.items()}
            facts["kl_groups"] = {name: one.value for name, one in groups.items()}
            facts["kl_groups_stderr"] = {name: one.stderr for name, one in groups.items()}
        return Measured(figures, facts)
