"""Image data sets that have a name: their files, their splits, and how pixels become x.

A pixel is stored as one of K grey or color levels. x is the level scaled to [0, 1], a draw of a
Bernoulli with this mean or a threshold (binarized), or the level with uniform noise (dequantized).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from reparam.data.dataset import CHUNK, Dataset, Split, validation_size
from reparam.data.download import Remote, StrPath, find
from reparam.data.transforms import Pixels, check_one_way
from reparam.errors import OptionError, unknown
from reparam.spec import DataSpec
from reparam.utils.files import as_path, stored_path

Binarize = Literal["static", "threshold", "dynamic", "none"]

N_VALIDATION = 5000
"""The largest number of images that are held out for validation by default."""

DIGITS = tuple("0123456789")
"""The names of ten classes that are digits."""


@dataclass(frozen=True)
class ImageSet:
    """An image data set with a name; a ``Source``.

    Arguments:
        name: Its name, and that of its folder.
        description: One line on the images.
        n_train: The number of training images, with those held out for validation.
        n_test: The number of test images.
        shape: The shape of one image, (channels, height, width).
        levels: The number of grey or color levels of a pixel.
        class_names: The names of the classes, in the order of the labels.
        read: The function from the paths of the files to the official splits, x in uint8.
        files: For each file the paths within the folder that it may have.
        remote: Where the files are downloaded from; None for an embedded data set.
        binarize: The default binarization.
    """

    name: str
    description: str
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    levels: int
    class_names: tuple[str, ...]
    read: Callable[[Sequence[Path]], Mapping[str, Split]]
    files: Sequence[Sequence[str]] = ()
    remote: Remote | None = None
    binarize: Binarize = "none"
    path: None = None

    @property
    def where(self) -> str:
        """Where the images come from if no folder contains them."""
        return f"downloaded from {self.remote.url}" if self.remote else "embedded in scikit-learn"

    def load(
        self,
        *,
        data_dir: StrPath | None = None,
        binarize: Binarize | None = None,
        dequantize: bool = False,
        validation: int | float | None = None,
        labels_per_class: int | None = None,
        seed: int = 0,
    ) -> Dataset:
        """Return the data set; the options are those of ``reparam.data.load``.

        Raises:
            OptionError: An unknown binarization, binarization of color images or along with
                dequantization, or a validation split that leaves nothing to train on.
            DataError: Files that are missing or damaged, or cannot be downloaded.
        """
        if binarize is None:
            binarize = "none" if dequantize else self.binarize
        if binarize not in get_args(Binarize):
            raise unknown("binarization", str(binarize), get_args(Binarize))
        if binarize != "none" and self.shape[0] != 1:
            raise OptionError(
                f"binarize={binarize!r}: {self.name} has color images, whose levels are no "
                "probabilities of black and white, so set binarize='none'"
            )
        check_one_way(binarize, dequantize)
        is_grey = binarize == "none"
        spec = DataSpec(
            shape=self.shape,
            support="unit" if is_grey else "binary",
            n_classes=len(self.class_names),
            levels=self.levels if is_grey and not dequantize else None,
            dequantized_from=self.levels if dequantize else None,
            name=self.name,
        )
        splits = self.read(find(self.name, self.files, self.remote, data_dir))
        if binarize == "static":
            splits = drawn_once(splits, self.levels, seed)
        n_train = len(splits["train"])
        if validation is None:
            validation = min(N_VALIDATION, n_train // 20)
        folder = None if data_dir is None else as_path(data_dir, "data_dir").absolute()
        options: dict[str, Any] = {
            "name": self.name,
            "data_dir": None if folder is None else stored_path(folder),
            "binarize": binarize,
            "dequantize": dequantize,
            "validation": validation_size(validation, n_train),
            "labels_per_class": labels_per_class,
            "seed": seed,
        }
        transform = self.transform(binarize, dequantize)
        data = Dataset(self.name, spec, splits, transform, self.class_names, options)
        data = data.with_validation(validation, seed)
        if labels_per_class is None:
            return data
        return data.with_labels_per_class(labels_per_class, seed)

    def transform(self, binarize: Binarize, dequantize: bool) -> Pixels:
        """Return the map from stored levels to x; a static binarization is stored as drawn."""
        if binarize == "static":
            return Pixels(2)
        return Pixels(self.levels, binarize=binarize, dequantize=dequantize)


def drawn_once(splits: Mapping[str, Split], levels: int, seed: int) -> dict[str, Split]:
    """Return the splits with every pixel drawn from its Bernoulli once, on the CPU.

    >>> splits = {"train": Split(torch.tensor([[0, 255]], dtype=torch.uint8))}
    >>> drawn_once(splits, levels=256, seed=0)["train"].x
    tensor([[0, 1]], dtype=torch.uint8)
    """
    bernoulli = Pixels(levels, binarize="dynamic")
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, split in splits.items():
        parts = [bernoulli(x, generator).to(torch.uint8) for x in split.x.split(CHUNK)]
        drawn[name] = replace(split, x=torch.cat(parts))
    return drawn
