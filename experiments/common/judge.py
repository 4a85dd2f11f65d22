"""A classifier of real digits, which judges generated ones."""

from typing import Any

import torch
from torch import Tensor

import reparam as rp
from experiments.common.measures import number
from experiments.ledger.protocol import Protocol
from experiments.ledger.rows import Row

RECIPE: dict[str, Any] = {"epochs": 5, "batch_size": 128, "lr": 2e-3, "lr_warmup": 0.1}
"""The options of training the classifier, the same for all experiments."""

CONFIDENT = 0.9
"""An image is a clear digit if the classifier gives one class at least this probability."""


def digit_classifier(protocol: Protocol, data: rp.data.Dataset) -> rp.Run:
    """Train a convolutional classifier on real images, or continue the run of it.

    It is trained on images as the data set returns them, such as binarized ones, and so it judges
    draws, not means.

    Arguments:
        protocol: The device, the seed, and the folder of the runs.
        data: Images and labels.
    """
    torch.manual_seed(protocol.seed)
    network = rp.nn.ConvEncoder(data.spec.shape, (32, 64, 128), padding=1)
    classes = rp.families.Categorical(data.spec.n_classes or 0)
    model = rp.DirectedModel({"y": rp.Node(rp.Conditional(network, classes), ("x",))})
    recipe = rp.Recipe(model, rp.objectives.MaximumLikelihood())
    return protocol.train("judge", recipe, data, **RECIPE)


def real_digits(classifier: rp.Run, test: rp.Batch) -> Row:
    """Return the row of the share of real test digits that the classifier reads correctly."""
    share = number(rp.evaluation.accuracy(classifier.model, test))
    return Row("classifier on real test digits", *share, unit="", target=0.985)


def class_probabilities(classifier: rp.Run, images: Tensor) -> Tensor:
    """Return p(y | x) of images with shape (N, *shape), with shape (N, K)."""
    device = next(classifier.model.parameters()).device
    parts = []
    with torch.no_grad():
        for part in images.split(1000):
            log_p = rp.evaluation.class_log_prob(classifier.model, rp.Batch(part.to(device)))
            if log_p is None:
                raise TypeError(f"{classifier} does not classify")
            parts.append(log_p.exp().cpu())
    return torch.cat(parts)


def confidence(classifier: rp.Run, images: Tensor) -> Tensor:
    """Return the probability of the likeliest class of each image, with shape (N,)."""
    return class_probabilities(classifier, images).amax(-1)


def read_as(classifier: rp.Run, images: Tensor) -> Tensor:
    """Return the likeliest class of each image, int64 with shape (N,)."""
    return class_probabilities(classifier, images).argmax(-1)
