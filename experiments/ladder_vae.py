"""Two layers of latents beside one."""

from experiments.common import Experiment, Findings, Protocol, Row
from experiments.common.contest import DATA, WARMED, Contender, contest


@Experiment(
    source=(
        "Sønderby et al., Ladder Variational Autoencoders, NeurIPS 2016, for the claim; the "
        "targets are ours, a prototype had +0.59 at equal training time"
    ),
    protocol=(
        f"{DATA}, in the ladder 40 and 20; the vae trains for 60 epochs at batch 128, the ladder "
        "for as long; the KL of all warms up in the first half"
    ),
    data="mnist",
    epochs=60,
    n_samples=1000,
    minutes=14,
)
def ladder_vae(protocol: Protocol) -> Findings:
    """Two stochastic layers against one, at equal training time, and the KL of each layer."""
    options = {"latent_dims": (40, 20), "above": (300,)}
    ladder = Contender("ladder-vae", 0.6, options, latent_dim=False)
    found = contest(protocol, (ladder,), WARMED, kl_warmup=0.5)
    data = protocol.dataset("mnist", binarize="dynamic")
    figures = protocol.evaluate(found.runs[ladder.name], data, n_samples=10)
    for layer, kl in figures["kl_groups"].items():
        found.rows.append(Row(f"ladder-vae: KL of layer {layer}", kl, target=0.5))
    return found.findings(protocol.seed)
