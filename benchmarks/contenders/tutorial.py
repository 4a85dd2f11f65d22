"""Train the tutorial's way: a ``DataLoader`` that makes a tensor of one image at a time.

    python tutorial.py --data-dir DIR --epochs 15
    python tutorial.py --data-dir DIR --budgets 5,15 --folder FOLDER

Adam at 1e-3, batches of 128, 784-400-20, the loss read in every step. The data set does for each
image what torchvision's MNIST and ToTensor do. The pass over the test images that the tutorial
makes after every epoch is left out, in its favor. With ``--budgets`` it trains for the longest of
these times, and writes the weights after the last epoch within each.
"""

import time
from itertools import count

import numpy as np
import torch
from mnist import (
    VAE,
    Snapshots,
    arguments,
    loss,
    of_tutorial,
    read_images,
    save_weights,
    tell,
)
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture as values in [0, 1], with shape (1, H, W)."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    pixels = pixels.view(image.size[1], image.size[0], len(image.getbands()))
    return pixels.permute(2, 0, 1).contiguous().to(torch.get_default_dtype()).div(255)


class Images(Dataset[tuple[Tensor, int]]):
    """MNIST's training images, a picture at a time."""

    def __init__(self, data_dir: str, limit: int) -> None:
        self.data = torch.tensor(read_images(data_dir, "train")[: limit or None])
        # Unused, but torchvision reads the labels too.
        self.targets = torch.zeros(len(self.data), dtype=torch.long)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image and its label."""
        return to_tensor(Image.fromarray(self.data[index].numpy())), int(self.targets[index])


def main() -> None:
    """Train, and print the seconds of every epoch."""
    options = arguments(__doc__, epochs=15, weights="", budgets="", folder="")
    snapshots = Snapshots(options.budgets, options.folder)
    images = Images(options.data_dir, options.limit)
    loader = DataLoader(images, batch_size=128, shuffle=True)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, last = [], 0.0
    for _ in count() if options.budgets else range(options.epochs):
        began, total = time.perf_counter(), 0.0
        model.train()
        for x, _label in loader:
            x = x.view(-1, 784)
            optimizer.zero_grad()
            value = loss(*((found := model(x))[0], x, *found[1:]))
            value.backward()
            total += value.item()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
        last = total / len(images)
        if snapshots.save(of_tutorial(model)):
            break
    if options.weights:
        save_weights(options.weights, of_tutorial(model))
    tell(seconds=seconds, n_images=len(images), loss=last)


if __name__ == "__main__":
    main()
