"""The share of labels that a model predicts."""

from reparam.evaluation.classification import accuracy_of
from reparam.evaluation.context import Context
from reparam.evaluation.metric import METRICS, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs


@METRICS.register("accuracy")
class Accuracy(Metric):
    """The accuracy of p(y | x) or q(y | x), for a model that has one."""

    section = Section.LATENTS
    position = 5
    needs = Needs.LABELS
    quantities = (
        Quantity("accuracy", "share of labels predicted correctly", higher_is_better=True),
    )

    def compute(self, context: Context) -> Measured:
        """Return the mean over the examples with a known label."""
        found = context.is_correct
        return Measured() if found is None else Measured({"accuracy": accuracy_of(found)})
