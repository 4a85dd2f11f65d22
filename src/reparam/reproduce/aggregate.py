"""What holds the codes together: total correlation and discrepancy of the aggregate posterior."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reparam.divergence import mmd
from reparam.evaluation import Figure, total_correlation
from reparam.isolation import isolated
from reparam.reproduce.figures import pictures
from reparam.reproduce.likelihoods import NETWORKS, RECIPE, dynamic_mnist
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import Scores, mean_of, per_example, seconds_of, trained
from reparam.runs.run import Run

LATENT_DIM = 10
N_BLOCKS = 10
# Set between values that were tried for 10 epochs on 5,000 images held out of the training images.
WEIGHTS: Mapping[str, dict[str, Any]] = {
    "vae": {},
    "tc-vae": {"beta": 1.04},
    "factor-vae": {"gamma": 0.8},
    "info-vae": {"mmd_weight": 5.0, "kl_weight": 0.9},
}


@entry(
    "aggregate-posterior",
    source="Chen et al., NeurIPS 2018; Kim & Mnih, ICML 2018; Zhao, Song & Ermon, AAAI 2019",
    protocol=(
        "MNIST, 60,000 training images, binarized anew in each step; two layers of 300 on each "
        "side, 10 latent dimensions; 30 epochs; total correlation of the mixture of the posteriors "
        "of the 10,000 test images, from 5,000 draws; squared discrepancy of one draw for each of "
        "them from as many draws of the prior, mean of ten blocks of 1,000"
    ),
    data="mnist",
    epochs=30,
    n_samples=100,
    minutes=10,
)
def aggregate_posterior(protocol: Protocol) -> Findings:
    """Less total correlation, or discrepancy, than the plain model at the same reconstruction."""
    data = dynamic_mnist(protocol)
    test = data.examples("test")
    rows: list[Row] = []
    runs: dict[str, Run] = {}
    found: dict[str, Measured] = {}
    for name, options in WEIGHTS.items():
        runs[name] = run = trained(
            protocol,
            f"zoo-aggregate-{name}",
            name,
            data,
            training=RECIPE,
            latent_dim=LATENT_DIM,
            **NETWORKS,
            **options,
        )
        one = found[name] = measure(protocol, run, test.x)
        dependence, seconds = one.dependence, seconds_of(run)
        rows += [
            Row(f"{name}: total correlation", dependence.value, dependence.stderr, seconds=seconds),
            Row(f"{name}: squared discrepancy (MMD²)", *mean_of(one.discrepancy), unit=""),
            Row(f"{name}: reconstruction", *mean_of(one.scores.reconstruction)),
            Row(f"{name}: ELBO", *mean_of(one.scores.elbo)),
        ]
    plain = found.pop("vae")
    for name, one in found.items():
        seconds = seconds_of(runs[name])
        if name == "info-vae":
            less = mean_of(one.discrepancy - plain.discrepancy)
            said, unit = f"{name} less vae: squared discrepancy (MMD²)", ""
        else:
            difference = one.dependence - plain.dependence
            less = (difference.value, difference.stderr or 0.0)
            said, unit = f"{name} less vae: total correlation", "nats"
        lost = mean_of(one.scores.reconstruction - plain.scores.reconstruction)
        rows += [
            Row(said, *less, unit=unit, target=0.0, rule="at most", seconds=seconds),
            Row(f"{name} less vae: reconstruction", *lost, target=-1.0),
        ]
    panels = [(name, run.sample(64, seed=protocol.seed, mean=True)) for name, run in runs.items()]
    notes = (
        "Each is held to less dependence (or discrepancy) than the plain model's, at a "
        "reconstruction at most one nat below it.",
        "Total correlation is estimated by Monte Carlo on the exact mixture of the test images' "
        "posteriors, the discrepancy by its unbiased statistic with seven inverse multiquadrics.",
        "Standard errors are over draws, over the ten blocks, or over test images (paired for "
        "differences, but for those of the total correlation), for one training run each.",
    )
    return Findings(tuple(rows), notes, {"samples": pictures(panels)})


class Measured(NamedTuple):
    """What is known of the codes of one model.

    Arguments:
        dependence: The total correlation of the aggregate posterior, in nats.
        discrepancy: The squared discrepancy from the prior, one for each block of test images.
        scores: Figures of every test image.
    """

    dependence: Figure
    discrepancy: Tensor
    scores: Scores


def measure(protocol: Protocol, run: Run, x: Tensor) -> Measured:
    """Measure the codes of the images x, with shape (N, *shape)."""
    with isolated(run.model, seed=protocol.seed) as device:
        q = run.latent_model.posterior(x.to(device))
        z = q.sample()
        prior = run.latent_model.draw_prior(len(z))
        blocks = zip(z.chunk(N_BLOCKS), prior.chunk(N_BLOCKS), strict=True)
        discrepancy = torch.stack([mmd(some, drawn) for some, drawn in blocks]).cpu()
        dependence = total_correlation(q, 5000, seed=protocol.seed)
    scores = per_example(run, x, protocol.n_samples, protocol.seed)
    return Measured(dependence, discrepancy, scores)
