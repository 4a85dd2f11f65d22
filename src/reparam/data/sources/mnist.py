"""MNIST: 70,000 grey images of handwritten digits, 28 × 28 pixels.

References:
    LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 1998.
"""

from collections.abc import Sequence
from pathlib import Path

from reparam.data.dataset import Split
from reparam.data.download import Remote
from reparam.data.idx import FIX, read_idx
from reparam.data.image_set import DIGITS, ImageSet
from reparam.data.registry import SOURCES
from reparam.errors import DataError

STEMS = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
FILES = tuple((stem, f"{stem}.gz") for stem in STEMS)


def read(paths: Sequence[Path]) -> dict[str, Split]:
    """Return the splits of a data set in the format of MNIST, x uint8 with shape (N, 1, 28, 28).

    Arguments:
        paths: The paths of the files, in the order of ``STEMS``.

    Raises:
        DataError: Files that are damaged, or do not belong together.
    """
    splits = {}
    for name, images, labels in zip(("train", "test"), paths[::2], paths[1::2], strict=True):
        x, y = read_idx(images, n_axes=3), read_idx(labels, n_axes=1)
        if x.shape != (len(y), 28, 28) or len(y) == 0:
            raise DataError(
                f"{images} has images of shape {tuple(x.shape)} for {len(y)} labels: "
                f"({len(y) or 'N'}, 28, 28) is needed, so {FIX}"
            )
        if y.max() > 9:
            raise DataError(f"{labels} has the label {int(y.max())}: labels are 0 to 9, so {FIX}")
        splits[name] = Split(x.unsqueeze(1), y.long())
    return splits


SOURCES.add(
    "mnist",
    ImageSet(
        name="mnist",
        description="handwritten digits, grey, of LeCun, Cortes and Burges",
        n_train=60_000,
        n_test=10_000,
        shape=(1, 28, 28),
        levels=256,
        class_names=DIGITS,
        read=read,
        files=FILES,
        remote=Remote(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            {
                "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcad1e91432",
                "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
        binarize="dynamic",
    ),
)
