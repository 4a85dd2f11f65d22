"""Variants beside the plain VAE: differences of log p(x) on the same test images of MNIST.

All models have the same networks on both sides, so that the part that differs is measured. All are
evaluated on one frozen binarization of the test images, so that differences are paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import reparam as rp
from experiments.common.figures import samples
from experiments.common.measures import STDERR, mean_of, seconds_of
from experiments.ledger.protocol import Protocol, Scores
from experiments.ledger.rows import Findings, Row

NETWORKS: dict[str, Any] = {"hidden": (300, 300)}
LATENT_DIM = 40

# Chosen on 5,000 images held out of the training images.
RECIPE: dict[str, Any] = {"batch_size": 128, "lr": 2e-3, "lr_warmup": 0.1}
# It gains two nats for the plain model on the held-out images; the others are compared with the
# plain one at its best.
WARMED = {**RECIPE, "lr": 3e-3}

DATA = (
    "MNIST, 60,000 training images, binarized anew in each step; two layers of 300 on each side, "
    "40 latent dimensions; log-likelihood of the 10,000 test images under one frozen binarization, "
    "with 1,000 importance samples each"
)
EQUAL = (
    "Equal time: the variant trains for as many epochs as fit in the time of the vae's; the cost "
    "of a step of each is measured in turn, in processor time, and is in the JSON. The seconds "
    "of the table are wall-clock time, which other work on the machine lengthens."
)


@dataclass(frozen=True)
class Contender:
    """A variant that is compared with the plain one.

    Arguments:
        name: The variant, which is also the name in the table.
        target: The target of its difference in log-likelihood to the plain variant, in nats.
        options: Its options.
        latent_dim: Whether it takes ``latent_dim``.
    """

    name: str
    target: float | None
    options: Mapping[str, Any] = field(default_factory=dict)
    latent_dim: bool = True

    @property
    def variant(self) -> tuple[str, dict[str, Any]]:
        """The variant, and its own options with the sizes that all share."""
        size = {"latent_dim": LATENT_DIM} if self.latent_dim else {}
        return self.name, {**NETWORKS, **size, **self.options}


PLAIN = Contender("vae", None)


class Contest(NamedTuple):
    """The outcome of a contest.

    Arguments:
        rows: The figures of all, and the differences.
        runs: The runs, by the names of the contenders.
        costs: The cost of a step of each contender beside the plain variant's.
    """

    rows: list[Row]
    runs: dict[str, rp.Run]
    costs: dict[str, Any]

    def findings(self, seed: int) -> Findings:
        """Return the rows, with samples from the prior of each run."""
        figures = {"samples": samples(self.runs, seed)}
        return Findings(self.rows, (EQUAL, STDERR), figures, {"costs": self.costs})


def contest(
    protocol: Protocol,
    contenders: tuple[Contender, ...],
    recipe: Mapping[str, Any],
    *,
    kl_warmup: float = 0.0,
    same_epochs: bool = False,
) -> Contest:
    """Train the plain variant and others, and compare them on the same test images.

    Arguments:
        protocol: Epochs of the plain variant, draws, seed, and the folder of the runs.
        contenders: The others.
        recipe: Options of training, the same for all.
        kl_warmup: The share of the epochs in which the weight of the KL rises from 0.
        same_epochs: Whether the others train for as many epochs; otherwise for as long.
    """
    data = protocol.dataset("mnist", binarize="dynamic")
    x = data.examples("test").x
    found: dict[str, Scores] = {}
    rows: list[Row] = []
    runs: dict[str, rp.Run] = {}
    costs: dict[str, Any] = {}
    for who in (PLAIN, *contenders):
        epochs = protocol.epochs
        variant, options = who.variant
        if who is not PLAIN and not same_epochs:
            name = f"zoo-{who.name}"
            equal = protocol.equal_time(name, data, who.variant, PLAIN.variant, recipe)
            epochs, costs[who.name] = equal.epochs, equal._asdict()
        name = f"zoo-{who.name}-{epochs}{'-warm' if kl_warmup else ''}"
        training = {**recipe, "kl_warmup": kl_warmup * epochs}
        run = runs[who.name] = protocol.train_variant(
            name, variant, data, epochs=epochs, training=training, **options
        )
        one = found[who.name] = protocol.scores(run, x)
        seconds, what = seconds_of(run), f"{who.name}, {epochs} epochs"
        rows += [
            Row(f"{what}: ELBO", *mean_of(one.elbo), seconds=seconds),
            Row(f"{what}: log-likelihood", *mean_of(one.log_likelihood)),
        ]
        if who is not PLAIN:
            gain = mean_of(one.log_likelihood - found[PLAIN.name].log_likelihood)
            how = "at equal epochs" if same_epochs else "at equal time"
            what = f"{who.name} less vae, {how}: log-likelihood"
            rows.append(Row(what, *gain, target=who.target, seconds=seconds, beside=True))
    return Contest(rows, runs, costs)
