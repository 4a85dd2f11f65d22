"""The training examples that are nearest to an example."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from reparam.batch import Batch
from reparam.evaluation.copies import vectors
from reparam.explorer.explored import Explored


@dataclass(frozen=True)
class Neighbors:
    """The search for near training examples.

    Text is compared by its codes, other examples as ``evaluation.copies`` compares them.

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

    @property
    def by_entries(self) -> bool:
        """Whether examples are compared by their entries, and not by their codes."""
        return self.explored.run.spec.support != "tokens"

    def _vectors(self, x: Tensor) -> NDArray[np.float64]:
        return vectors(x, self.explored.run.spec, self.explored.view.latent)

    @cached_property
    def _tree(self) -> KDTree | None:
        train = self.explored.view.train
        if self.by_entries:
            return KDTree(self._vectors(train.x))
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
            place = self._vectors(example.x)[0]
        else:
            place = self.explored.encoded(example).double().numpy()
        distance, index = tree.query(place, k=range(1, min(n, len(train)) + 1))
        return train[torch.from_numpy(index)], torch.from_numpy(distance)
