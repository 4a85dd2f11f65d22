"""The agreement of the clusters of a mixture prior with the labels."""

from reparam.evaluation.context import Context
from reparam.evaluation.latents.clustering import assigned_clusters, clustering
from reparam.evaluation.metric import METRICS, Measured, Metric, Quantity, Section
from reparam.evaluation.needs import Needs
from reparam.priors import Mixture


@METRICS.register("clusters")
class Clusters(Metric):
    """Accuracies and mutual information of clusters and labels."""

    section = Section.LATENTS
    position = 4
    needs = Needs.LATENTS | Needs.LABELS
    quantities = (
        Quantity(
            "cluster_accuracy",
            lambda facts, figures: (
                f"labels predicted by the {facts.n_clusters} clusters, matched one to one"
            ),
            higher_is_better=True,
        ),
        Quantity(
            "cluster_majority",
            "labels predicted by each cluster's most frequent label",
            higher_is_better=True,
        ),
        Quantity(
            "cluster_information",
            "normalized mutual information of clusters and labels",
            higher_is_better=True,
        ),
    )

    def compute(self, context: Context) -> Measured:
        """Return the figures over the examples with a known label."""
        y = context.batch.y
        prior = getattr(context.model, "prior", None)
        if y is None or not isinstance(prior, Mixture):
            return Measured()
        known = y.cpu() >= 0
        assigned = assigned_clusters(context.latent, context.batch)[known]
        found = clustering(assigned, y.cpu()[known], len(prior.logits))
        figures = {
            "cluster_accuracy": found.hungarian,
            "cluster_majority": found.majority,
            "cluster_information": found.mutual_information,
        }
        return Measured(figures, {"n_clusters": found.n_clusters})
