"""``VAEClassifier``: classes from few labels."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, tzinfo
from typing import Any, Self

import narwhals as nw
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from reparam.data import Split
from reparam.data.registry import Frame
from reparam.estimators.base import Estimator, variant_of
from reparam.estimators.scores import ROWS_AT_ONCE
from reparam.models.label_inference import label_log_prob
from reparam.schema import Schema
from reparam.spec import Support
from reparam.variants.specification import OptionValue


class VAEClassifier(ClassifierMixin, Estimator):
    r"""A classifier that learns from rows with and without labels: the semi-supervised VAE (M2).

    .. math:: p(x, y, z) = p(y)\, p(z)\, p(x \mid y, z), \qquad
              \mathrm{predict\_proba} = q(y \mid x)

    -1, NaN, NaT or None marks an unknown label. -1 beside 1 alone are two classes, as is usual for
    binary labels.

    Arguments:
        latent_dim: The number of dimensions of z.
        hidden: The sizes of the layers.
        alpha: The weight of the classification of labeled rows; None for one that grows with the
            share of rows that have labels.
        likelihood: p(x | y, z) by name; None for the one that fits the data.
        support: The set that contains every entry of X, such as ``counts``; found when None.
        image_shape: (height, width) of the images that the rows of X are, or (height, width,
            channels) with the channels last; None for other rows.
        schema: The columns of a DataFrame; inferred when None.
        steps: The number of optimizer steps; found when None.
        budget: The wall-clock time of a fit, such as ``30s``; None for no limit.
        batch_size: The number of rows of each step; 128 when None.
        lr: The learning rate; found when None.
        random_state: The seed, or a source of one.
        device: The device that trains: ``auto``, ``cpu``, ``cuda`` ...
        verbose: Whether to print what was chosen, and progress.

    Attributes:
        classes_: The classes.
        n_features_in_: The number of columns of X.

    References:
        Kingma, Rezende, Mohamed & Welling, NeurIPS 2014.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> y[::2] = -1
        >>> VAEClassifier(steps=100, random_state=0).fit(x, y).predict(x[:2]).shape
        (2,)
    """

    def __init__(
        self,
        latent_dim: int = 10,
        *,
        hidden: Sequence[int] = (128, 128),
        alpha: float | None = None,
        likelihood: str | None = None,
        support: Support | None = None,
        image_shape: Sequence[int] | None = None,
        schema: Schema | None = None,
        steps: int | None = None,
        budget: str | float | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.alpha = alpha
        self.likelihood = likelihood
        self.support = support
        self.image_shape = image_shape
        self.schema = schema
        self.steps = steps
        self.budget = budget
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: ArrayLike | Frame, y: ArrayLike) -> Self:
        """Train the model on X and the labels that are known, and return the estimator.

        Arguments:
            X: The rows: an array with shape (N, D), a sparse matrix or a DataFrame.
            y: The labels, with shape (N,); -1, NaN, NaT or None for an unknown one.

        Raises:
            ValueError: No label, a single class, or labels that are no classes.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        labels, self.classes_ = known_classes(y)
        data = self._fit_data(X, self.support, image_shape=self.image_shape)
        check_consistent_length(X, labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has {len(self.classes_)} class: labels of at least two classes are needed"
            )
        n_classes, split = len(self.classes_), Split(data.images, torch.from_numpy(labels))
        spec = replace(data.spec, n_classes=n_classes)
        data = replace(data, splits={"train": split}, spec=spec)
        share = float((labels >= 0).mean())
        alpha = self.alpha if self.alpha is not None else DIMENSIONS * data.spec.dim * share
        options: dict[str, OptionValue] = {
            "latent_dim": self.latent_dim,
            "hidden": tuple(self.hidden),
            "alpha": max(1.0, alpha),
            "likelihood": self.likelihood,
            "jitter": data.spec.is_image,
        }
        return self._train(data, variant_of("ss-vae", options))

    @torch.no_grad()
    def predict_proba(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return q(y | x), with shape (N, number of classes)."""
        model = self.latent_model
        parts: list[Any] = [label_log_prob(model, x) for x in self._rows(X).split(ROWS_AT_ONCE)]
        found: NDArray[np.float64] = torch.cat(parts).softmax(-1).numpy()
        return found

    def predict(self, X: ArrayLike | Frame) -> NDArray[Any]:
        """Return the most probable class of each row, with shape (N,)."""
        probabilities = self.predict_proba(X)
        classes: NDArray[Any] = self.classes_
        return classes[probabilities.argmax(1)]


def known_classes(y: ArrayLike) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return labels as numbers of classes, -1 for unknown ones, and the classes.

    Arguments:
        y: The labels, with shape (N,).

    Raises:
        ValueError: Labels that are no classes.

    Example:
        >>> known_classes(["a", None, "b"])
        (array([ 0, -1,  1]), array(['a', 'b'], dtype=object))
        >>> known_classes([-1, 1, 1])[1], known_classes([-1, 0, 1])[1]
        (array([-1,  1]), array([0, 1]))
        >>> known_classes(np.array([1, None, 0], object))
        (array([ 1, -1,  0]), array([0, 1]))
    """
    given = column_or_1d(_beside_none(y), warn=True)
    missing = np.array([_is_unknown(value) for value in given], bool)
    there = given[~missing]
    if there.dtype.kind == "O" and not any(isinstance(value, str) for value in there):
        # Numbers, booleans or dates beside None; arrays have no zones of time.
        are_dates = all(isinstance(v, date) and not _zone_of(v) for v in there)
        there = np.array(there.tolist(), "datetime64" if are_dates else None)
    check_classification_targets(there)
    is_number = there.dtype.kind in "iuf"
    if is_number and set(np.unique(there)) != {-1, 1}:
        missing[~missing] = there == -1
        there = there[there != -1]
    classes, codes = np.unique(there, return_inverse=True)
    found = np.full(len(given), -1)
    found[~missing] = codes
    return found, classes


def _zone_of(value: date) -> tzinfo | None:
    return value.tzinfo if isinstance(value, datetime) else None


def _beside_none(y: object) -> Any:
    """Return whole numbers and booleans of a Series with gaps as objects; anything else as it is.

    NumPy has no gaps in such numbers, and would make floats of them.
    """
    series = nw.from_native(y, series_only=True, pass_through=True)
    if not isinstance(series, nw.Series) or not series.null_count():
        return y
    is_exact = series.dtype.is_integer() or series.dtype == nw.Boolean
    return np.array(series.to_list(), object) if is_exact else y


def _is_unknown(label: object) -> bool:
    """Return whether a label is None, NaN, NaT or the NA of pandas, which cannot be compared."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(label, np.datetime64 | np.timedelta64):
        return bool(np.isnat(label))
    return isinstance(label, float | np.floating) and bool(np.isnan(label))


DIMENSIONS = 0.1
"""The weight of the classification for each column of x, where all rows have labels."""
