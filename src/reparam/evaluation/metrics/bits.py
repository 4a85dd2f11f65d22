r"""The bits of an entry of discrete data: :math:`-\log p(x) / (D \ln 2)`."""

from math import log

from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.figure import Figure
from reparam.evaluation.likelihood.bits import raw_bits
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section


def _per_entry(facts: Facts, figures: Figures) -> str:
    if facts.dequantized_from is None:
        return "per entry of x"
    return f"at most, per entry of the {facts.dequantized_from} levels without noise"


@METRICS.register("bits-per-dim")
class BitsPerDim(Metric):
    """The length of an entry of x under a code for p(x)."""

    section = Section.BOUND
    position = 4
    quantities = (Quantity("bits_per_dim", _per_entry, "bits", higher_is_better=False),)

    def compute(self, context: Context) -> Measured:
        """Return the mean over the examples of discrete data."""
        log_prob, offset = context.log_prob_x, context.bits_offset
        facts = {"raw_bits": None if log_prob is None else raw_bits(context.spec)}
        if offset is None or log_prob is None or not context.has_likelihood:
            return Measured(facts=facts)
        facts["dequantized_from"] = context.spec.dequantized_from
        nats = offset - Figure.mean(log_prob)
        return Measured({"bits_per_dim": nats / (context.spec.dim * log(2))}, facts)
