"""The use of a codebook."""

from reparam.evaluation.context import Context
from reparam.evaluation.figure import Figure
from reparam.evaluation.latents.activity import code_usage
from reparam.evaluation.metric import METRICS, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs


@METRICS.register("codebook")
class Codebook(Metric):
    """The number of codes in use, and their perplexity."""

    section = Section.LATENTS
    position = 2
    needs = Needs.LATENTS
    quantities = (
        Quantity("codes_in_use", "codes that some example has", has_stderr=False),
        Quantity("code_perplexity", "number of equally frequent codes with the same entropy"),
    )

    def compute(self, context: Context) -> Measured:
        """Return the counts over the examples; nothing for codes without a codebook."""
        if context.draws.indices is None:
            return Measured()
        usage = code_usage(context.draws.indices)
        return Measured({"codes_in_use": Figure(usage.n_used), "code_perplexity": usage.perplexity})
