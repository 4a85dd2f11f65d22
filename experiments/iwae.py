"""One and two stochastic layers, trained with the ELBO and with the importance-weighted bound."""

from typing import Any

import reparam as rp
from experiments.common import Experiment, Findings, Protocol, Row, mean_of, seconds_of
from experiments.common.iwae import DATA, EXACT, ONE_LAYER, RECIPE, SOURCE, TWO_LAYERS, frozen_mnist

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "1 layer": ("vae", ONE_LAYER),
    "2 layers": ("hierarchical-vae", TWO_LAYERS),
}
PUBLISHED = {
    "1 layer": {"VAE": {1: -86.76, 5: -86.47, 50: -86.35}, "IWAE": {5: -85.54, 50: -84.78}},
    "2 layers": {"VAE": {1: -85.33, 5: -85.01, 50: -84.78}, "IWAE": {5: -83.89, 50: -82.90}},
}
"""The source's log-likelihoods by layers, objective and k."""


@Experiment(
    source=f"{SOURCE}, 3,280 epochs",
    protocol=(
        f"{DATA}, 500 importance samples each; 784-200-200-50 tanh with one layer, "
        "784-200-200-100-100-100-50 with two; 12 epochs at batch 512 with Muon, in bfloat16; the "
        "long run (--full) has the source's 3,280 epochs at batch 20 with its learning rates and "
        "5,000 samples"
    ),
    data="mnist",
    epochs=12,
    n_samples=500,
    minutes=75,
    full_epochs=3280,
    full_samples=5000,
)
def iwae(protocol: Protocol) -> Findings:
    """One and two stochastic layers, the ELBO and the importance-weighted bound, k = 1, 5, 50."""
    data, full = frozen_mnist(protocol), protocol.options.full
    x = data.examples("test").x
    rows, gains = [], []
    for layers, objectives in PUBLISHED.items():
        variant, options = MODELS[layers]
        found = {}
        for bound, figures in objectives.items():
            for k, published in figures.items():
                objective: rp.objectives.Objective = rp.objectives.IWAE(k)
                if bound == "VAE":
                    objective = rp.objectives.ELBO(n_samples=k)
                name = f"iwae-{layers.replace(' ', '-')}-{bound.lower()}-k{k}-{protocol.epochs}"
                run = protocol.train_variant(
                    name,
                    variant,
                    data,
                    objective=objective,
                    training=EXACT if full else RECIPE,
                    **options,
                )
                found[bound, k] = protocol.scores(run, x).log_likelihood
                rows.append(
                    Row(
                        f"{layers}, {bound}, k = {k}: log-likelihood",
                        *mean_of(found[bound, k]),
                        published=published,
                        target=published if full else None,
                        seconds=seconds_of(run),
                    )
                )
        gain = mean_of(found["IWAE", 50] - found["VAE", 1])
        gains.append(Row(f"{layers}: IWAE, k = 50, less VAE, k = 1", *gain, target=0.0))
    notes = (
        "With 12 of 3,280 epochs the lines compare with each other, not with the source's; "
        "standard errors are over test images, one training run each.",
    )
    return Findings([*rows, *gains], notes)
