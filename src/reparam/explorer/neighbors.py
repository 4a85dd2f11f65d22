"""The training examples that are nearest to an example."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from reparam.batch import Batch
from reparam.explorer.explored import Explored


class Scale:
    """Examples as vectors whose distances can be compared; columns of a table are standardized.

    Arguments:
        train: The training examples.
        is_table: Whether an example is a row of a table.
    """

    def __init__(self, train: Tensor, is_table: bool) -> None:
        flat = train.flatten(1).double()
        self.loc = flat.mean(0) if is_table else torch.zeros(flat.shape[1])
        self.scale = flat.std(0).clamp(min=1e-9) if is_table else torch.ones(flat.shape[1])

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        """Return examples as vectors, with shape (N, D)."""
        return ((x.flatten(1).double() - self.loc) / self.scale).numpy()


@dataclass(frozen=True)
class Neighbors:
    """The search for near training examples.

    Images, counts and complete rows of numbers are compared by their entries, where columns of a
    table are standardized. Text and rows of several kinds are compared by their codes.

    Arguments:
        explored: The run and its data.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, steps=20, progress=False)
        >>> explored = Explored(run, digits)
        >>> nearest, distance = Neighbors(explored).of(explored.example(0), 3)
        >>> nearest.shape, bool((distance.diff() >= 0).all())
        (torch.Size([3, 1, 8, 8]), True)
    """

    explored: Explored

    @cached_property
    def by_entries(self) -> bool:
        """Whether examples are compared by their entries, and not by their codes."""
        spec, x = self.explored.run.spec, self.explored.view.train.x
        return spec.support not in ("tokens", "mixed") and not bool(x.isnan().any())

    @cached_property
    def _scale(self) -> Scale:
        return Scale(self.explored.view.train.x, self.explored.run.spec.is_table)

    @cached_property
    def _tree(self) -> KDTree | None:
        train = self.explored.view.train
        if self.by_entries:
            return KDTree(self._scale(train.x))
        codes = self.explored.view.encoded(train)
        return None if codes is None else KDTree(codes.numpy())

    @property
    def n_train(self) -> int:
        """The number of training examples that are searched."""
        return len(self.explored.view.train)

    def of(self, example: Batch, n: int) -> tuple[Tensor, Tensor]:
        r"""Return the nearest training examples, with shape (n, \*shape), and their distances.

        Fewer are returned where there are fewer.

        Arguments:
            example: The example, a batch of one.
            n: The number of neighbors.
        """
        train, tree = self.explored.view.train.x, self._tree
        if tree is None:
            return train[:0], torch.zeros(0)
        if self.by_entries:
            place = self._scale(example.x)[0]
        else:
            place = self.explored.encoded(example).double().numpy()
        distance, index = tree.query(place, k=range(1, min(n, len(train)) + 1))
        return train[torch.from_numpy(index)], torch.from_numpy(distance)
