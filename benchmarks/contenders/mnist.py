"""The shared part of the contenders, without reparam: the images, the network, the weights.

The weights of every contender are brought to one form, an ``.npz`` of eight arrays, so that one
evaluator measures all of them:

    encoder.weight (H, 784), posterior.weight (2 D, H): the means, then the logarithms of variances,
    decoder.weight (H, D), pixels.weight (784, H): logits; and a bias of each.
"""

import argparse
import gzip
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = ("encoder", "posterior", "decoder", "pixels")
OF_REPARAM = {
    "encoder.network.layers.0": "encoder",
    "encoder.family.head.0": "posterior",
    "decoder.network.layers.0": "decoder",
    "decoder.family.head.0": "pixels",
}
"""What the layers are called in the files of ``reparam train vae``."""

STANDARDIZE = "decoder.family.standardize"
"""The layer that standardizes the input, with one location and one scale for all pixels."""

DTYPES = {"F32": np.float32, "F64": np.float64}
"""Types of numbers in safetensors files."""


class VAE(nn.Module):
    """The tutorial's network: one hidden layer on each side.

    Arguments:
        hidden: The size of the hidden layers.
        latent: The number of latent dimensions.
    """

    def __init__(self, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities of pixels, means and logarithms of variances, x being (B, 784)."""
        hidden = F.relu(self.fc1(x))
        mean, log_variance = self.fc21(hidden), self.fc22(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, log_variance


def loss(pixels: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the tutorial's loss: cross-entropy and KL, summed over the batch."""
    cross_entropy = F.binary_cross_entropy(pixels, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return cross_entropy + kl


def read_images(data_dir: str | Path, split: str) -> np.ndarray:
    """Return the images of a split, uint8 with shape (N, 28, 28)."""
    part = {"train": "train", "test": "t10k"}[split]
    content = gzip.decompress(
        (Path(data_dir) / "mnist" / f"{part}-images-idx3-ubyte.gz").read_bytes()
    )
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)


def of_tutorial(model: VAE) -> dict[str, np.ndarray]:
    """Return the weights of a model in the common form."""
    found: dict[str, np.ndarray] = {}
    for kind in ("weight", "bias"):
        w = {
            k: getattr(getattr(model, k), kind).detach().numpy()
            for k in dict(model.named_children())
        }
        posterior = np.concatenate([w["fc21"], w["fc22"]])
        parts = (w["fc1"], posterior, w["fc3"], w["fc4"])
        found |= {f"{layer}.{kind}": part for layer, part in zip(LAYERS, parts, strict=True)}
    return found


def of_reparam(path: str | Path) -> dict[str, np.ndarray]:
    """Return the weights of a run's ``model.safetensors`` in the common form.

    The standardization of the input becomes a part of the first layer.
    """
    content = Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    found: dict[str, np.ndarray] = {}
    scale: dict[str, np.ndarray] = {}
    for name, entry in json.loads(content[8:start]).items():
        if name == "__metadata__":
            continue
        layer, _, kind = name.rpartition(".")
        first, last = entry["data_offsets"]
        values = np.frombuffer(content[start + first : start + last], DTYPES[entry["dtype"]])
        values = values.reshape(entry["shape"])
        if layer == STANDARDIZE:
            scale[kind] = values
        else:
            found[f"{OF_REPARAM[layer]}.{kind}"] = values
    weight = found["encoder.weight"] / scale["scale"].item()
    found["encoder.bias"] = found["encoder.bias"] - weight.sum(1) * scale["loc"].item()
    found["encoder.weight"] = weight
    return found


def save_weights(path: str | Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights in the common form."""
    with Path(path).open("wb") as stream:
        np.savez(stream, **weights)  # type: ignore[arg-type]


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Return weights in the common form, out of an ``.npz`` or a run's ``model.safetensors``."""
    if str(path).endswith(".safetensors"):
        found = of_reparam(path)
    else:
        with np.load(path, allow_pickle=False) as stored:
            found = dict(stored)
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in found.items()}


class Snapshots:
    """The weights at the end of the last epoch within each of several times.

    The time runs from the creation of this object.

    Arguments:
        budgets: The times in seconds, separated by commas; empty for none.
        folder: The folder for the weights, ``SECONDS.npz`` for each time.
    """

    def __init__(self, budgets: str, folder: str) -> None:
        self.budgets = sorted(float(each) for each in budgets.split(",") if each)
        self.folder = Path(folder)
        self.began = time.perf_counter()

    def save(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Write the weights for every time that has not passed; return whether all have."""
        elapsed = time.perf_counter() - self.began
        for budget in self.budgets:
            if elapsed <= budget:
                self.folder.mkdir(parents=True, exist_ok=True)
                save_weights(self.folder / f"{budget:g}.npz", weights)
        return bool(self.budgets) and elapsed > self.budgets[-1]


def arguments(description: str | None, **more: object) -> argparse.Namespace:
    """Return the options of a contender: the common ones, and further ones with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    known: dict[str, object] = {"data_dir": ".", "threads": 2, "seed": 0, "limit": 0, **more}
    for name, default in known.items():
        kind = str if default is None else type(default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return options


def tell(**values: object) -> None:
    """Print the one line of JSON that a contender ends with."""
    print(json.dumps(values))
