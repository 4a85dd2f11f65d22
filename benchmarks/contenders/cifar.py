"""Train a convolutional VAE on CIFAR-10 with a plain loop: tensors in memory, or one at a time.

    python cifar.py --data-dir DIR --epochs 2 --loader memory

The network of ``reparam train conv-vae --latent-dim 64 --likelihood gaussian-shared --no-skip``:
the tests compare the numbers of its weights. Adam at 1e-3, batches of 128, float32.
"""

import time
from collections.abc import Iterator
from math import log, pi
from pathlib import Path

import numpy as np
import torch
from mnist import arguments, tell
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tutorial import to_tensor

LATENT = 64


class ConvVAE(nn.Module):
    """Two convolutions down, two up, a bias for each pixel, and one deviation of all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 2 * LATENT),
        )
        self.up = nn.Sequential(
            nn.Linear(LATENT, 32 * 8 * 8),
            nn.Unflatten(-1, (32, 8, 8)),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 64, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 3, 3, padding=1),
        )
        self.bias = nn.Parameter(torch.zeros(1, 3, 32, 32))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the negative ELBO, a mean over the batch x with shape (B, 3, 32, 32)."""
        mean, log_variance = self.down(x).chunk(2, -1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        error = (x - self.up(z) - self.bias) * torch.exp(-self.log_scale)
        log_density = -0.5 * error.square() - self.log_scale - 0.5 * log(2 * pi)
        kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return (kl - log_density.sum()) / len(x)


def read_images(data_dir: str, limit: int = 0) -> np.ndarray:
    """Return the training images, uint8 with shape (N, 3, 32, 32)."""
    folder = Path(data_dir) / "cifar10" / "cifar-10-batches-bin"
    files = [folder / f"data_batch_{number}.bin" for number in range(1, 6)]
    content = b"".join(file.read_bytes() for file in files)
    rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)[: limit or None]
    return rows[:, 1:].reshape(-1, 3, 32, 32)


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """CIFAR-10's training images, a picture at a time, as torchvision has them."""

    def __init__(self, stored: np.ndarray) -> None:
        self.data = np.ascontiguousarray(stored.transpose(0, 2, 3, 1))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image, and a label that is not used."""
        return to_tensor(Image.fromarray(self.data[index])), 0


def in_memory(images: Tensor) -> Iterator[Tensor]:
    """Yield the batches of an epoch."""
    for picked in torch.randperm(len(images)).split(128):
        yield images[picked]


def main() -> None:
    """Train, and print the seconds of every epoch."""
    options = arguments(__doc__, epochs=2, loader="memory")
    stored = read_images(options.data_dir, options.limit)
    images = torch.tensor(stored).float() / 255 if options.loader == "memory" else None
    loader = DataLoader(Images(stored), batch_size=128, shuffle=True)
    model = ConvVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, value = [], torch.zeros(())
    for _ in range(options.epochs):
        began = time.perf_counter()
        for x in (x for x, _ in loader) if images is None else in_memory(images):
            value = model(x)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    tell(seconds=seconds, n_images=len(stored), loss=float(value.detach()))


if __name__ == "__main__":
    main()
