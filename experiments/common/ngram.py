"""The interpolated n-gram, a model of text to compare a VAE with."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.errors import DataError, OptionError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_EM_STEPS = 100


class NGram:
    r"""A mixture of the relative frequencies of runs of 1, ..., n tokens (Jelinek and Mercer).

    .. math:: p(x_t \mid x_{<t}) = \sum_{k=0}^{m} \lambda_k \hat p_k(x_t \mid
              x_{t-k+1}, \dots, x_{t-1}), \qquad \hat p_0 = 1 / V

    m is the largest order, up to n, whose context lies within the window and occurs in training, so
    that every part of the mixture is a distribution. The weights λ depend on m and on how often
    that context occurs, and are those of the highest likelihood on other windows, found by EM. The
    first tokens of a window have the weights of the lower orders.

    Arguments:
        tokens: The training text, integers {0, …, n_classes - 1} with shape (N,).
        n_classes: The number of classes V.
        order: The largest n.

    Raises:
        OptionError: An order below one, or too many classes for it.
        DataError: A text that is shorter than the order.

    References:
        Chen & Goodman, An empirical study of smoothing techniques for language modeling, Computer
        Speech and Language 1999, section 2.3.

    Example:
        >>> model = NGram(torch.tensor([0, 1] * 50), n_classes=2, order=2)
        >>> model.fit(torch.tensor([[0, 1, 0, 1]])).log_prob(torch.tensor([[1, 0, 1]])).exp()
        tensor([0.5000], dtype=torch.float64)
    """

    def __init__(self, tokens: Tensor, n_classes: int, order: int) -> None:
        if order < 1 or n_classes**order >= 2**62:
            raise OptionError(
                f"order={order}: must be at least 1, and {n_classes}^order below 2^62"
            )
        if len(tokens) <= order:
            raise DataError(f"{len(tokens)} tokens: a text must be longer than order={order}")
        self.n_classes = n_classes
        self.order = order
        self.weights: list[dict[tuple[int, int], Floats]] = []
        text = tokens.long().numpy()
        # The runs of every order, and the runs that were followed by a token.
        self._runs = [_counted(_codes(text, k, n_classes)) for k in range(order + 1)]
        self._contexts = [_counted(_codes(text[:-1], k, n_classes)) for k in range(order)]

    def fit(self, windows: Tensor) -> "NGram":
        """Choose the weights of all orders on windows with shape (N, T), and return the model."""
        parts, n_contexts = self._parts(windows)
        self.weights = []
        for n in range(1, self.order + 1):
            full = slice(n - 1, None)
            groups = _groups(n_contexts[:, full, : n + 1])
            self.weights.append(
                {
                    (m, size): _mixture(parts[:, full][here][:, : m + 1])
                    for (m, size), here in groups.items()
                }
            )
        return self

    def log_prob(self, windows: Tensor, n: int | None = None) -> Tensor:
        """Return log p of windows with shape (N, T), each from its start, in nats with shape (N,).

        Arguments:
            windows: The windows.
            n: The order, up to that of the model; its largest when None.

        Raises:
            OptionError: The weights were not chosen yet, or another order.
        """
        n = self.order if n is None else n
        if not 1 <= n <= len(self.weights):
            raise OptionError(f"n={n}: fit a model of order {n} or more first")
        parts, n_contexts = self._parts(windows)
        probability = np.empty(parts.shape[:2])
        for t in range(parts.shape[1]):
            reach = min(n, t + 1)
            for (m, size), here in _groups(n_contexts[:, t, : reach + 1]).items():
                even = np.full(m + 1, 1 / (m + 1))  # for what no window of ``fit`` has
                weights = self.weights[reach - 1].get((m, size), even)
                probability[here, t] = parts[here, t, : m + 1] @ weights
        return torch.from_numpy(np.log(probability).sum(1))

    def _parts(self, windows: Tensor) -> tuple[Floats, Integers]:
        """Return the frequencies of orders 0 to n, and how often their contexts occur.

        Both have the shape (N, T, n + 1); an order whose context reaches out of the window, or
        never occurs, has zeros.
        """
        x = windows.long().numpy()
        parts = np.zeros((*x.shape, self.order + 1))
        parts[..., 0] = 1 / self.n_classes
        n_contexts = np.zeros(parts.shape, np.int64)
        for k in range(1, min(self.order, x.shape[1]) + 1):
            runs = _codes(x, k, self.n_classes)
            found = _looked_up(self._contexts[k - 1], runs // self.n_classes)
            parts[:, k - 1 :, k] = _looked_up(self._runs[k], runs) / np.maximum(found, 1)
            n_contexts[:, k - 1 :, k] = found
        return parts, n_contexts


def _groups(n_contexts: Integers) -> dict[tuple[int, int], NDArray[np.bool_]]:
    """Return which tokens share weights: those of one order m, and one size of their context.

    Arguments:
        n_contexts: How often the context of each order occurs, with shape (*, n + 1).
    """
    order = n_contexts.shape[-1] - 1 - (n_contexts[..., :0:-1] > 0).argmax(-1)
    occurs = np.take_along_axis(n_contexts, order[..., None], -1)[..., 0]
    size = np.log2(np.maximum(occurs, 1)).astype(np.int64)
    pairs = {(int(m), int(s)) for m, s in zip(order.flat, size.flat, strict=True)}
    return {(m, s): (order == m) & (size == s) for m, s in sorted(pairs)}


def _mixture(parts: Floats) -> Floats:
    """Return the weights of the highest likelihood for parts with shape (N, m + 1), by EM.

    >>> _mixture(np.array([[0.5, 0.0], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5]]))
    array([0.25, 0.75])
    """
    weights = np.full(parts.shape[1], 1 / parts.shape[1])
    for _ in range(_EM_STEPS):
        joint = parts * weights
        weights = (joint / joint.sum(1, keepdims=True)).mean(0)
    return weights


def _codes(x: Integers, k: int, n_classes: int) -> Integers:
    """Return the number, to the base of the classes, of every run of k tokens along the last axis.

    >>> _codes(np.array([1, 2, 3]), 2, 10)
    array([12, 23])
    """
    n_runs = x.shape[-1] - k + 1
    codes = np.zeros((*x.shape[:-1], n_runs), np.int64)
    for i in range(k):
        codes = codes * n_classes + x[..., i : i + n_runs]
    return codes


def _counted(codes: Integers) -> tuple[Integers, Integers]:
    return np.unique(codes, return_counts=True)


def _looked_up(counted: tuple[Integers, Integers], codes: Integers) -> Integers:
    """Return how often each code was counted.

    >>> _looked_up(_counted(np.array([3, 3, 5])), np.array([3, 4, 9]))
    array([2, 0, 0])
    """
    keys, counts = counted
    places = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
    return np.where(keys[places] == codes, counts[places], 0)
