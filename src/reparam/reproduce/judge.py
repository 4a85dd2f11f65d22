"""A judge of generated digits: a classifier of real ones, and what it makes of others."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical

from reparam.batch import Batch, in_chunks
from reparam.data import Dataset
from reparam.families import Categorical
from reparam.isolation import isolated
from reparam.models.conditional import Conditional
from reparam.models.directed import DirectedModel, Node
from reparam.nn import ConvEncoder
from reparam.objectives import MaximumLikelihood
from reparam.reproduce.registry import Protocol
from reparam.runs.fit import fit
from reparam.runs.run import Run
from reparam.utils.seeding import reseed
from reparam.variants import Recipe
from reparam.variants.observed import class_count

RECIPE: dict[str, Any] = {"epochs": 5, "batch_size": 128, "lr": 2e-3, "lr_warmup": 0.1}
"""How a judge is trained: whatever a protocol says of the models that it judges."""

CONFIDENT = 0.9
"""An image of which the judge gives one class at least this probability is a clear digit."""


def digit_classifier(protocol: Protocol, data: Dataset) -> Run:
    """Train a convolutional classifier on real images, or take up the run that ``--runs`` keeps.

    It sees images as the data set makes them, such as binarized ones: judge draws, not means.

    Arguments:
        protocol: Device, seed, and where runs are kept.
        data: Images and labels.
    """
    reseed(torch.device("cpu"), protocol.seed)
    network = ConvEncoder(data.spec.shape, (32, 64, 128), padding=1)
    node = Node(Conditional(network, Categorical(class_count(data.spec))), ("x",))
    recipe = Recipe(DirectedModel({"y": node}), MaximumLikelihood())
    protocol.say(f"training a classifier of real images, {RECIPE['epochs']} epochs")
    runs = protocol.options.runs
    return fit(
        recipe,
        data,
        out=None if runs is None else runs / "judge",
        resume=runs is not None,
        device=protocol.options.device,
        precision="float32",
        progress=protocol.options.progress,
        seed=protocol.seed,
        pictures_every=0,
        **RECIPE,
    )


def class_probabilities(classifier: Run, images: Tensor) -> Tensor:
    """Return p(y | x) of images with shape (N, *shape), on the CPU with shape (N, K)."""
    model = cast(DirectedModel, classifier.model)
    parts: list[Tensor] = []
    with isolated(model) as device:
        for part in in_chunks(Batch(images), 1000):
            p = cast(TorchCategorical, model.distribution("y", {"x": part.x.to(device)}))
            parts.append(p.probs.cpu())
    return torch.cat(parts)


def confidence(classifier: Run, images: Tensor) -> Tensor:
    """Return the probability of the likeliest class of each image, with shape (N,)."""
    return class_probabilities(classifier, images).amax(-1)


def read_as(classifier: Run, images: Tensor) -> Tensor:
    """Return the likeliest class of each image, int64 with shape (N,)."""
    return class_probabilities(classifier, images).argmax(-1)
