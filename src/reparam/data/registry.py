"""The data sets that have a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, Literal, get_args

import torch

from reparam.data.cifar import ARCHIVE, FILES, FOLDER, SHAPE, read_cifar10
from reparam.data.dataset import Dataset, Split, validation_size
from reparam.data.idx import FIX, read_idx
from reparam.data.images import load_images
from reparam.data.sources import SOURCES, StrPath, find
from reparam.data.text import load_text
from reparam.data.transforms import Pixels
from reparam.errors import DataError, OptionError, folded, unknown
from reparam.isolation import default_modes
from reparam.spec import DataSpec, Support
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path, stored_path

Binarize = Literal["static", "threshold", "dynamic", "none"]

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
OBJECTS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@dataclass(frozen=True)
class Entry:
    """What is known of a named data set before it is read.

    Arguments:
        name: Its name, which is also that of its folder.
        description: One line on what it is.
        n_train: The number of training images, before validation images are taken out.
        n_test: The number of test images.
        shape: The shape of one image, (channels, height, width).
        levels: The number of grey or color levels of a pixel.
        class_names: The names of its classes, in the order of the labels.
        binarize: How it is binarized unless asked otherwise.
        dequantize: Whether it is dequantized unless asked otherwise.
        read: What returns the official splits, given a folder to look in or None.
    """

    name: str
    description: str
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    levels: int
    class_names: tuple[str, ...]
    binarize: Binarize
    dequantize: bool
    read: Callable[[StrPath | None], Mapping[str, Split]]

    @property
    def where(self) -> str:
        """Where it is found when no folder holds it."""
        source = SOURCES.get(self.name)
        return f"downloaded from {source.url}" if source else "embedded in scikit-learn"


@default_modes()
@numbers()
def load(
    name: str,
    *,
    data_dir: StrPath | None = None,
    binarize: Binarize | None = None,
    dequantize: bool | None = None,
    validation: int | float | None = None,
    labels_per_class: int | None = None,
    seed: int = 0,
    **of_files: Any,
) -> Dataset:
    """Return a data set by its name.

    It is looked for in a folder of its name under ``data_dir`` and there only; without
    ``data_dir`` under ``$REPARAM_DATA_DIR``, else in the cache, else it is downloaded. ``digits``
    is embedded and looked for nowhere.

    Arguments:
        name: One of ``DATASETS``.
        data_dir: The folder that holds the folder of the data set.
        binarize: ``dynamic``: drawn anew each time an image is used. ``static``: drawn once, from
            ``seed``. ``threshold``: 1 from half the range on. ``none``: grey values in [0, 1].
            The data set's own way when None.
        dequantize: Whether uniform noise makes the levels continuous; the data set's own way when
            None.
        validation: How many training images, or as a float which fraction, are held out for
            validation; 5 % of them and at most 5,000 when None.
        labels_per_class: How many random training images of each class keep their label, to learn
            from few; all when None. The labels of validation and test images stay.
        seed: The seed of the choice of validation images and of labels, and of static binarization.
        of_files: Where ``name`` is a kind of files of your own, the options of it, among them
            ``path``; for ``text`` those of ``load_text``, for ``faces`` those of ``load_images``.

    Raises:
        OptionError: An unknown name, option or binarization, binarization of color images or along
            with dequantization, or a validation split that leaves nothing to train on.
        DataError: Files that are missing or damaged, or cannot be downloaded.

    Example:
        >>> data = load("digits")
        >>> data.shape, data.support, len(data.split("train")), len(data.split("test"))
        ((1, 8, 8), 'unit', 1366, 360)
    """
    by_folded = {folded(known): entry for known, entry in DATASETS.items()}
    if folded(name) in OWN_FILES:
        given = {
            "data_dir": data_dir,
            "binarize": binarize,
            "dequantize": dequantize,
            "labels_per_class": labels_per_class,
        }
        return _own_files(folded(name), given, {"validation": validation, **of_files})
    if folded(name) not in by_folded:
        raise unknown("data set", name, [*DATASETS, *OWN_FILES])
    for option in of_files:
        raise OptionError(
            f"{option}={of_files[option]!r}: {name!r} is no file of your own: drop it, or "
            f"say which kind it is, as data={', '.join(OWN_FILES)}"
        )
    entry = by_folded[folded(name)]
    if binarize is not None and binarize not in get_args(Binarize):
        raise unknown("binarization", str(binarize), get_args(Binarize))
    if binarize is None:
        binarize = "none" if dequantize else entry.binarize
    if dequantize is None:
        dequantize = entry.dequantize and binarize == "none"
    if binarize != "none" and entry.shape[0] != 1:
        raise OptionError(
            f"binarize={binarize!r}: {entry.name} has color images, whose levels are no "
            "probabilities of black and white, so set binarize='none'"
        )
    if binarize != "none" and dequantize:
        raise OptionError(
            f"binarize={binarize!r} with dequantize=True: binary values have no levels to smooth, "
            "so set one of the two only"
        )
    transform = transform_of(entry.levels, binarize, dequantize)
    support: Support = "unit" if binarize == "none" else "binary"
    spec = DataSpec(
        shape=entry.shape,
        support=support,
        n_classes=len(entry.class_names),
        levels=entry.levels if support == "unit" and not dequantize else None,
        dequantized_from=entry.levels if dequantize else None,
        name=entry.name,
    )
    splits = entry.read(data_dir)
    if binarize == "static":
        splits = drawn_once(splits, entry.levels, seed)
    n_train = len(splits["train"])
    if validation is None:
        validation = min(5000, n_train // 20)
    options: dict[str, Any] = {
        "name": entry.name,
        "data_dir": None
        if data_dir is None
        else stored_path(as_path(data_dir, "data_dir").absolute()),
        "binarize": binarize,
        "dequantize": dequantize,
        "validation": validation_size(validation, n_train),
        "labels_per_class": labels_per_class,
        "seed": seed,
    }
    data = Dataset(entry.name, spec, splits, transform, entry.class_names, options)
    data = data.with_validation(validation, seed)
    return data if labels_per_class is None else data.with_labels_per_class(labels_per_class, seed)


def transform_of(levels: int, binarize: Binarize, dequantize: bool) -> Pixels:
    """Return what makes x of stored grey levels; a static binarization is stored as it was drawn.

    >>> transform_of(256, "static", False)
    Pixels(levels=2, binarize='none', dequantize=False)
    """
    if binarize == "static":
        return Pixels(2)
    return Pixels(levels, binarize=binarize, dequantize=dequantize)


OWN_FILES: dict[str, Callable[..., Dataset]] = {"text": load_text, "faces": load_images}
"""Kinds of files of the user's own, and what loads them, given ``path`` and other options."""


def _own_files(name: str, given: Mapping[str, Any], options: Mapping[str, Any]) -> Dataset:
    """Return the data set of the user's own files.

    Raises:
        OptionError: An option that this kind of files does not have.
    """
    maker = OWN_FILES[name]
    known = list(signature(maker).parameters)
    given = {k: v for k, v in given.items() if v is not None}
    for option in [*given, *options]:
        if option not in known:
            raise unknown(f"option of data {name!r}", option, known)
    return maker(**{"path": None, **given, **options})


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
        x = torch.empty_like(split.x)
        for stored, chunk in zip(split.x.split(1024), x.split(1024), strict=True):
            chunk.copy_(bernoulli(stored, generator))
        drawn[name] = replace(split, x=x)
    return drawn


def read_digits(data_dir: StrPath | None = None) -> dict[str, Split]:
    """Return scikit-learn's digits, x uint8 with shape (N, 1, 8, 8), of which 360 for the test.

    There is no official split: the test images are those that a fixed permutation puts first.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    y = torch.from_numpy(bunch.target).long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    whole = Split(x, y)
    return {
        "train": whole.take(order[360:].sort().values),
        "test": whole.take(order[:360].sort().values),
    }


def read_mnist(name: str, data_dir: StrPath | None = None) -> dict[str, Split]:
    """Return the splits of MNIST or a data set in its format, x uint8 with shape (N, 1, 28, 28).

    Raises:
        DataError: Files that are missing or damaged, or do not belong together.
    """
    parts = {"train": "train", "test": "t10k"}
    stems = [
        f"{part}-{kind}-ubyte" for part in parts.values() for kind in ("images-idx3", "labels-idx1")
    ]
    paths = find(name, [(stem, f"{stem}.gz") for stem in stems], data_dir)
    splits = {}
    for i, split in enumerate(parts):
        images, labels = paths[2 * i], paths[2 * i + 1]
        x, y = read_idx(images, n_axes=3), read_idx(labels, n_axes=1)
        if x.shape != (len(y), 28, 28) or len(y) == 0:
            raise DataError(
                f"{images} has images of shape {tuple(x.shape)} for {len(y)} labels: "
                f"({len(y) or 'N'}, 28, 28) is needed, so {FIX}"
            )
        if y.max() > 9:
            raise DataError(f"{labels} has the label {int(y.max())}: labels are 0 to 9, so {FIX}")
        splits[split] = Split(x.unsqueeze(1), y.long())
    return splits


def read_cifar(data_dir: StrPath | None = None) -> dict[str, Split]:
    """Return the splits of CIFAR-10, x uint8 with shape (N, 3, 32, 32).

    Raises:
        DataError: Files that are missing or damaged.
    """
    wanted = [(f"{FOLDER}/{file}", file, ARCHIVE) for file in FILES]
    return read_cifar10(find("cifar10", wanted, data_dir))


DATASETS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="digits",
            description="handwritten digits, small and grey, of the UCI repository",
            n_train=1437,
            n_test=360,
            shape=(1, 8, 8),
            levels=17,
            class_names=DIGITS,
            binarize="none",
            dequantize=False,
            read=read_digits,
        ),
        Entry(
            name="mnist",
            description="handwritten digits, grey, of LeCun, Cortes and Burges",
            n_train=60_000,
            n_test=10_000,
            shape=(1, 28, 28),
            levels=256,
            class_names=DIGITS,
            binarize="dynamic",
            dequantize=False,
            read=lambda data_dir: read_mnist("mnist", data_dir),
        ),
        Entry(
            name="fashion-mnist",
            description="clothes, grey, in the format of MNIST, of Zalando Research",
            n_train=60_000,
            n_test=10_000,
            shape=(1, 28, 28),
            levels=256,
            class_names=CLOTHES,
            binarize="dynamic",
            dequantize=False,
            read=lambda data_dir: read_mnist("fashion-mnist", data_dir),
        ),
        Entry(
            name="cifar10",
            description="color photographs of animals and vehicles, of Krizhevsky",
            n_train=50_000,
            n_test=10_000,
            shape=SHAPE,
            levels=256,
            class_names=OBJECTS,
            binarize="none",
            dequantize=True,
            read=read_cifar,
        ),
    )
}
