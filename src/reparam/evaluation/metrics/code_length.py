r"""The code z of an example: its rate, its distortion, and the length with bits back.

.. math:: \text{rate} = \frac{\mathrm{KL}}{\ln 2}, \qquad
          \text{distortion} = -\mathbb E_q[\log p(x \mid z)], \qquad
          \text{length} = -\frac{\mathcal L(x)}{\ln 2}
"""

from math import log

from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.figure import Figure
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs


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
    position = 1
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
