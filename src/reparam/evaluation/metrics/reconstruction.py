"""The squared error of reconstructions."""

from reparam.evaluation.context import Context
from reparam.evaluation.figure import Figure
from reparam.evaluation.metric import METRICS, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs


@METRICS.register("reconstruction")
class Reconstruction(Metric):
    """The mean squared error of the decoded posterior mean, for values with distances."""

    section = Section.SAMPLES
    position = 1
    needs = Needs.LATENTS
    quantities = (
        Quantity("mse", "squared error per entry of a reconstruction", higher_is_better=False),
    )

    def compute(self, context: Context) -> Measured:
        """Return the mean over the examples; nothing for classes and tokens."""
        if context.spec.support in ("categorical", "tokens"):
            return Measured()
        return Measured({"mse": Figure.mean(context.squared_errors)})
