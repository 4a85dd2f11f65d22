"""The fields of an evaluation that take a further look at codes, labels or samples.

Each function returns what it found by the names of ``Evaluation``'s arguments, and nothing where
the model or the data have no such figure.
"""

from math import isfinite
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import Batch
from reparam.directed import DirectedModel
from reparam.errors import OptionError
from reparam.evaluation.blocks import blocks
from reparam.evaluation.clustering import assigned_clusters, clustering
from reparam.evaluation.decomposition import decompose, joined
from reparam.evaluation.latent import active_units
from reparam.evaluation.probes import N_TRAIN, probe
from reparam.evaluation.samples import Features, sample_quality
from reparam.model import LatentModel
from reparam.priors import Mixture
from reparam.seeding import seeded
from reparam.spec import DataSpec

Found = dict[str, Any]

FIRST = 500
"""The number of training examples that active units are also counted on, as in the IWAE's code."""

SMALL_CODE = 256
"""Codes of so many dimensions are probed without asking, since that takes seconds."""

MAX_DECOMPOSED = 10_000
"""The aggregate posterior is that of at most so many examples, the first."""

# About how many densities of single dimensions a decomposition computes.
_TABLE = 2**29
_FEWEST, _MOST = 100, 1000  # draws from the aggregate posterior
_CHUNK = 1000


def cluster_fields(model: LatentModel, batch: Batch) -> Found:
    """Return what the clusters of a mixture prior say of the labels; nothing without either."""
    prior = getattr(model, "prior", None)
    if batch.y is None or not isinstance(prior, Mixture):
        return {}
    known = batch.y.cpu() >= 0
    if not bool(known.any()):
        return {}
    assigned = assigned_clusters(model, batch)[known]
    found = clustering(assigned, batch.y.cpu()[known], len(prior.logits))
    return {
        "n_clusters": found.n_clusters,
        "cluster_accuracy": found.hungarian.value,
        "cluster_accuracy_stderr": found.hungarian.stderr,
        "cluster_majority": found.majority.value,
        "cluster_majority_stderr": found.majority.stderr,
        "cluster_information": found.mutual_information,
    }


def decomposition_fields(
    model: LatentModel,
    batch: Batch,
    kl: Tensor,
    device: torch.device,
    seed: int,
    *,
    kl_draws: int | None = None,
) -> Found:
    """Return the parts of the mean KL.

    Nothing where there is no single prior of all examples, where posteriors are points, or where
    every density of the table of draws and examples would be a pass through a network.

    Arguments:
        model: The model, on the device.
        batch: The examples; the first ``MAX_DECOMPOSED`` are used, fewer of very large codes.
        kl: The KL of each, in nats with shape (N,).
        device: Where to compute.
        seed: The seed of the draws.
        kl_draws: How many draws the KL of each is the mean of; None for a closed form.
    """
    c = None if batch.c is None else batch.c[:1].to(device)
    prior = model.prior_distribution(c)
    first = next(blocks(batch, 1, device))
    q = model.posterior(first.x, first.c)
    if len(batch) < 2 or prior.batch_shape or joined([q]) is None:
        return {}
    size = q.event_shape.numel()
    n = min(len(batch), MAX_DECOMPOSED, max(100, _TABLE // (_FEWEST * size)))
    n_samples = min(_MOST, max(_FEWEST, _TABLE // (n * size)))
    some = next(blocks(batch, n, torch.device("cpu")))
    posteriors = [model.posterior(part.x, part.c) for part in blocks(some, _CHUNK, device)]
    # A sampled KL serves as the known sum of the parts where it is known much better than they.
    known = kl_draws is None or kl_draws * n >= 10 * n_samples
    mean_kl = float(kl[:n].mean())
    parts = decompose(
        cast(Distribution, joined(posteriors)),
        prior,
        n_samples,
        mean_kl=mean_kl if known and isfinite(mean_kl) else None,
        seed=seed,
    )
    found: Found = {"decomposed_examples": n}
    for name in ("mutual_information", "marginal_kl", "total_correlation", "dimension_wise_kl"):
        part_of_kl = getattr(parts, name)
        if part_of_kl is not None:
            found |= {name: part_of_kl.value, f"{name}_stderr": part_of_kl.stderr}
    return found


def activity_fields(model: LatentModel, train: Batch | None, device: torch.device) -> Found:
    """Return the active units as the authors of the IWAE count them.

    Arguments:
        model: The model, on the device.
        train: Training examples; None where they are not at hand.
        device: Where to compute.
    """
    if train is None or len(train) < 2:
        return {}
    codes = _codes(model, train, device, FIRST)
    return {"active_units_first_500": active_units(codes, correction=0)}


def probe_fields(
    model: LatentModel,
    codes: Tensor,
    batch: Batch,
    train: Batch | None,
    device: torch.device,
    seed: int,
) -> Found:
    """Return how well simple classifiers tell the labels of codes.

    Arguments:
        model: The model, on the device.
        codes: The codes of the examples, with shape (N, D).
        batch: The examples; nothing without labels.
        train: Training examples to learn from; nothing without them or their labels.
        device: Where to compute.
        seed: Of the part of the training examples that regularization is chosen on.
    """
    if train is None or train.y is None or batch.y is None:
        return {}
    train_codes = _codes(model, train, device, N_TRAIN)
    found = probe(train_codes, train.y[:N_TRAIN], codes, batch.y, seed=seed)
    if found is None:
        return {}
    return {
        "linear_probe": found.linear.value,
        "linear_probe_stderr": found.linear.stderr,
        "neighbor_accuracy": found.neighbors.value,
        "neighbor_accuracy_stderr": found.neighbors.stderr,
        "probe_examples": found.n_train,
    }


def sample_fields(
    model: nn.Module,
    batch: Batch,
    spec: DataSpec,
    n: int,
    device: torch.device,
    seed: int,
    *,
    features: Features | None = None,
    means: bool = False,
) -> Found:
    """Return how far draws of the model lie from examples.

    Arguments:
        model: The model, on the device.
        batch: The examples, of which n are chosen at random, with the condition to draw under.
        spec: The shape and support of the data.
        n: How many draws and examples; as many as there are examples at most, 0 for none.
        device: Where to compute.
        seed: The seed of the draws and of the choice.
        features: What the Fréchet and the kernel distance look at.
        means: Whether to compare means of p(x | z) instead of draws from it.

    Raises:
        OptionError: A model that does not generate x, or tokens without features.
    """
    if n == 0:
        return {}
    if spec.support in ("tokens", "categorical") and features is None:
        raise OptionError(
            f"sample_quality={n}: distances of {spec.support} values mean nothing by themselves; "
            "give features, or leave it at 0"
        )
    n = min(n, len(batch))
    with seeded(device, seed):
        chosen = torch.randperm(len(batch))[:n]
        # Under the conditions of other examples: with their own, samples and examples would not
        # be independent, and the discrepancy below zero.
        others = torch.randint(len(batch), (n,))
        drawn = []
        for some in others.split(_CHUNK):
            c = None if batch.c is None else batch.c.cpu()[some].to(device)
            drawn.append(_generated(model, spec, len(some), c, means).cpu())
    samples = torch.cat(drawn).float()
    examples = batch.x.cpu()[chosen].reshape(samples.shape).float()
    found = sample_quality(samples, examples, features)
    fields: Found = {
        "n_generated": n,
        "sample_mmd": found.mmd.value,
        "sample_mmd_stderr": found.mmd.stderr,
    }
    if found.fid is not None and found.kid is not None:
        fields |= {"fid": found.fid.value, "fid_stderr": found.fid.stderr}
        fields |= {"fid_bias": found.fid.bias}
        fields |= {"kid": found.kid.value, "kid_stderr": found.kid.stderr}
    return fields


def _generated(model: nn.Module, spec: DataSpec, n: int, c: Tensor | None, means: bool) -> Tensor:
    if isinstance(model, DirectedModel):
        return model.assemble(model.sample(n), spec.shape)
    if not callable(getattr(model, "sample", None)):
        raise OptionError(
            f"a {type(model).__name__} has no method sample, so it has no sample quality: leave "
            "sample_quality at 0"
        )
    return cast(LatentModel, model).sample(n, c, mean=means).reshape(n, *spec.shape)


def _codes(model: LatentModel, batch: Batch, device: torch.device, limit: int) -> Tensor:
    """Return the posterior means of the first examples, with shape (N, D) on the CPU."""
    first = next(blocks(batch, limit, torch.device("cpu")))
    parts = [model.encode(part.x, part.c) for part in blocks(first, _CHUNK, device)]
    return torch.cat([part.flatten(1).cpu() for part in parts])
