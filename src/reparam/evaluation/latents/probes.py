"""Probes: the labels that simple classifiers predict from codes."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.errors import DataError, ShapeError
from reparam.evaluation.figure import Figure
from reparam.utils.arguments import numbers

N_TRAIN = 10_000
"""The largest number of codes that a probe learns from; more are chosen from at random."""

SMALL_CODE = 256
"""The largest dimension of codes that an evaluation probes by default, within seconds."""

N_NEIGHBORS = 5
"""The number of neighbors that vote."""

_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_HELD_OUT = 0.2


class Probes(NamedTuple):
    """The accuracy of classifiers of codes.

    Arguments:
        linear: The accuracy of a linear classifier.
        neighbors: The accuracy of the nearest neighbors' vote.
        n_train: The number of codes with labels that they learned from.
    """

    linear: Figure
    neighbors: Figure
    n_train: int


@numbers()
def probe(
    train_codes: Tensor, train_labels: Tensor, codes: Tensor, labels: Tensor, *, seed: int = 0
) -> Probes | None:
    """Return how well a linear classifier and the nearest neighbors predict the labels of codes.

    Examples whose label is not known (-1) are left out on both sides.

    Arguments:
        train_codes: Codes of training examples, with shape (M, D); ``N_TRAIN`` of those with a
            label are used, where there are more.
        train_labels: Their labels, with shape (M,).
        codes: Codes of other examples, with shape (N, D).
        labels: Their labels, with shape (N,).
        seed: The seed of the choice of these, and of the part that regularization is chosen on.

    Returns:
        Both accuracies; None where there are fewer than two classes to learn, or no labels to
        predict.

    Raises:
        ShapeError: Codes and labels that are not as many, or codes of different sizes.

    Example:
        >>> z, y = torch.arange(40.0)[:, None] % 4, torch.arange(40) % 4 // 2
        >>> probe(z[:30], y[:30], z[30:], y[30:]).linear.value
        1.0
    """
    train_codes, train_labels = _known(train_codes, train_labels)
    rows = training_rows(train_labels, seed)
    train_codes, train_labels = train_codes[rows], train_labels[rows]
    codes, labels = _known(codes, labels)
    if len(train_labels.unique()) < 2 or len(labels) == 0:
        return None
    return Probes(
        linear_probe(train_codes, train_labels, codes, labels, seed=seed),
        knn_accuracy(train_codes, train_labels, codes, labels),
        len(train_labels),
    )


def training_rows(labels: Tensor, seed: int) -> Tensor:
    """Return which training examples a probe learns from: at most ``N_TRAIN`` with a known label.

    They are chosen at random, since the first ones may all be of one class.

    Arguments:
        labels: The labels of all training examples, with shape (M,); -1 where one is not known.
        seed: The seed of the choice.

    >>> training_rows(torch.tensor([0, -1, 3]), seed=0)
    tensor([0, 2])
    """
    known = (labels.cpu() >= 0).nonzero()[:, 0]
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    return known[order[:N_TRAIN].sort().values]


@numbers()
def linear_probe(
    train_codes: Tensor, train_labels: Tensor, codes: Tensor, labels: Tensor, *, seed: int = 0
) -> Figure:
    r"""Return the accuracy of a logistic regression on codes.

    .. math:: p(y \mid z) \propto \exp(w_y^\top \tilde z + b_y), \qquad
              \min_{w, b} \; -\sum_m \log p(y_m \mid z_m) + \frac{1}{2C} \sum_y \|w_y\|^2

    Codes :math:`\tilde z` are standardized by the training codes. C is the best of five on a fifth
    of the training codes, and the classifier learns then from all of them.

    Arguments:
        train_codes: Codes of training examples, with shape (M, D).
        train_labels: Their labels, with shape (M,), of two classes or more.
        codes: Codes of other examples, with shape (N, D).
        labels: Their labels, with shape (N,).
        seed: The seed of the choice of that fifth.

    Raises:
        ShapeError: Codes and labels that are not as many, or codes of different sizes.
        DataError: Labels of fewer than two classes.

    References:
        Alain & Bengio, Understanding intermediate layers using linear classifier probes, ICLR
        workshop 2017.

    Example:
        >>> z = torch.tensor([[-1.0], [1.0]]).repeat(20, 1)
        >>> linear_probe(z, (z[:, 0] > 0).long(), z[:4], torch.tensor([0, 1, 1, 1])).value
        0.75
    """
    # scikit-learn takes a second to import.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    _check(train_codes, train_labels, codes, labels)
    wide = train_codes.detach().double()
    center, scale = wide.mean(0), wide.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)

    def standardized(z: Tensor) -> NDArray[np.float64]:
        return ((z.detach().double() - center) / scale).numpy()

    def fitted(strength: float, z: NDArray[Any], y: NDArray[Any]) -> LogisticRegression:
        with warnings.catch_warnings():
            # A probe that stops early is judged by its accuracy like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return LogisticRegression(C=strength, max_iter=300).fit(z, y)

    z, y = standardized(train_codes), train_labels.numpy()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed)).numpy()
    held, kept = np.split(order, [max(1, int(_HELD_OUT * len(y)))])
    strength = 1.0
    if len(np.unique(y[kept])) > 1:
        scores = [fitted(c, z[kept], y[kept]).score(z[held], y[held]) for c in _STRENGTHS]
        strength = _STRENGTHS[int(np.argmax(scores))]
    predicted = fitted(strength, z, y).predict(standardized(codes))
    return Figure.mean(torch.from_numpy(predicted == labels.numpy()))


@numbers(n_neighbors=1)
def knn_accuracy(
    train_codes: Tensor,
    train_labels: Tensor,
    codes: Tensor,
    labels: Tensor,
    *,
    n_neighbors: int = N_NEIGHBORS,
) -> Figure:
    """Return the accuracy of the vote of the nearest training codes, by Euclidean distance.

    Codes are not standardized: the scale of a dimension shows how much a model uses it.

    Arguments:
        train_codes: Codes of training examples, with shape (M, D).
        train_labels: Their labels, with shape (M,), of two classes or more.
        codes: Codes of other examples, with shape (N, D).
        labels: Their labels, with shape (N,).
        n_neighbors: The number of votes; all codes where there are fewer.

    Raises:
        OptionError: No neighbors.
        ShapeError: Codes and labels that are not as many, or codes of different sizes.
        DataError: Labels of fewer than two classes.

    Example:
        >>> z = torch.arange(10.0)[:, None]
        >>> knn_accuracy(z, (z[:, 0] > 4).long(), z, torch.ones(10), n_neighbors=1).value
        0.5
    """
    from sklearn.neighbors import KNeighborsClassifier

    _check(train_codes, train_labels, codes, labels)
    vote = KNeighborsClassifier(min(n_neighbors, len(train_codes)), algorithm="brute")
    vote.fit(train_codes.detach().numpy(), train_labels.numpy())
    predicted = vote.predict(codes.detach().numpy())
    return Figure.mean(torch.from_numpy(predicted == labels.numpy()))


def _known(codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes and labels on the CPU, without those whose label is not known."""
    known = labels.cpu() >= 0
    if len(codes) != len(known):
        raise ShapeError(f"{len(codes)} codes and {len(known)} labels: give one label for each")
    return codes.flatten(1).cpu()[known], labels.cpu()[known]


def _check(train_codes: Tensor, train_labels: Tensor, codes: Tensor, labels: Tensor) -> None:
    counts = (len(train_codes), len(train_labels), len(codes), len(labels))
    if counts[0] != counts[1] or counts[2] != counts[3]:
        raise ShapeError(
            f"{counts[0]} training codes with {counts[1]} labels and {counts[2]} codes with "
            f"{counts[3]}: give one label for each code"
        )
    if train_codes.shape[1:] != codes.shape[1:]:
        raise ShapeError(
            f"training codes of shape {tuple(train_codes.shape)} and codes of shape "
            f"{tuple(codes.shape)}: both must have the same number of dimensions"
        )
    if len(train_labels.unique()) < 2:
        raise DataError("a probe needs training labels of at least two classes: give more examples")
