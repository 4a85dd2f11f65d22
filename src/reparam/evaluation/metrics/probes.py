"""Probes: the labels that simple classifiers predict from codes."""

from reparam.batch import Batch
from reparam.evaluation.context import Context
from reparam.evaluation.facts import Facts
from reparam.evaluation.latents.activity import encode_means
from reparam.evaluation.latents.probes import SMALL_CODE, probe, training_rows
from reparam.evaluation.metric import METRICS, Figures, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs


def _linear(facts: Facts, figures: Figures) -> str:
    n = facts.probe_examples or 0
    return f"labels predicted by a linear classifier of z, from {n:,} training codes"


@METRICS.register("probes")
class Probes(Metric):
    """The accuracy of a linear classifier and of the nearest neighbors."""

    section = Section.LATENTS
    position = 3
    needs = Needs.LATENTS | Needs.LABELS
    quantities = (
        Quantity("linear_probe", _linear, higher_is_better=True),
        Quantity(
            "knn_accuracy",
            "labels predicted by the vote of the 5 nearest of these",
            higher_is_better=True,
        ),
    )

    def compute(self, context: Context) -> Measured:
        """Return the accuracies; nothing without training labels, or for codes that are large."""
        train = context.train if context.probe_train is None else context.probe_train
        is_small = context.probe or context.codes.shape[1] <= SMALL_CODE
        # An encoder that is given the label is not probed for it.
        if train is None or train.y is None or context.spec.given_label or not is_small:
            return Measured()
        rows = training_rows(train.y, context.seed)
        if len(rows) == 0 or context.batch.y is None:
            return Measured()
        chosen = Batch(train.x[rows], train.y[rows], None if train.c is None else train.c[rows])
        codes = encode_means(context.latent, chosen)
        found = probe(codes, train.y[rows], context.codes, context.batch.y, seed=context.seed)
        if found is None:
            return Measured()
        figures = {"linear_probe": found.linear, "knn_accuracy": found.neighbors}
        return Measured(figures, {"probe_examples": found.n_train})
