"""Train with a plain loop: tensors in memory, selected by index.

    python by_hand.py --data-dir DIR --epochs 3

The tutorial's network, loss, optimizer and batches, in float32; the loss is read once an epoch.
"""

import time

import torch
from mnist import VAE, arguments, loss, read_images, tell


def main() -> None:
    """Train, and print the seconds of every epoch."""
    options = arguments(__doc__, epochs=3)
    stored = torch.tensor(read_images(options.data_dir, "train")[: options.limit or None])
    images = stored.flatten(1).float() / 255
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, last = [], 0.0
    for _ in range(options.epochs):
        began, total = time.perf_counter(), torch.zeros(())
        for picked in torch.randperm(len(images)).split(128):
            x = images[picked]
            pixels, mean, log_variance = model(x)
            value = loss(pixels, x, mean, log_variance)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.detach()
        last = float(total) / len(images)
        seconds.append(time.perf_counter() - began)
    tell(seconds=seconds, n_images=len(images), loss=last)


if __name__ == "__main__":
    main()
