"""Training loops of your own
==========================

Training loops of your own around the models and objectives of reparam.

A model is an ``nn.Module`` and an objective is a function (model, batch) -> Terms, so that an
ordinary loop trains them. ``plain_loop`` has everything in sight. ``step_loop`` uses
``rp.training.Step``, which does in one step what ``rp.fit`` does: schedules, milestones, players of
adversarial objectives, clipping, and the moving average of the weights.

    python examples/own_loop.py --epochs 30
"""

import argparse
import math

import torch
from torch import Tensor, nn

import reparam as rp

BATCH_SIZE = 128


def plain_loop(
    model: nn.Module, objective: rp.objectives.Objective, x: Tensor, epochs: int
) -> None:
    """Train a model with Adam.

    Arguments:
        model: The model.
        objective: (model, batch) -> Terms, such as ``rp.objectives.ELBO()``.
        x: The training examples, with shape (N, *shape).
        epochs: The number of passes over them.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        for index in torch.randperm(len(x)).split(BATCH_SIZE):
            terms = objective(model, rp.Batch(x[index]))
            optimizer.zero_grad()
            terms.loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: ELBO of the last batch {terms.elbo.mean():.2f} nats")


def step_loop(recipe: rp.Recipe, x: Tensor, epochs: int) -> None:
    """Train a recipe with the learning rate, the clipping and the average that ``rp.fit`` has.

    Arguments:
        recipe: The model, its objective and its players.
        x: The training examples, with shape (N, *shape).
        epochs: The number of passes over them.
    """
    options = rp.training.TrainingOptions(epochs=epochs, ema=0.99, batch_size=BATCH_SIZE)
    step = rp.training.Step(recipe, options, n_steps=epochs * math.ceil(len(x) / BATCH_SIZE))
    for epoch in range(epochs):
        for index in torch.randperm(len(x)).split(BATCH_SIZE):
            scalars = step(rp.Batch(x[index]))
        print(f"epoch {epoch + 1}: ELBO of the last batch {float(scalars['elbo']):.2f} nats")
    # The model takes the weights of the average.
    recipe.model.load_state_dict(step.current.state_dict())


def test_elbo(model: nn.Module, data: rp.data.Dataset) -> float:
    """Return the test ELBO, in nats per example."""
    result = rp.evaluation.evaluate(model, data.examples("test"), data.spec, n_samples=50)
    return result["elbo"].value


def main() -> None:
    """Train the VAE of scikit-learn's digits with both loops, and print the test ELBO of each."""
    parser = argparse.ArgumentParser(description="Train a VAE with loops of your own.")
    parser.add_argument("--epochs", type=int, default=30)
    epochs = parser.parse_args().epochs
    torch.manual_seed(0)
    data = rp.data.load("digits", binarize="threshold", validation=0)
    x = data.examples("train").x

    model = rp.LatentModel(
        encoder=rp.Conditional(rp.nn.MLP(data.shape, 400), rp.families.Gaussian(20)),
        decoder=rp.Conditional(rp.nn.MLP(20, 400), rp.families.Bernoulli(data.shape)),
        prior=rp.priors.StandardNormal(20),
    )
    plain_loop(model, rp.objectives.ELBO(), x, epochs)
    print(f"plain loop: test ELBO {test_elbo(model, data):.2f} nats")

    recipe = rp.variants.vae(data.spec, latent_dim=20)
    step_loop(recipe, x, epochs)
    print(f"loop of steps: test ELBO {test_elbo(recipe.model, data):.2f} nats")


if __name__ == "__main__":
    main()
