"""A likelihood of your own
========================

A likelihood of your own in one file: the Student-t distribution, for data with outliers.

A family turns features of a network into a distribution. It states how many raw numbers each entry
of an event needs, and how they become the parameters of a ``torch.distributions.Distribution``:

    p(x | z) = prod_d StudentT(x_d; nu, mu_d(z), s_d(z))

An instance is passed wherever a likelihood is expected. Training, evaluation and sampling follow.

    python examples/own_likelihood.py --epochs 100

Reference:
    Takahashi et al., Student-t Variational Autoencoder for Robust Density Estimation, IJCAI 2018.
"""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import StudentT as StudentTDistribution
from torch.nn import functional as F

import reparam as rp


class StudentT(rp.families.Family):
    """Independent Student-t entries.

    Arguments:
        event_shape: The shape of one example.
        df: The degrees of freedom nu; the smaller, the heavier the tails.
        min_scale: A lower bound on s, without which repeated values have unbounded densities.
    """

    supports = ("real",)

    def __init__(
        self, event_shape: int | tuple[int, ...], df: float = 4.0, min_scale: float = 1e-2
    ) -> None:
        super().__init__(event_shape, n_raw=2)
        self.df, self.min_scale = df, min_scale

    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distribution with raw parameters of shape (*, 2, *event)."""
        location, raw_scale = self.parameters_of(raw)
        scale = F.softplus(raw_scale) + self.min_scale
        return self.independent(StudentTDistribution(self.df, location, scale))


def load_table() -> rp.data.Dataset:
    """Return scikit-learn's breast cancer table, 569 rows of 30 standardized measurements."""
    x = torch.tensor(load_breast_cancer().data, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    train, test = x[:400], x[400:]
    mean, std = train.mean(0), train.std(0)
    return rp.data.from_arrays((train - mean) / std, test=(test - mean) / std, name="cancer")


def main() -> None:
    """Train a VAE with the default Gaussian and one with the Student-t, and compare them."""
    parser = argparse.ArgumentParser(description="Train a VAE with a likelihood of your own.")
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    data = load_table()
    likelihoods: dict[str, str | StudentT] = {
        "Gaussian": "gaussian",
        "Student-t": StudentT(data.shape),
    }
    for name, likelihood in likelihoods.items():
        torch.manual_seed(0)
        recipe = rp.variants.vae(data.spec, latent_dim=5, hidden=(64,), likelihood=likelihood)
        run = rp.fit(recipe, data, epochs=epochs, batch_size=32, progress=False)
        found = run.evaluate(n_samples=200)
        print(f"{name}: test log-likelihood {found['log_likelihood']} nats")


if __name__ == "__main__":
    main()
