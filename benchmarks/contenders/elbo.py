"""Measure the test ELBO of networks, of any contender; its time is not counted.

    python elbo.py --weights run/model.safetensors --data-dir DIR
    python elbo.py --weights FOLDER --samples 200 --data-dir DIR

The KL has its closed form; the reconstruction is the mean of ``--draws`` draws of z for each image,
the same for every contender. With ``--samples`` K the log-likelihood of the first images is
estimated by K importance samples. The pixels are gray, so that these are no likelihoods: they are
the numbers that tutorials report. Of a folder all ``.npz`` files are measured.
"""

from collections.abc import Mapping
from math import log
from pathlib import Path

import torch
from mnist import arguments, load_weights, read_images, tell
from torch import Tensor
from torch.nn import functional as F

CHUNK = 1000

LIKELIHOOD_IMAGES = 1000
"""The number of images whose log-likelihood is estimated."""


@torch.no_grad()
def elbo(weights: Mapping[str, Tensor], x: Tensor, draws: int, seed: int = 0) -> Tensor:
    """Return the ELBO of each image in nats, with shape (N,), for pixels x with shape (N, 784)."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for part in x.split(CHUNK):
        mean, log_variance = posterior(weights, part)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        total = torch.zeros_like(kl)
        for _ in range(draws):
            noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
            total += log_pixels(weights, part, mean + noise * (0.5 * log_variance).exp())
        parts.append(total / draws - kl)
    return torch.cat(parts)


@torch.no_grad()
def log_likelihood(weights: Mapping[str, Tensor], x: Tensor, samples: int, seed: int = 0) -> Tensor:
    """Return log p(x) of each image in nats by importance samples of z, with shape (N,)."""
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = posterior(weights, x)
    ratios = []
    for _ in range(samples):
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        z = mean + noise * (0.5 * log_variance).exp()
        # The constants of both Gaussians cancel.
        log_ratio = 0.5 * (noise**2 + log_variance - z**2).sum(-1)
        ratios.append(log_pixels(weights, x, z) + log_ratio)
    return torch.stack(ratios).logsumexp(0) - log(samples)


def posterior(weights: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means and the logarithms of the variances of q(z | x), each (N, D)."""
    hidden = F.relu(layer(weights, "encoder", x))
    mean, log_variance = layer(weights, "posterior", hidden).double().chunk(2, -1)
    return mean, log_variance


def log_pixels(weights: Mapping[str, Tensor], x: Tensor, z: Tensor) -> Tensor:
    """Return log p(x | z) = x l - log(1 + exp l) of logits l, summed over pixels, shape (N,)."""
    logits = layer(weights, "pixels", F.relu(layer(weights, "decoder", z.float())))
    return (x * logits - F.softplus(logits)).double().sum(-1)


def layer(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return the output of a dense layer for x."""
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def images(data_dir: str, limit: int) -> Tensor:
    """Return the test images in [0, 1], with shape (N, 784); all of them unless limited."""
    stored = read_images(data_dir, "test")
    return torch.tensor(stored[: limit or None]).flatten(1).float() / 255


def main() -> None:
    """Print the means and their standard errors over images, for a folder by the names of files."""
    options = arguments(__doc__, weights=None, draws=10, samples=0)
    x = images(options.data_dir, options.limit)
    path = Path(options.weights)
    places = {each.stem: each for each in path.glob("*.npz")} if path.is_dir() else {"": path}
    found = {
        name: figures(load_weights(place), x, options.draws, options.samples)
        for name, place in sorted(places.items())
    }
    tell(**(found if path.is_dir() else found[""]))


def figures(
    weights: Mapping[str, Tensor], x: Tensor, draws: int, samples: int
) -> dict[str, float | int]:
    """Return the figures of one network by name."""
    values = elbo(weights, x, draws)
    found = {"elbo": float(values.mean()), "stderr": stderr(values)}
    found |= {"n_images": len(values), "draws": draws}
    if samples:
        values = log_likelihood(weights, x[:LIKELIHOOD_IMAGES], samples)
        found |= {"log_likelihood": float(values.mean()), "log_likelihood_stderr": stderr(values)}
        found["samples"] = samples
    return found


def stderr(values: Tensor) -> float:
    """Return the standard error of a mean over images."""
    return float(values.std() / len(values) ** 0.5)


if __name__ == "__main__":
    main()
