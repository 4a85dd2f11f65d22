"""Learned priors beside the standard normal."""

from experiments.common import Experiment, Findings, Protocol
from experiments.common.contest import DATA, WARMED, Contender, contest


@Experiment(
    source=(
        "Tomczak & Welling, VAE with a VampPrior, AISTATS 2018, table 1, and Chen et al., "
        "Variational Lossy Autoencoder, ICLR 2017, section 3.2, for the claims; the targets are "
        "ours, prototypes of these sizes had +0.77 and +1.94 after 150 s each, beside a vae with "
        "-88.6"
    ),
    protocol=(
        f"{DATA}; the vae trains for 60 epochs at batch 128, the others for as long; the KL of all "
        "warms up in the first half"
    ),
    data="mnist",
    epochs=60,
    n_samples=1000,
    minutes=20,
)
def learned_priors(protocol: Protocol) -> Findings:
    """The vamp prior and a flow prior against the standard normal, at equal training time."""
    contenders = (
        Contender("vamp-vae", 0.8, {"n_components": 200}),
        Contender("flow-prior-vae", 1.8),
    )
    return contest(protocol, contenders, WARMED, kl_warmup=0.5).findings(protocol.seed)
