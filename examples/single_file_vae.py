"""A VAE in one file
=================

A variational autoencoder in one file, with nothing but PyTorch (and scikit-learn's digits).

A VAE is a latent-variable model and an approximation of its posterior:

    prior       p(z)     = N(z; 0, I)
    decoder     p(x | z) = Bernoulli(x; sigmoid(f(z)))        f: a neural network
    encoder     q(z | x) = N(z; mu(x), diag(sigma(x)^2))      mu, log sigma^2: a neural network

Both networks are trained to maximize the evidence lower bound

    ELBO(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z))  <=  log p(x)

whose gradient passes through the draw z = mu + sigma * eps, eps ~ N(0, I).

    python examples/single_file_vae.py                    # 1,797 digits of 8 x 8 pixels
    python examples/single_file_vae.py --mnist DIRECTORY  # with the IDX files of MNIST

Reference:
    Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.
"""

import argparse
import gzip
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    """A VAE of binary vectors with one hidden layer on each side.

    Arguments:
        n_pixels: The size D of x.
        latent_dim: The size of z.
        hidden: The number of hidden units.
    """

    def __init__(self, n_pixels: int, latent_dim: int = 20, hidden: int = 400) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Linear(n_pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, n_pixels)
        )

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw z ~ q(z | x), and return log p(x | z), log p(z) - log q(z | x) and KL(q || p).

        x has values in {0, 1} and shape (B, D); the terms are in nats, with shape (B,).
        """
        mu, log_variance = self.encoder(x).chunk(2, dim=-1)
        eps = torch.randn_like(mu)
        z = mu + (0.5 * log_variance).exp() * eps
        # log Bernoulli(x; sigmoid(l)) = x l - log(1 + exp l)
        logits = self.decoder(z)
        log_likelihood = (x * logits - F.softplus(logits)).sum(-1)
        # log N(z; 0, I) - log N(z; mu, sigma^2); the constants cancel.
        log_ratio = 0.5 * (eps.square() + log_variance - z.square()).sum(-1)
        # KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1 - log sigma^2) / 2
        kl = 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).sum(-1)
        return log_likelihood, log_ratio, kl

    def sample(self, n: int) -> Tensor:
        """Return the means of p(x | z) for n draws from the prior, with shape (n, D)."""
        means: Tensor = torch.sigmoid(self.decoder(torch.randn(n, self.latent_dim)))
        return means


def train(model: VAE, x: Tensor, epochs: int = 60, batch_size: int = 128, lr: float = 5e-3) -> None:
    """Maximize the ELBO with Adam; the learning rate rises, then falls along a cosine."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    n_steps = epochs * math.ceil(len(x) / batch_size)
    warmup = round(0.2 * n_steps)

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(len(x)).split(batch_size):
            log_likelihood, _, kl = model.terms(x[index])
            elbo = (log_likelihood - kl).mean()
            optimizer.zero_grad()
            (-elbo).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            total += elbo.item() * len(index)
        print(f"epoch {epoch + 1}: training ELBO {total / len(x):.2f} nats")


@torch.no_grad()
def evaluate(model: VAE, x: Tensor, n_samples: int = 100) -> tuple[Tensor, Tensor]:
    """Return the ELBO and the importance-sampled log p(x) of each example, with shape (N,).

    log p(x) = log E_q[p(x | z) p(z) / q(z | x)] is estimated with ``n_samples`` draws of z.
    """
    elbo, log_weights = torch.zeros(len(x)), []
    for _ in range(n_samples):
        log_likelihood, log_ratio, kl = model.terms(x)
        elbo += (log_likelihood - kl) / n_samples
        log_weights.append(log_likelihood + log_ratio)
    return elbo, torch.stack(log_weights).logsumexp(0) - math.log(n_samples)


def load_mnist(folder: Path, part: str) -> Tensor:
    """Return the images of MNIST (``train`` or ``t10k``), thresholded, with shape (N, 784)."""
    content = next(folder.glob(f"{part}-images-idx3-ubyte*")).read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    return torch.tensor(np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784) >= 128).float()


def load_digits() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits, thresholded: training and test images with shape (N, 64)."""
    from sklearn.datasets import load_digits

    x = torch.tensor(load_digits().data >= 8).float()
    return x[:1437], x[1437:]


def main() -> None:
    """Train, and print the test ELBO and log-likelihood with their standard errors."""
    parser = argparse.ArgumentParser(description="Train a VAE on binary images.")
    parser.add_argument("--mnist", type=Path, help="the folder of the IDX files of MNIST")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    torch.manual_seed(0)
    digits = load_digits() if options.mnist is None else None
    x, test = digits or (load_mnist(options.mnist, "train"), load_mnist(options.mnist, "t10k"))
    model = VAE(x.shape[1])
    train(model, x, options.epochs)
    for name, values in zip(("ELBO", "log-likelihood"), evaluate(model, test), strict=True):
        stderr = values.std() / len(values) ** 0.5
        print(f"test {name}: {values.mean():.2f} ± {stderr:.2f} nats")


if __name__ == "__main__":
    main()
