"""Measure the test ELBO of one network, of any contender; its time is not counted.

    python elbo.py --weights run/model.safetensors --data-dir DIR

The KL has its closed form; the reconstruction is the mean of ``--draws`` draws of z for each image,
the same for every contender. The pixels are gray, so that this is no likelihood: it is the number
that tutorials report.
"""

from collections.abc import Mapping

import torch
from mnist import arguments, load_weights, read_images, tell
from torch import Tensor
from torch.nn import functional as F

CHUNK = 1000


@torch.no_grad()
def elbo(weights: Mapping[str, Tensor], x: Tensor, draws: int, seed: int = 0) -> Tensor:
    """Return the ELBO of each image in nats, with shape (N,), for pixels x with shape (N, 784)."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for part in x.split(CHUNK):
        hidden = F.relu(layer(weights, "encoder", part))
        mean, log_variance = layer(weights, "posterior", hidden).double().chunk(2, -1)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        total = torch.zeros_like(kl)
        for _ in range(draws):
            noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
            z = (mean + noise * (0.5 * log_variance).exp()).float()
            logits = layer(weights, "pixels", F.relu(layer(weights, "decoder", z)))
            # log p = x l - log(1 + exp l)
            total += (part * logits - F.softplus(logits)).double().sum(-1)
        parts.append(total / draws - kl)
    return torch.cat(parts)


def layer(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return the output of a dense layer for x."""
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def images(data_dir: str, limit: int) -> Tensor:
    """Return the test images in [0, 1], with shape (N, 784); all of them unless limited."""
    stored = read_images(data_dir, "test")
    return torch.tensor(stored[: limit or None]).flatten(1).float() / 255


def main() -> None:
    """Print the mean and its standard error over images."""
    options = arguments(__doc__, weights=None, draws=10)
    values = elbo(
        load_weights(options.weights), images(options.data_dir, options.limit), options.draws
    )
    stderr = float(values.std() / len(values) ** 0.5)
    tell(elbo=float(values.mean()), stderr=stderr, n_images=len(values), draws=options.draws)


if __name__ == "__main__":
    main()
