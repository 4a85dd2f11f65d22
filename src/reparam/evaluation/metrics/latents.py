"""The figures of the latents: active units, codes in use, probes, clusters and classes."""

import torch

from reparam.batch import Batch, in_chunks
from reparam.divergence import is_real
from reparam.evaluation.classification import correct
from reparam.evaluation.context import Context
from reparam.evaluation.figure import Facts, Figure, Figures
from reparam.evaluation.latents.activity import N_FIRST, active_units, code_usage, encode_means
from reparam.evaluation.latents.clustering import assigned_clusters, clustering
from reparam.evaluation.latents.probes import SMALL_CODE, probe, training_rows
from reparam.evaluation.metric import METRICS, Measured, Metric, Needs, Quantity, Section
from reparam.models.conditional import part_of
from reparam.priors import Mixture

# The KL per dimension, in nats, above which a posterior has not collapsed to the prior.
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
            "the codes hardly vary with x, but the KL is large: they lie where the prior does not, "
            "as early in training; train for more epochs (epochs=)",
        )
    if active > 0:
        which = f"{latent_dim - active} of {latent_dim} latent dimensions are unused"
    elif latent_dim > 1:
        which = f"all {latent_dim} latent dimensions are unused"
    else:
        which = "the only latent dimension is unused"
    advice = "warm the KL up (kl_warmup=) or take fewer dimensions (latent_dim=)"
    return (f"{which} (posterior collapse): {advice}",)


@METRICS.register("codebook")
class Codebook(Metric):
    """The number of codes in use, and their perplexity."""

    section = Section.LATENTS
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


def _linear(facts: Facts, figures: Figures) -> str:
    n = facts.probe_examples or 0
    return f"labels predicted by a linear classifier of z, from {n:,} training codes"


@METRICS.register("probes")
class Probes(Metric):
    """The accuracy of a linear classifier and of the nearest neighbors."""

    section = Section.LATENTS
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
        y, c = train.y[rows], None if train.c is None else train.c[rows]
        if len(rows) == 0 or context.batch.y is None:
            return Measured()
        codes = encode_means(context.latent, Batch(train.x[rows], y, c))
        found = probe(codes, y, context.codes, context.batch.y, seed=context.seed)
        if found is None:
            return Measured()
        figures = {"linear_probe": found.linear, "knn_accuracy": found.neighbors}
        return Measured(figures, {"probe_examples": found.n_train})


@METRICS.register("clusters")
class Clusters(Metric):
    """Accuracies and mutual information of clusters and labels."""

    section = Section.LATENTS
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
        y, prior = context.batch.y, part_of(context.model, "prior")
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


@METRICS.register("accuracy")
class Accuracy(Metric):
    """The accuracy of p(y | x) or q(y | x), for a model that has one."""

    section = Section.LATENTS
    needs = Needs.LABELS
    quantities = (
        Quantity("accuracy", "share of labels predicted correctly", higher_is_better=True),
    )

    def compute(self, context: Context) -> Measured:
        """Return the mean over the examples with a known label."""
        found = context.each(lambda part: correct(context.model, part))
        right = [part for part in found if part is not None]
        return Measured({"accuracy": Figure.mean(torch.cat(right))} if right else {})
