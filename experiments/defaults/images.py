"""Images: the plain command beside pythae's VAE with its defaults, in equal time."""

import lzma
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import train_test_split
from torch import Tensor

import reparam as rp
from benchmarks import environments, process
from benchmarks.settings import CONTENDERS
from experiments.common.judge import digit_classifier
from experiments.defaults import ours
from experiments.defaults.rows import Stored
from experiments.ledger.options import Options
from experiments.ledger.protocol import Protocol
from reparam.pictures import grid

Bytes = NDArray[np.uint8]

N_SAMPLES = 2000
"""The largest number of samples, and of test images beside them."""

N_LABELED = 10_000
"""The number of labeled images that the classifier is trained on; of fewer, all several times."""

N_COMPONENTS = 32
"""The number of features of images without labels."""

Features = Callable[[Tensor], Tensor]
"""From images with shape (B, C, H, W) to features with shape (B, F)."""


class Images(NamedTuple):
    """A set of images.

    Arguments:
        variant: The variant of the plain command.
        given: What the plain command gets: an array, or a data set.
        held: The test images in the same form; None for the test split of the data set.
        labeled: Training images and their labels, for features; None if there are no labels.
    """

    variant: Callable[..., rp.Recipe]
    given: object
    held: object = None
    labeled: tuple[Tensor, Tensor] | None = None


def digits(seed: int, folder: Path) -> Images:
    """Return the digits of scikit-learn."""
    data = rp.data.load("digits")
    return Images(rp.variants.vae, data, labeled=_labeled(data))


def mnist(seed: int, folder: Path) -> Images:
    """Return MNIST, as it is loaded by its name."""
    data = rp.data.load("mnist", data_dir=folder)
    return Images(rp.variants.vae, data, labeled=_labeled(data))


def few_mnist(seed: int, folder: Path) -> Images:
    """Return the first 1,000 images of MNIST as an array."""
    data = rp.data.load("mnist", data_dir=folder, validation=0)
    x, held = (data.split(name).x.numpy() for name in ("train", "test"))
    return Images(rp.variants.vae, x[:1000], held, _labeled(data))


def frey(seed: int, folder: Path) -> Images:
    """Return Frey's faces as an array of 28 × 20 pixels."""
    train, test = _faces(seed, folder)
    return Images(rp.variants.vae, train, test)


def frey_folder(seed: int, folder: Path) -> Images:
    """Return Frey's faces as a folder of files."""
    with tempfile.TemporaryDirectory() as place:
        for split, faces in zip(("train", "test"), _faces(seed, folder), strict=True):
            (Path(place) / split).mkdir()
            for i, face in enumerate(faces):
                Image.fromarray(face[0]).save(Path(place) / split / f"{i:04}.png")
        return Images(rp.variants.conv_vae, rp.data.load("images", path=place))


def cifar10(seed: int, folder: Path, n: int = 50_000) -> Images:
    """Return the first n images of CIFAR-10 as an array."""
    place = folder / "cifar10"
    parts = [_planes(place / f"train-{i + 1}.xz") for i in range(-(-n // 10_000))]
    x, held = np.concatenate(parts), _planes(place / "test.xz")
    y = np.load(place / "train-labels.npy", allow_pickle=False)[:N_LABELED].astype(np.int64)
    labeled = torch.from_numpy(x[:N_LABELED]), torch.from_numpy(y)
    return Images(rp.variants.conv_vae, x[:n], held, labeled)


def few_cifar10(seed: int, folder: Path) -> Images:
    """Return the first 5,000 images of CIFAR-10."""
    return cifar10(seed, folder, 5_000)


IMAGES: dict[str, Callable[[int, Path], Images]] = {
    "digits": digits,
    "frey": frey,
    "frey-folder": frey_folder,
    "mnist-1000": few_mnist,
    "mnist": mnist,
    "cifar10-5000": few_cifar10,
    "cifar10": cifar10,
}


def _labeled(data: rp.data.Dataset) -> tuple[Tensor, Tensor] | None:
    train = data.split("train")
    return None if train.y is None else (train.x[:N_LABELED], train.y[:N_LABELED])


def _faces(seed: int, folder: Path) -> tuple[Bytes, Bytes]:
    """Return 1,565 and 400 faces at random, with shape (N, 1, 28, 20)."""
    faces = np.load(folder / "freyfaces" / "freyfaces.npy", allow_pickle=False)[:, None]
    train, test = train_test_split(faces, test_size=400, random_state=seed)
    return train, test


def _planes(path: Path) -> Bytes:
    """Return the images of a file of CIFAR-10, with shape (10000, 3, 32, 32)."""
    with lzma.open(path) as stream:
        green, red, blue = np.frombuffer(stream.read(), np.uint8).reshape(3, -1, 32, 32)
    return np.stack([red + green, green, blue + green], 1)


def measure(name: str, seed: int, data_dir: Path, folder: Path) -> list[Stored]:
    """Return the rows of ours and of pythae's VAE on a set of images.

    Grey values are compared with means of p(x | z), for both.

    Arguments:
        name: The set.
        seed: The seed of both.
        data_dir: The folder of all data sets.
        folder: The folder of the pictures of samples.
    """
    found = IMAGES[name](seed, data_dir)
    began = time.perf_counter()
    run = ours.fit(found.variant, found.given, seed)
    seconds = time.perf_counter() - began
    row = ours.figures(run, found.held, seed) | {"fit_seconds": seconds, **ours.facts(run)}
    source = run.dataset()
    white = source.transform.levels - 1 if isinstance(source.transform, rp.data.Pixels) else 1
    train = source.split("train").x / white
    held = source.split("test").x if found.held is None else torch.as_tensor(found.held)
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(seed))
    test = held[order[:N_SAMPLES]] / white
    if found.labeled is None:
        features = _components(train)
    else:
        features = _classifier(found.labeled[0] / white, found.labeled[1], seed)
    samples = {
        "ours": run.sample(len(test), seed=seed, mean=True).clamp(0, 1),
        "pythae": _pythae(train, len(test), seconds, seed).clamp(0, 1),
    }
    rows = []
    for who, shown in samples.items():
        quality = rp.evaluation.sample_quality(shown, test, features)._asdict()
        distances = {kind: [quality[kind].value, quality[kind].stderr] for kind in ("fid", "kid")}
        rows.append({"contender": who, "distances": distances})
        if seed == 0:
            folder.mkdir(parents=True, exist_ok=True)
            grid(shown[:64]).save(folder / f"{name}-{who}.png")
    return [row | rows[0], rows[1]]


def _components(train: Tensor) -> Features:
    """Return the first principal components of the training images, for images without labels."""
    mean = train.flatten(1).mean(0)
    axes = torch.pca_lowrank(train.flatten(1), N_COMPONENTS)[2]
    return lambda x: (x.flatten(1) - mean) @ axes


def _classifier(x: Tensor, y: Tensor, seed: int) -> Features:
    """Return the features of a convolutional classifier that is trained on labeled images."""
    times = max(1, N_LABELED // len(x))
    data = rp.data.from_arrays(x.repeat(times, 1, 1, 1), y.repeat(times), support="unit")
    protocol = Protocol(Options(seed=seed, device="cpu", progress=False), epochs=5, n_samples=2)
    return rp.evaluation.features_of(digit_classifier(protocol, data).model)


def _pythae(train: Tensor, n: int, seconds: float, seed: int) -> Tensor:
    """Return n samples of pythae's VAE after so many seconds of training."""
    python = environments.make(environments.PYTHAE, str(torch.__version__))
    with tempfile.TemporaryDirectory() as place:
        images, samples = (Path(place) / f"{what}.npy" for what in ("images", "samples"))
        np.save(images, train.numpy())
        options = {"images": images, "samples": samples, "n": n, "seconds": seconds, "seed": seed}
        words = [f"--{key}={value}" for key, value in options.items()]
        script = str(CONTENDERS / "pythae_defaults.py")
        process.run([str(python), script, *words, "--threads=1"], {"OMP_NUM_THREADS": "1"})
        return torch.from_numpy(np.load(samples, allow_pickle=False))
