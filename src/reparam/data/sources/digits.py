"""The digits of scikit-learn: 1797 grey images of 8 × 8 pixels, embedded.

References:
    Alpaydin & Kaynak, Optical recognition of handwritten digits, UCI repository, 1998.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from reparam.data.dataset import Split
from reparam.data.image_set import DIGITS, ImageSet
from reparam.data.registry import SOURCES

N_TEST = 360


def read(paths: Sequence[Path] = ()) -> dict[str, Split]:
    """Return the splits, x uint8 with shape (N, 1, 8, 8).

    There is no official split: the test images are the first of a fixed permutation.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    whole = Split(x, torch.from_numpy(bunch.target).long())
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    parts = {"train": order[N_TEST:], "test": order[:N_TEST]}
    return {name: whole.take(index.sort().values) for name, index in parts.items()}


SOURCES.add(
    "digits",
    ImageSet(
        name="digits",
        description="handwritten digits, small and grey, of the UCI repository",
        n_train=1797 - N_TEST,
        n_test=N_TEST,
        shape=(1, 8, 8),
        levels=17,
        class_names=DIGITS,
        read=read,
    ),
)
